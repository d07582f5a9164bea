"""What one start of an operator subtask has in a worker."""

from __future__ import annotations

import asyncio
import logging
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from flink_actions.engine.attempt import Attempt
from flink_actions.engine.invocation import (
    CallNote,
    CallPlace,
    CallRecord,
    Invocation,
    Outcome,
)
from flink_actions.engine.kept import KeptWork
from flink_actions.engine.mirrors import Mirrors
from flink_actions.engine.outbox import Outbox
from flink_actions.engine.pickled import NO_PICKLES
from flink_actions.engine.places import Places
from flink_actions.engine.plan import Action, Plan
from flink_actions.engine.resources import ResourceRegistry
from flink_actions.sdk import values
from flink_actions.sdk.configuration import ReadableConfiguration
from flink_actions.sdk.events import Event, InputEvent, OutputEvent

_log = logging.getLogger(__name__)

# How an action's share of suspended invocations decides how it is begun; see ActionState.
_SAMPLE = 16
_FORGET_AT = 512

# gRPC's own default; the session says if it is another.
_MAX_FRAME_BYTES = 4 << 20


class ActionState:
    """An action of a plan as this worker runs it, and what it has learnt about it.

    Making a task costs several times as much as stepping in a shared one, but when a shared one is held up by an action
    that waits, the rest of the frame has to wait for the next. So actions are stepped by the leader until a quarter of
    the invocations suspend; then each gets a task at once, and only one in 16 is stepped by the leader to see whether
    that still holds. Likewise `def` actions share one job of the pool per frame until they turn out to block.
    """

    __slots__ = (
        "_count",
        "_receivers",
        "_suspended",
        "action",
        "blocks",
        "event_of",
        "function",
        "gets_task",
        "has_returned_something",
        "is_coroutine",
        "places",
        "quick_runs",
        "resources",
        "stepped",
        "suspends",
    )

    def __init__(self, action: Action, resources: ResourceRegistry) -> None:
        self.action = action
        self.function = action.function
        self.resources = resources
        self.is_coroutine = action.is_coroutine
        self._receivers = {
            event_type: receiver(event_type, action.event_classes.get(event_type)) for event_type in action.triggers
        }
        # Makes the event of an invocation, as the class that the function declares. With one trigger its type needs no
        # look. Raises NotDecodableError if a typed event's attributes are not what its class declares.
        self.event_of: Receive = self._receive_any if len(action.triggers) > 1 else self._receivers[action.triggers[0]]
        # None: as many as come.
        self.places = Places(action.concurrency) if action.concurrency else None
        self.has_returned_something = False
        self.gets_task = False
        # Some of it may: what it hands to a thread in its first step is to know whose it is. To see to that costs as
        # much as the half of a step that does nothing.
        self.suspends = True
        self.blocks = False
        # In a row, since it was seen to block.
        self.quick_runs = 0
        self._count = 0
        # By the leader, and not suspended.
        self.stepped = 0
        self._suspended = 0

    def _receive_any(self, invocation: Invocation) -> Event:
        event_type = invocation.event_type
        receive = self._receivers.get(event_type)
        if receive is None:
            receive = self._receivers[event_type] = receiver(event_type, None)
        return receive(invocation)

    def on_returned(self, value: Any) -> None:
        """A function has returned something, which is lost. It may come in any thread."""
        if self.has_returned_something:
            return
        self.has_returned_something = True
        _log.warning(
            "action %r (%s) has returned a value (%s), which nobody gets: send it, ctx.send_event(OutputEvent(...)). "
            "Said once",
            self.action.name,
            self.action.location,
            type(value).__name__,
        )

    def begins_in_task(self) -> bool:
        """Whether the next invocation gets a task of its own at once."""
        if not self.gets_task:
            return False
        self._count += 1
        return self._count % _SAMPLE != 0

    def on_suspended(self) -> None:
        """The leader has stepped one, and it waits."""
        self._suspended += 1
        self.reconsider()

    def reconsider(self) -> None:
        """Decide anew how the next ones are begun."""
        seen = self.stepped + self._suspended
        if seen >= _SAMPLE:
            self.gets_task = self._suspended * 4 >= seen
            self.suspends = self._suspended > 0
            if seen >= _FORGET_AT:
                self.stepped >>= 1
                self._suspended >>= 1


Receive = Callable[[Invocation], Event]


def receiver(event_type: str, declared: Any) -> Receive:
    """What makes an event of a type from an invocation.

    Args:
        event_type: The type.
        declared: The class, or `InputEvent[T]`, that the action wants; None: as it comes.
    """
    cls: Any = (
        typing.get_origin(declared)
        or declared
        or {"_input_event": InputEvent, "_output_event": OutputEvent}.get(event_type, Event)
    )
    if issubclass(cls, (InputEvent, OutputEvent)):
        return _value_receiver(cls, next(iter(typing.get_args(declared)), None))
    if cls is Event:
        return _untyped_receiver(event_type)
    return _typed_receiver(cls)


def _value_receiver(cls: type[Event], declared: Any) -> Receive:
    new = cls.__new__

    def receive(invocation: Invocation) -> Event:
        event = new(cls)
        event._origin = invocation  # type: ignore[assignment]
        if declared is not None:
            event._declared = declared  # type: ignore[attr-defined]
        return event

    return receive


def _untyped_receiver(event_type: str) -> Receive:
    new = Event.__new__

    def receive(invocation: Invocation) -> Event:
        event = new(Event)
        event.type = event_type
        event._origin = invocation  # type: ignore[assignment]
        return event

    return receive


def _typed_receiver(cls: type[Event]) -> Receive:
    where = cls.EVENT_TYPE

    def receive(invocation: Invocation) -> Event:
        event: Event = values.decode(invocation.payload, cls, where)
        event.__dict__["_origin"] = invocation
        return event

    return receive


class Scope:
    """What one start of an operator subtask has in a worker: its memory mirrors and its open handles.

    It outlives sessions: a session attaches its outbox, and when the stream breaks the invocations go on, their
    outcomes into the last outbox, until the same start attaches another or the session layer ends the scope. Made by
    `Dispatcher.open_scope`; used on the event loop's thread.
    """

    __slots__ = (
        "_on_empty",
        "_outbox",
        "actions",
        "clock",
        "config",
        "epoch",
        "is_ended",
        "kept",
        "loop",
        "max_frame_bytes",
        "mirrors",
        "open",
        "pickles",
        "plan",
        "run_in_pool",
    )

    def __init__(
        self,
        plan: Plan,
        actions: list[ActionState],
        mirrors: Mirrors,
        config: Mapping[str, Any],
        on_empty: Callable[[Scope], None],
        *,
        kept: KeptWork | None,
        epoch: int,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        run_in_pool: Callable[[Callable[[], Any], str], Awaitable[Any]],
    ) -> None:
        self.kept = kept
        self.epoch = epoch
        self.loop = loop
        self.clock = clock
        self.run_in_pool = run_in_pool
        # Longest message that the session's other side takes.
        self.max_frame_bytes = _MAX_FRAME_BYTES
        # Who allows pickles; until the session says otherwise nobody.
        self.pickles = NO_PICKLES
        self.plan = plan
        self.actions = actions
        self.mirrors = mirrors
        self.config = ReadableConfiguration(config)
        # Handle → the attempt if it goes on after its first step, until then the invocation.
        self.open: dict[int, Invocation | Attempt] = {}
        self.is_ended = False
        self._outbox: Outbox | None = None
        self._on_empty = on_empty

    @property
    def open_count(self) -> int:
        """Invocations that were submitted and have no outcome yet."""
        return len(self.open)

    def attach(self, outbox: Outbox) -> None:
        """Send outcomes to this outbox from now on, instead of any earlier one. Before the first they are dropped."""
        self._outbox = outbox

    def forget_keys(self, keys: Iterable[bytes]) -> None:
        """Hint: the operator has no use for the mirrors of these keys."""
        self.mirrors.forget(keys)

    def calls_recorded(self, handle: int, places: Iterable[CallPlace]) -> None:
        """The operator has these records of an open invocation safe."""
        found = self.open.get(handle)
        if isinstance(found, Attempt) and found.context.calls is not None:
            found.context.calls.on_recorded(places)

    def keep_sent(self, session: object, sequence: int, outcomes: Sequence[Outcome]) -> None:
        """Outcomes have left with a session's frames up to `sequence`: keep them until a checkpoint covers them."""
        if self.kept is not None:
            self.kept.add_sent(self, session, sequence, outcomes)

    def on_cut(self, session: object, sequence: int) -> None:
        """A checkpoint that has completed covers a session's frames up to this one."""
        if self.kept is not None:
            self.kept.on_cut(self, session, sequence, self.epoch)

    # ---- for attempts ----

    def note_call(self, invocation: Invocation, record: CallRecord) -> None:
        """Tell the operator of a durable call, if there is a session; a new one is told by `admit`."""
        if self.kept is not None:
            self.kept.add_call(invocation.invocation_id, record)
        if self._outbox is not None:
            self._outbox.put_note(CallNote(invocation.handle, record))

    # ---- for the dispatcher ----

    def admit(self, batch: Sequence[Invocation]) -> Sequence[Invocation]:
        """Enter those that are new here, and give them back.

        One that is open goes on as it is; one whose outcome was kept, for this start or an earlier one, is answered.
        """
        if self.kept is not None and self.kept.has_results_to_give:
            batch = [invocation for invocation in batch if not self._hand_back(invocation, self.kept)]
        fresh = {invocation.handle: invocation for invocation in batch}
        if len(fresh) != len(batch) or not self.open.keys().isdisjoint(fresh):
            fresh = {handle: invocation for handle, invocation in fresh.items() if not self._attach(handle)}
            batch = list(fresh.values())
        self.open.update(fresh)
        return batch

    def answer_from_kept(self, batch: Sequence[Invocation]) -> list[Invocation]:
        """Answer what was kept, and give back the others; of these tell the calls that earlier attempts have made.

        What is open here still is left to its own end.
        """
        rest = []
        for invocation in batch:
            if invocation.handle in self.open or (self.kept is not None and self._hand_back(invocation, self.kept)):
                continue
            rest.append(invocation)
            if self.kept is not None and self._outbox is not None:
                for record in self.kept.calls_of(invocation.invocation_id):
                    self._outbox.put_note(CallNote(invocation.handle, record))
        return rest

    def _hand_back(self, invocation: Invocation, kept: KeptWork) -> bool:
        if invocation.handle in self.open or not kept.has_results_of(invocation.key):
            return False
        # First: `detach` lets go of the memory that came with it.
        mirror = self.mirrors.resolve(invocation) if invocation.memory_version else None
        result = kept.hand_back(invocation)
        if result is None:
            return False
        if mirror is not None and result.changes is not None:
            self.mirrors.commit(mirror, result.changes)
        self.settled((result,))
        return True

    def _attach(self, handle: int) -> bool:
        found = self.open.get(handle)
        if isinstance(found, Attempt) and found.context.calls is not None:
            found.context.calls.send_again()
        return found is not None

    def settle(self, outcome: Outcome) -> None:
        """An open invocation has come to this."""
        if self.open.pop(outcome.handle, None) is not None:
            self.settled((outcome,))
        # Else the job has used the handle twice, which it must not, and has had one answer.

    def settled(self, outcomes: Sequence[Outcome]) -> None:
        """Invocations that are no longer open have come to these."""
        if self._outbox is not None:
            self._outbox.put(outcomes)
        if not self.open:
            self._on_empty(self)

    def end(self, *, is_drained: bool = False) -> None:
        """Nobody will ask for outcomes any more, save the next start for what was computed.

        Args:
            is_drained: The session goes on until it has said what is in the outbox, and its worker ends with it.
        """
        self.is_ended = True
        if self.kept is not None and not is_drained:
            unsent = [] if self._outbox is None else self._outbox.drain()
            self.kept.end_start(self, unsent, self.epoch)
        self._outbox = None
