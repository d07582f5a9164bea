"""What goes into the engine and what comes out of it: invocations and outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NamedTuple, Protocol

from flink_actions.engine.metrics import MetricDelta
from flink_actions.sdk.events import EventOrigin, Sender


class MemoryForm(Enum):
    """How an invocation brings its key's memory."""

    AS_YOU_HAVE_IT = 0
    FULL = 1
    DELTA = 2


class CallPlace(NamedTuple):
    """Where in the action's code a durable call stands.

    Args:
        task: Numbers of child tasks from the action's own task down, such as "0.2"; "" is the action's task.
        index: Count of durable calls in that task before this one.
    """

    task: str
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks a place for


class CallFailure(NamedTuple):
    """An exception that ended a call.

    Args:
        exception: "package.module.Class"; built-in ones by their name alone.
        message: Its text.
        is_terminal: It is a TerminalError.
        arguments: JSON list of its arguments; empty if they have no JSON form.
    """

    exception: str
    message: str
    is_terminal: bool
    arguments: bytes


class ContentType(IntEnum):
    """How a call's value is encoded, in the numbers of the wire."""

    JSON = 0
    PICKLE = 2


class CallRecord(NamedTuple):
    """A durable call and what it came to; with neither value nor failure it has started, and nothing more is known.

    `content_type` may be a number that this version does not know: that is whoever reads the value's to refuse.
    """

    place: CallPlace
    function_id: str
    arguments_digest: bytes
    value: bytes | None = None
    failure: CallFailure | None = None
    content_type: int = ContentType.JSON

    @property
    def is_complete(self) -> bool:
        """It is known how the call ended."""
        return self.value is not None or self.failure is not None


class CallNote(NamedTuple):
    """What an attempt has to say about a call: it starts, or this is what it came to."""

    handle: int
    record: CallRecord


class Invocation(EventOrigin, Sender, Protocol):
    """One action on one event, as it was received. Immutable.

    It is the origin of the event that its action receives, and the sender of those that the action sends.

    What every invocation needs is a plain attribute; the rest may be computed when it is asked for.
    """

    @property
    def handle(self) -> int:
        """Names (invocation, attempt) within one start of the operator."""
        ...

    @property
    def action(self) -> int:
        """Index into the plan's actions."""
        ...

    @property
    def attempt(self) -> int: ...
    @property
    def key(self) -> bytes: ...
    @property
    def is_key_raw(self) -> bool:
        """The key is raw bytes, not JSON text."""
        ...

    @property
    def run_number(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def timestamp(self) -> int | None: ...
    @property
    def watermark(self) -> int | None: ...
    @property
    def remaining_ms(self) -> int:
        """What is left of the time limit: how long its code may run; 0: no limit."""
        ...

    @property
    def traceparent(self) -> str: ...
    @property
    def memory_form(self) -> MemoryForm: ...
    @property
    def memory_version(self) -> bytes:
        """8 bytes; empty: nothing was ever written under this key."""
        ...

    @property
    def memory_from(self) -> bytes: ...
    @property
    def clear_sensory(self) -> bool: ...
    @property
    def sensory_count(self) -> int: ...
    @property
    def memory_path(self) -> Sequence[str]: ...
    @property
    def memory_value(self) -> Sequence[bytes]: ...

    @property
    def calls(self) -> Sequence[CallRecord]:
        """Durable calls of earlier attempts, oldest first."""
        ...

    @property
    def cost_bytes(self) -> int:
        """Byte credits that it was charged."""
        ...

    def detach(self) -> None:
        """Let go of the frame that this came in: the invocation is going to live long."""


class FailureKind(Enum):
    """Why an attempt failed. Values are those of the wire."""

    BUG = 1
    RETRYABLE = 2
    TERMINAL = 3
    TIMEOUT = 4
    CANCELLED = 5
    REPLAY_MISMATCH = 6
    NOT_ENCODABLE = 7
    TOO_LARGE = 8
    UNKNOWN_ACTION = 9


class BounceReason(Enum):
    """Why an invocation is given back undone. Values are those of the wire."""

    DRAINING = 1
    OVERLOADED = 2
    FENCED = 3


class CancelReason(Enum):
    """Why an attempt is to be ended. Values are those of the wire; the engine's own have none."""

    SUPERSEDED = 1
    TIMEOUT = 2
    JOB_CANCELLED = 3
    ORPHANED = -1
    DRAINED = -2
    FINISHED = -3


class MemoryChanges(NamedTuple):
    """What an attempt changed in its key's memory. A value of no bytes: the entry is gone; `b"o"`: an object.

    Args:
        base: The version it was computed on.
        version: The version it makes.
        sensory: Path → value.
        short_term: Path → value.
    """

    base: bytes
    version: bytes
    sensory: Mapping[str, bytes]
    short_term: Mapping[str, bytes]


class Work(NamedTuple):
    """What an invocation was, as far as somebody may ask for its Result once more.

    Args:
        invocation_id: 16 bytes.
        key: As in the invocation.
        run_number: Of the key.
        attempt: That has succeeded.
        memory_version: That it started from.
    """

    invocation_id: bytes
    key: bytes
    run_number: int
    attempt: int
    memory_version: bytes


# An event as an action sent it: its type, its payload, and whether the payload is the value itself rather than its
# JSON. A plain tuple: one is made per event.
SentEvent = tuple[str, bytes, bool]


class Succeeded:
    """The action returned. Events are in the order they were sent."""

    __slots__ = ("changes", "cost_bytes", "events", "handle", "invocation")

    # Not a dataclass: one is made per invocation, and a frozen dataclass takes three times as long to make.
    def __init__(
        self,
        handle: int,
        events: list[SentEvent],
        changes: MemoryChanges | None,
        cost_bytes: int,
        invocation: Invocation | Work | None = None,
    ) -> None:
        self.handle = handle
        self.events = events
        self.changes = changes
        self.cost_bytes = cost_bytes
        # What has succeeded; None if nobody may ask for the result once more.
        self.invocation = invocation

    @property
    def metrics(self) -> Sequence[MetricDelta]:
        """Changes of metrics."""
        return ()

    @property
    def ran_ms(self) -> int:
        """How long its code ran, if it had a time limit."""
        return 0


class Measured(Succeeded):
    """It has changed metrics, or had a time limit. A class of its own, so that the others pay nothing for it."""

    __slots__ = ("_metrics", "_ran_ms")

    def __init__(
        self,
        handle: int,
        events: list[SentEvent],
        changes: MemoryChanges | None,
        cost_bytes: int,
        invocation: Invocation | Work | None,
        metrics: Sequence[MetricDelta],
        ran_ms: int = 0,
    ) -> None:
        super().__init__(handle, events, changes, cost_bytes, invocation)
        self._metrics = metrics
        self._ran_ms = ran_ms

    @property
    def metrics(self) -> Sequence[MetricDelta]:
        return self._metrics

    @property
    def ran_ms(self) -> int:
        return self._ran_ms


class HandedBack(Measured):
    """An earlier start of the operator had this result already: it was kept and not computed now."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt ended by an exception, a time-out, or could not be started.

    Args:
        handle: Of the attempt.
        kind: What sort of failure.
        exception: "package.module.Class" of the exception.
        message: Its text.
        stack: The Python stack with notes; empty if there is none.
        retry_after_ms: From RetryableError(after=); 0: as the policy says.
        cost_bytes: Byte credits that the invocation was charged.
        drop_calls: Records that the next attempt must not be given: of the call that ended this one.
        metrics: Changes of metrics: what was paid was paid.
        ran_ms: How long its code ran, if it had a time limit.
        invocation_id: Of the invocation; empty if the next attempt may need what this worker has kept of its durable
            calls: the job may not have all of it when it has this, or has sent that attempt before.
        attempt: Number of the attempt.
    """

    handle: int
    kind: FailureKind
    exception: str
    message: str
    stack: str = ""
    retry_after_ms: int = 0
    cost_bytes: int = 0
    drop_calls: Sequence[CallPlace] = ()
    metrics: Sequence[MetricDelta] = ()
    ran_ms: int = 0
    invocation_id: bytes = b""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class NeedsMemory:
    """The worker does not have the memory version that the invocation starts from."""

    handle: int
    cost_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Bounced:
    """The invocation is given back undone."""

    handle: int
    reason: BounceReason
    cost_bytes: int = 0


Outcome = Succeeded | Failed | NeedsMemory | Bounced


@dataclass(slots=True)
class LocalInvocation:
    """An invocation made in this process: tests, the local runner, a simulation."""

    handle: int
    action: int
    invocation_id: bytes
    event_type: str
    payload: bytes
    attempt: int = 1
    key: bytes = b"null"
    is_key_raw: bool = False
    run_number: int = 1
    failures: int = 0
    is_raw: bool = False
    event_source: bytes = bytes(16)
    event_position: int = 0
    upstream_action: str = ""
    upstream_event_id: bytes = b""
    timestamp: int | None = None
    watermark: int | None = None
    remaining_ms: int = 0
    traceparent: str = ""
    memory_form: MemoryForm = MemoryForm.AS_YOU_HAVE_IT
    memory_version: bytes = b""
    memory_from: bytes = b""
    clear_sensory: bool = False
    sensory_count: int = 0
    memory_path: Sequence[str] = ()
    memory_value: Sequence[bytes] = ()
    cost_bytes: int = 0
    calls: Sequence[CallRecord] = ()

    def detach(self) -> None:
        """Nothing to let go of."""
