"""Run an agent in this process, on the engine that a worker runs.

What the Flink operator does to order and state is done here by a small stand-in with the same rules: inputs of a key
one after the other, each a run; the invocations of a run in the order their events were sent; a result applied whole or
not at all; sensory memory gone at the end of the run; a failed action tried again as its policies say (without the
waits), its recorded durable calls replayed; a permit of a resource given at once. So a test of an agent tells how the
agent will behave in a job, save for what needs Flink (checkpoints, event time).

    def test_a_verdict_comes_after_three_bad_reviews() -> None:
        reviews = [Review("shop", stars) for stars in (1, 2, 1)]
        result = run_agent(Verdicts(), reviews, key_by=lambda review: review.shop)
        assert result.outputs == [{"shop": "shop", "verdict": "bad"}]
        assert result.memory("shop") == {"bad": 3}
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from flink_actions.engine.dispatcher import Dispatcher, EngineSettings
from flink_actions.engine.identity import event_digest, invocation_id, run_id
from flink_actions.engine.invocation import (
    Bounced,
    CallNote,
    CallPlace,
    CallRecord,
    CancelReason,
    Failed,
    FailureKind,
    LocalInvocation,
    MemoryChanges,
    MemoryForm,
    NeedsMemory,
    Outcome,
    SentEvent,
    Succeeded,
)
from flink_actions.engine.mirrors import OBJECT, VersionMint
from flink_actions.engine.outbox import Outbox
from flink_actions.engine.pickled import PickleConsent
from flink_actions.engine.plan import Action, FailurePolicy, Plan, compile_plan
from flink_actions.sdk import values
from flink_actions.sdk.agent import Agent
from flink_actions.sdk.errors import FlinkActionsError
from flink_actions.sdk.events import INPUT_EVENT, OUTPUT_EVENT, event_id
from flink_actions.sdk.policies import OnFailure

__all__ = ["ActionFailedError", "AgentResult", "AgentRunner", "SeenEvent", "run_agent"]

_NAMESPACE = "local"
_DEFAULT_LIMIT_SECONDS = 60.0
# A job's, where neither it nor the agent names one.
_DEFAULT_HOP_LIMIT = 1000
_NEVER_RETRIED = (
    FailureKind.TERMINAL,
    FailureKind.REPLAY_MISMATCH,
    FailureKind.UNKNOWN_ACTION,
    FailureKind.TOO_LARGE,
)


class ActionFailedError(FlinkActionsError):
    """An action failed; in a job without another policy the job would fail.

    Args:
        failure: What the engine reported.
        action: The action's name.
        key: Of its run.
    """

    def __init__(self, failure: Failed, action: str, key: Any) -> None:
        super().__init__(
            f"action {action!r} failed on key {key!r}: {failure.exception}: {failure.message}\n{failure.stack}"
        )
        self.failure = failure
        self.action = action
        self.key = key


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """An event of a run, as it was sent.

    Args:
        type: Its type.
        value: The input, the output, or the attributes; plain JSON values.
        key: Of its run.
        run_number: Of its run.
        action: Who sent it; empty for an input.
        timestamp: Of the run's input.
    """

    type: str
    value: Any
    key: Any
    run_number: int
    action: str
    timestamp: int | None


@dataclass(frozen=True, slots=True)
class AgentResult:
    """What inputs came to.

    Args:
        events: All events, inputs and outputs among them: in order within a key, across keys as they happened.
        memories: Key (as JSON text) → short-term memory, nested dicts of plain values.
        dead_letters: Failures of actions that are declared with on_failure="dead_letter", after their last attempt.
    """

    events: list[SeenEvent]
    memories: Mapping[bytes, dict[str, Any]]
    dead_letters: list[ActionFailedError] = field(default_factory=list)

    @property
    def outputs(self) -> list[Any]:
        """Values of the output events."""
        return [event.value for event in self.events if event.type == OUTPUT_EVENT]

    def outputs_of(self, key: Any) -> list[Any]:
        """Values of the output events of one key, in order."""
        return [event.value for event in self.events if event.type == OUTPUT_EVENT and event.key == key]

    def events_of_type(self, event_type: str) -> list[SeenEvent]:
        """The events of one type."""
        return [event for event in self.events if event.type == event_type]

    def memory(self, key: Any) -> dict[str, Any]:
        """Short-term memory of a key after all inputs."""
        return self.memories.get(values.encode(key, "key"), {})


def run_agent(
    agent: Agent | type[Agent] | Plan,
    inputs: Iterable[Any],
    *,
    key_by: Callable[[Any], Any] | None = None,
    config: Mapping[str, Any] | None = None,
    limit_seconds: float = _DEFAULT_LIMIT_SECONDS,
    allow_pickle: bool = False,
) -> AgentResult:
    """Run inputs through an agent and wait for all they cause.

    Args:
        agent: The agent, its class, or its plan.
        inputs: In the order of the stream.
        key_by: Gives an input's key; without it all have the key None.
        config: `ctx.config`, and overrides of resources' arguments.
        limit_seconds: How long all of it may take.
        allow_pickle: As if server and job both allowed pickles: values of durable calls may have no JSON form.

    Raises:
        ActionFailedError: An action failed.
        TimeoutError: It took longer.
    """

    async def run() -> AgentResult:
        async with AgentRunner(agent, config=config, allow_pickle=allow_pickle) as runner:
            for value in inputs:
                runner.send(value, key=None if key_by is None else key_by(value))
            await runner.settle(limit_seconds)
            return runner.result()

    return asyncio.run(run())


@dataclass(slots=True)
class _Pending:
    """An event that triggers an action, waiting for its turn in its run."""

    action: Action
    event_type: str
    payload: bytes
    is_raw: bool
    source: bytes
    position: int
    upstream_action: str
    upstream_event_id: bytes
    hops: int


@dataclass(slots=True)
class _Lane:
    """One key: its memory as the operator keeps it, its current run and the inputs behind that."""

    key: Any
    encoded_key: bytes
    inputs: deque[tuple[bytes, bool, int | None]] = field(default_factory=deque)
    pending: deque[_Pending] = field(default_factory=deque)
    current: tuple[_Pending, LocalInvocation] | None = None
    # Of the current invocation.
    calls: dict[CallPlace, CallRecord] = field(default_factory=dict)
    run_number: int = -1
    run_id: bytes = b""
    ordinal: int = 0
    timestamp: int | None = None
    version: bytes = b""
    # The version that the engine is believed to have; another one than `version` when only a delta separates them.
    sent_version: bytes = b""
    clear_sensory: bool = False
    sensory: dict[str, bytes] = field(default_factory=dict)
    short_term: dict[str, bytes] = field(default_factory=dict)


class AgentRunner:
    """An agent, running: `async with AgentRunner(agent) as runner`.

    Args:
        agent: The agent, its class, or its plan.
        config: `ctx.config`, and overrides of resources' arguments.
        hop_limit: How many events deep one input may chain, where the agent names no limit.
        random_bytes: Source of memory versions; None: the system's.
        allow_pickle: As if server and job both allowed pickles.
    """

    def __init__(
        self,
        agent: Agent | type[Agent] | Plan,
        *,
        config: Mapping[str, Any] | None = None,
        hop_limit: int = _DEFAULT_HOP_LIMIT,
        random_bytes: Callable[[int], bytes] | None = None,
        allow_pickle: bool = False,
    ) -> None:
        if isinstance(agent, type):
            agent = agent()
        self.plan = agent if isinstance(agent, Plan) else compile_plan(agent, type(agent).__name__)
        self.events: list[SeenEvent] = []
        self.dead_letters: list[ActionFailedError] = []
        self._config = dict(config or {})
        self._hop_limit = self.plan.hop_limit or hop_limit
        self._random_bytes = random_bytes
        self._allow_pickle = allow_pickle
        self._lanes: dict[bytes, _Lane] = {}
        self._lane_of: dict[int, _Lane] = {}
        self._last_handle = 0
        self._failure: FlinkActionsError | None = None
        self._ready: list[LocalInvocation] = []

    async def __aenter__(self) -> AgentRunner:
        settings = EngineSettings(config=self._config, waits_for_permits=False)
        self._dispatcher = (
            Dispatcher(settings)
            if self._random_bytes is None
            else Dispatcher(settings, random_bytes=self._random_bytes)
        )
        self._mint = VersionMint(self._random_bytes or os.urandom)
        self._woken = asyncio.Event()
        self._outbox = Outbox(self._woken.set)
        self._scope = self._dispatcher.open_scope(
            self.plan, namespace=_NAMESPACE, operator_uid=self.plan.agent, config=self._config
        )
        self._scope.pickles = PickleConsent(server=self._allow_pickle, job=self._allow_pickle)
        self._scope.attach(self._outbox)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self._dispatcher.end_scope(self._scope, CancelReason.JOB_CANCELLED)
        await self._dispatcher.close()

    def send(self, value: Any, *, key: Any = None, timestamp: int | None = None) -> None:
        """Put an input into its key's lane. It runs when the lane is free and somebody awaits `settle`.

        Raises:
            NotEncodableError: The value or the key has no wire form.
        """
        encoded_key = values.encode(key, "key")
        lane = self._lanes.get(encoded_key)
        if lane is None:
            lane = self._lanes[encoded_key] = _Lane(key, encoded_key)
        is_raw = type(value) is bytes
        lane.inputs.append((value if is_raw else values.encode(value, "input"), is_raw, timestamp))
        if lane.current is None:
            self._advance(lane)

    async def settle(self, limit_seconds: float = _DEFAULT_LIMIT_SECONDS) -> None:
        """Wait until all inputs and what they caused are done.

        Raises:
            ActionFailedError: An action failed.
            TimeoutError: It took longer than the limit.
        """
        deadline = asyncio.get_running_loop().time() + limit_seconds
        while self._failure is None:
            if self._ready:
                batch, self._ready = self._ready, []
                self._dispatcher.submit(batch, self._scope, _nobody_waits)
            if not self._lane_of:
                return
            left = deadline - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(self._woken.wait(), left)
            except asyncio.TimeoutError:
                running = sorted({lane.current[0].action.name for lane in self._lane_of.values() if lane.current})
                raise TimeoutError(f"after {limit_seconds:g} s these actions still run: {', '.join(running)}") from None
            self._woken.clear()
            for note in self._outbox.drain_notes():
                self._on_call(note)
            for outcome in self._outbox.drain():
                self._on_outcome(outcome)
        raise self._failure

    def result(self) -> AgentResult:
        """What has happened so far."""
        memories = {lane.encoded_key: _nested(lane.short_term) for lane in self._lanes.values() if lane.short_term}
        return AgentResult(list(self.events), memories, list(self.dead_letters))

    # ---- what the operator does ----

    def _advance(self, lane: _Lane) -> None:
        """Start the lane's next invocation, or its next input, or leave it idle."""
        while True:
            if lane.pending:
                self._invoke(lane, lane.pending.popleft())
                return
            if lane.sensory:
                # The run is over.
                lane.sensory.clear()
                lane.clear_sensory = True
                lane.version = self._mint.next()
            if not lane.inputs:
                return
            payload, is_raw, lane.timestamp = lane.inputs.popleft()
            lane.run_number += 1
            lane.ordinal = 0
            digest = event_digest(INPUT_EVENT, payload, is_raw=is_raw, timestamp=lane.timestamp)
            lane.run_id = run_id(_NAMESPACE, self.plan.agent, lane.encoded_key, lane.run_number, digest)
            self._on_event(lane, (INPUT_EVENT, payload, is_raw), lane.run_id, 0, None)

    def _on_event(self, lane: _Lane, event: SentEvent, source: bytes, position: int, upstream: _Pending | None) -> None:
        """An event has happened, sent by the action that `upstream` triggered; None: an input."""
        event_type, payload, is_raw = event
        value = payload if is_raw else values.decode(payload, None, event_type)
        sender = "" if upstream is None else upstream.action.name
        self.events.append(SeenEvent(event_type, value, lane.key, lane.run_number, sender, lane.timestamp))
        hops = 0 if upstream is None else upstream.hops + 1
        upstream_id = b"" if upstream is None else event_id(upstream.source, upstream.position).bytes
        for action in self.plan.actions_for(event_type):
            lane.pending.append(
                _Pending(action, event_type, payload, is_raw, source, position, sender, upstream_id, hops)
            )

    def _invoke(self, lane: _Lane, pending: _Pending) -> None:
        digest = event_digest(pending.event_type, pending.payload, is_raw=pending.is_raw, timestamp=lane.timestamp)
        self._last_handle += 1
        invocation = LocalInvocation(
            handle=self._last_handle,
            action=pending.action.index,
            invocation_id=invocation_id(lane.run_id, pending.action.name, lane.ordinal, digest),
            event_type=pending.event_type,
            payload=pending.payload,
            is_raw=pending.is_raw,
            key=lane.encoded_key,
            run_number=lane.run_number,
            event_source=pending.source,
            event_position=pending.position,
            upstream_action=pending.upstream_action,
            upstream_event_id=pending.upstream_event_id,
            timestamp=lane.timestamp,
            remaining_ms=pending.action.timeout_ms,
            memory_version=lane.version,
        )
        if lane.clear_sensory:
            invocation.memory_form, invocation.memory_from = MemoryForm.DELTA, lane.sent_version
            invocation.clear_sensory, lane.clear_sensory = True, False
        lane.sent_version = lane.version
        lane.ordinal += 1
        lane.calls = {}
        lane.current = (pending, invocation)
        self._lane_of[invocation.handle] = lane
        self._ready.append(invocation)

    def _on_call(self, note: CallNote) -> None:
        lane = self._lane_of.get(note.handle)
        if lane is not None:
            lane.calls[note.record.place] = note.record
            self._scope.calls_recorded(note.handle, [note.record.place])

    def _on_failure(self, lane: _Lane, pending: _Pending, invocation: LocalInvocation, failed: Failed) -> None:
        """Try again, or do what the action's policy says when no attempt is left."""
        for place in failed.drop_calls:
            lane.calls.pop(place, None)
        # There is no job here whose default could hold.
        policy = pending.action.failure_policy or FailurePolicy()
        if failed.kind not in _NEVER_RETRIED and invocation.failures + 1 < policy.max_attempts:
            self._last_handle += 1
            again = dataclasses.replace(
                invocation,
                handle=self._last_handle,
                attempt=invocation.attempt + 1,
                failures=invocation.failures + 1,
                calls=tuple(lane.calls.values()),
            )
            if again.memory_form is MemoryForm.DELTA:
                # The first attempt has brought the change.
                again.memory_form, again.clear_sensory = MemoryForm.AS_YOU_HAVE_IT, False
            lane.current = (pending, again)
            self._lane_of[again.handle] = lane
            self._ready.append(again)
            return
        error = ActionFailedError(failed, pending.action.name, lane.key)
        if policy.on_failure is OnFailure.FAIL:
            self._failure = self._failure or error
            return
        if policy.on_failure is OnFailure.DEAD_LETTER:
            self.dead_letters.append(error)
        self._advance(lane)

    def _on_outcome(self, outcome: Outcome) -> None:
        lane = self._lane_of.pop(outcome.handle)
        assert lane.current is not None, "a lane that is answered has asked"
        pending, invocation = lane.current
        if isinstance(outcome, NeedsMemory):
            invocation.memory_form = MemoryForm.FULL
            invocation.sensory_count = len(lane.sensory)
            invocation.memory_path = [*lane.sensory, *lane.short_term]
            invocation.memory_value = [*lane.sensory.values(), *lane.short_term.values()]
            self._lane_of[invocation.handle] = lane
            self._ready.append(invocation)
            return
        lane.current = None
        if isinstance(outcome, Failed):
            self._on_failure(lane, pending, invocation, outcome)
        elif isinstance(outcome, Bounced):
            self._failure = FlinkActionsError(f"action {pending.action.name!r} was given back: {outcome.reason.name}")
        elif isinstance(outcome, Succeeded):
            self._apply(lane, pending, invocation, outcome)

    def _apply(self, lane: _Lane, pending: _Pending, invocation: LocalInvocation, result: Succeeded) -> None:
        for event_type, _, _ in result.events:
            if pending.hops >= self._hop_limit and self.plan.actions_for(event_type):
                failed = _hop_limit_exceeded(result.handle, pending.hops, event_type, self._hop_limit)
                self._on_failure(lane, pending, invocation, failed)
                return
        changes: MemoryChanges | None = result.changes
        if changes is not None:
            assert changes.base == lane.version, "one invocation of a key at a time"
            lane.version = lane.sent_version = changes.version
            for memory, changed in ((lane.sensory, changes.sensory), (lane.short_term, changes.short_term)):
                for path, value in changed.items():
                    if value:
                        memory[path] = value
                    else:
                        memory.pop(path, None)
        for position, event in enumerate(result.events):
            self._on_event(lane, event, invocation.invocation_id, position, pending)
        if self._failure is None:
            self._advance(lane)


def _hop_limit_exceeded(handle: int, hops: int, event_type: str, limit: int) -> Failed:
    return Failed(
        handle,
        FailureKind.TERMINAL,
        "HopLimitExceeded",
        f"one input has chained {hops} events, and event {event_type!r} would chain another, beyond the hop limit of "
        f"{limit}; an action that sends what triggers it never ends. If the chain is meant, raise the agent's "
        "hop_limit",
    )


def _nested(entries: Mapping[str, bytes]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path in sorted(entries):  # a parent before what is below it
        *parents, name = path.split(".")
        parent = root
        for part in parents:
            parent = parent[part]
        parent[name] = {} if entries[path] == OBJECT else values.decode(entries[path], None, path)
    return root


def _nobody_waits() -> None:
    """There is no frame to acknowledge."""
