"""The `RunnerContext` of one attempt."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flink_actions.engine.durable import LONGEST_WAIT_SECONDS, DurableCalls, Request
from flink_actions.engine.failures import failure_of
from flink_actions.engine.identity import key_value
from flink_actions.engine.invocation import Failed, Invocation, Measured, MemoryChanges, SentEvent, Succeeded
from flink_actions.engine.memory import AttemptMemory, MemoryNode
from flink_actions.engine.metrics import AttemptMetrics, MetricDelta
from flink_actions.engine.mirrors import Mirror, VersionMint
from flink_actions.engine.running_time import RunningTime
from flink_actions.engine.task_paths import TaskNode
from flink_actions.sdk import durable
from flink_actions.sdk.context import RunnerContext
from flink_actions.sdk.errors import ContextEndedError, DurableCallError
from flink_actions.sdk.memory import MemoryObject
from flink_actions.sdk.metrics import MetricGroup
from flink_actions.sdk.resources import Resource, ResourceType

if TYPE_CHECKING:
    from flink_actions.engine.permits import Bucket
    from flink_actions.engine.references import ResourceKey
    from flink_actions.engine.scope import ActionState, Scope
    from flink_actions.sdk.configuration import ReadableConfiguration
    from flink_actions.sdk.events import Event

    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter

# Several threads of one action may look at its memory for the first time at once. Held for a microsecond, by nobody who
# waits.
_first_look = threading.Lock()


class InvocationContext(RunnerContext):
    """What one attempt sees of its run, and what it has done so far.

    Args:
        invocation: What is being done.
        state: The action that does it.
        scope: Whose invocation it is.
        mirror: The key's memory; None: empty, until somebody looks.
    """

    __slots__ = (
        "_invocation",
        "_scope",
        "_state",
        "_task_root",
        "calls",
        "events",
        "is_ended",
        "metrics",
        "mirror",
        "sensory",
        "short_term",
        "time",
        "waiting_threads",
    )

    def __init__(self, invocation: Invocation, state: ActionState, scope: Scope, mirror: Mirror | None) -> None:
        self._invocation = invocation
        self._state = state
        self._scope = scope
        self.mirror = mirror
        self.is_ended = False
        self.sensory: AttemptMemory | None = None
        self.short_term: AttemptMemory | None = None
        self.events: list[SentEvent] = []
        # Made when they are first needed: most attempts make no durable call and start no task.
        self.calls: DurableCalls | None = None
        self.metrics: AttemptMetrics | None = None
        self._task_root: TaskNode | None = None
        # Those that wait for permits, and of what.
        self.waiting_threads: dict[concurrent.futures.Future[None], Bucket] | None = None
        remaining_ms = invocation.remaining_ms
        # None: it may take as long as it likes, and nobody asks how long it does.
        self.time = RunningTime(remaining_ms, scope.clock) if remaining_ms else None

    # ---- for the engine ----

    def end(self) -> None:
        """From now on use is an error."""
        if self.waiting_threads:
            for granted, bucket in list(self.waiting_threads.items()):
                bucket.give_up(granted, self.ended_error("a permit"))
        self.is_ended = True
        if self._task_root is not None:
            # They would hold each other.
            self._task_root.context = None
        if self.sensory is not None:
            self.sensory.is_ended = True
        if self.short_term is not None:
            self.short_term.is_ended = True
        if self.calls is not None:
            self.calls.end()
        if self.metrics is not None:
            self.metrics.end()
        if self.time is not None:
            self.time.end()

    def failure(self, error: BaseException) -> Failed:
        """What to report when the action has raised."""
        failed = failure_of(self._invocation, error, self.calls)
        if self.metrics is None and self.time is None:
            return failed
        return replace(failed, metrics=self._metric_deltas(), ran_ms=self._ran_ms())

    def succeeded(self, changes: MemoryChanges | None, *, is_kept: bool = True) -> Succeeded:
        """What to report when the action has returned."""
        invocation = self._invocation
        handle, cost, kept = invocation.handle, invocation.cost_bytes, invocation if is_kept else None
        # A copy: a thread that the action has left behind may be about to send one more, and a count that does not fit
        # would give the events of one result to another.
        events = list(self.events)
        if self.metrics is None and self.time is None:
            return Succeeded(handle, events, changes, cost, kept)
        return Measured(handle, events, changes, cost, kept, self._metric_deltas(), self._ran_ms())

    def _metric_deltas(self) -> Sequence[MetricDelta]:
        return () if self.metrics is None else self.metrics.deltas()

    def _ran_ms(self) -> int:
        return 0 if self.time is None else self.time.ran_ms

    def task_root(self) -> TaskNode:
        """The action's own task. On the event loop's thread."""
        if self._task_root is None:
            self._task_root = TaskNode(context=self)
        return self._task_root

    def durable_calls(self) -> DurableCalls:
        """This attempt's durable calls. On the event loop's thread."""
        if self.calls is None:
            self.calls = DurableCalls(self, self._invocation, self._state.action, self._scope)
        return self.calls

    def begin_wait(self) -> None:
        """Some of its code waits for a permit. On the event loop's thread."""
        if self.time is not None:
            self.time.begin_wait()

    def end_wait(self, resource: ResourceKey, seconds: float) -> None:
        """It has waited so long. On the event loop's thread."""
        if self.time is not None:
            self.time.end_wait()
        if not self.is_ended:
            (self.metrics or self._begin_metrics()).count_wait(resource, seconds)

    def commit(self, mint: VersionMint) -> MemoryChanges | None:
        """What was written, as changes from one version to a new one; the mirror follows. None: nothing was."""
        sensory, short_term = self.sensory, self.short_term
        # Copies: a thread that the action has left behind may be about to write once more, and what it wrote between
        # here and the frame would be in the job's memory and not in the mirror.
        changed_sensory = dict(sensory.changes) if sensory is not None else None
        changed_short_term = dict(short_term.changes) if short_term is not None else None
        if not changed_sensory and not changed_short_term:
            return None
        mirror = self.mirror
        assert mirror is not None, "memory that was written has a mirror"
        invocation = self._invocation
        changes = MemoryChanges(invocation.memory_version, mint.next(), changed_sensory or {}, changed_short_term or {})
        self._scope.mirrors.commit(mirror, changes)
        return changes

    # ---- for the action ----

    def send_event(self, event: Event) -> None:
        if self.is_ended:
            self._refuse("send_event")
        try:
            payload, is_raw = event.wire_payload()
        except AttributeError:
            raise TypeError(
                f"send_event takes an Event, not {event!r}: wrap a result as OutputEvent(output=...)"
            ) from None
        events = self.events
        position = len(events)
        sent = (event.type, payload, is_raw)
        events.append(sent)
        if events[position] is not sent:  # another thread of the action sent one in between
            position = next(index for index, known in enumerate(events) if known is sent)
        if event._origin is None and event._sent is None:
            try:
                event._sent = (self._invocation, position)  # type: ignore[assignment]
            except AttributeError:  # a frozen dataclass
                object.__setattr__(event, "_sent", (self._invocation, position))

    async def durable_execute_async(
        self,
        func: Callable[..., Any],
        *args: Any,
        reconciler: Callable[[], Any] | None = None,
        durable_id: str | None = None,
        **kwargs: Any,
    ) -> Any:
        if self.is_ended:
            self._refuse("durable_execute_async")
        self._refuse_nested(func)
        return await self.durable_calls().execute_async(Request(func, args, kwargs, reconciler, durable_id))

    def durable_execute(
        self,
        func: Callable[..., Any],
        *args: Any,
        reconciler: Callable[[], Any] | None = None,
        durable_id: str | None = None,
        **kwargs: Any,
    ) -> Any:
        if self.is_ended:
            self._refuse("durable_execute")
        self._refuse_nested(func)
        request = Request(func, args, kwargs, reconciler, durable_id)
        if asyncio._get_running_loop() is not None:
            raise DurableCallError(
                f"ctx.durable_execute({request.function_id}, ...) would block the event loop and with it every other "
                "action: write `await ctx.durable_execute_async(...)`, or make the action a `def`"
            )
        return (self.calls or self._calls_for_thread()).execute(request)

    def _calls_for_thread(self) -> DurableCalls:
        """This attempt's durable calls, made on the event loop's thread: they look at what the worker has kept."""
        made: concurrent.futures.Future[DurableCalls] = concurrent.futures.Future()

        def make() -> None:
            try:
                # It may have been given up since its thread looked.
                if self.is_ended:
                    self._refuse("durable_execute")
                made.set_result(self.durable_calls())
            except Exception as error:
                made.set_exception(error)

        self._scope.loop.call_soon_threadsafe(make)
        return made.result(timeout=LONGEST_WAIT_SECONDS)

    def get_resource(self, name: str, type: ResourceType) -> Resource:
        if self.is_ended:
            self._refuse("get_resource")
        return self._state.resources.get_resource(name, type)

    async def get_resource_async(self, name: str, type: ResourceType) -> Resource:
        if self.is_ended:
            self._refuse("get_resource_async")
        return await self._state.resources.get_resource_async(name, type)

    @property
    def sensory_memory(self) -> MemoryObject:
        return MemoryNode(self.sensory or self._look_at_sensory())

    @property
    def short_term_memory(self) -> MemoryObject:
        return MemoryNode(self.short_term or self._look_at_short_term())

    @property
    def config(self) -> ReadableConfiguration:
        return self._scope.config

    @property
    def action_config(self) -> Mapping[str, Any]:
        return self._state.action.config

    def get_action_config_value(self, key: str) -> Any:
        return self._state.action.config.get(key)

    @property
    def agent_metric_group(self) -> MetricGroup:
        return (self.metrics or self._begin_metrics()).agent

    @property
    def action_metric_group(self) -> MetricGroup:
        return (self.metrics or self._begin_metrics()).own

    def _begin_metrics(self) -> AttemptMetrics:
        if self.is_ended:
            self._refuse("its metrics")
        with _first_look:
            metrics = self.metrics
            if metrics is None:
                metrics = self.metrics = AttemptMetrics(self._refuse)
        return metrics

    @property
    def key(self) -> Any:
        invocation = self._invocation
        return invocation.key if invocation.is_key_raw else key_value(invocation.key)

    @property
    def run_number(self) -> int:
        return self._invocation.run_number

    @property
    def attempt(self) -> int:
        return self._invocation.attempt

    @property
    def invocation_id(self) -> str:
        return self._invocation.invocation_id.hex()

    @property
    def timestamp(self) -> int | None:
        return self._invocation.timestamp

    @property
    def watermark(self) -> int | None:
        return self._invocation.watermark

    @property
    def deadline(self) -> float | None:
        return None if self.time is None else self.time.due

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        plan, action = self._scope.plan, self._state.action
        logger = logging.getLogger(f"flink_actions.actions.{plan.agent}.{action.name}")
        about = {
            "key": self.key,
            "run": self.run_number,
            "action": action.name,
            "attempt": self.attempt,
            "invocation_id": self.invocation_id,
            "epoch": self._scope.epoch,
        }
        return _InvocationLogger(logger, about)

    @property
    def trace(self) -> str | None:
        return self._invocation.traceparent or None

    def _look_at_sensory(self) -> AttemptMemory:
        """Make the attempt's view of its sensory memory, once whoever asks."""
        with _first_look:
            if self.sensory is None:
                self.sensory = AttemptMemory("sensory", self._read_mirror().sensory)
            return self.sensory

    def _look_at_short_term(self) -> AttemptMemory:
        with _first_look:
            if self.short_term is None:
                self.short_term = AttemptMemory("short_term", self._read_mirror().short_term)
            return self.short_term

    def _read_mirror(self) -> Mirror:
        if self.is_ended:
            self._refuse("memory")
        mirror = self.mirror
        if mirror is None:
            mirror = self.mirror = Mirror(self._invocation.key)
        return mirror

    def _refuse_nested(self, function: Any) -> None:
        outer = durable._current.get()
        if outer is not None:
            raise DurableCallError(
                f"a durable call of {function!r} inside that of {outer.function_id}: the record of the outer one "
                "answers for both, so the inner one could never be replayed; call the function itself here"
            )

    def _refuse(self, what: str) -> None:
        raise self.ended_error(what)

    def ended_error(self, what: str) -> ContextEndedError:
        """What was used although the attempt was over."""
        invocation = self._invocation
        return ContextEndedError(
            f"{what} was used after action {self._state.action.name!r} had ended (key {invocation.key!r}, run "
            f"{invocation.run_number}, "
            f"attempt {invocation.attempt}): await every task that the action starts"
        )


class _InvocationLogger(_Adapter):
    """Adds to a record whose it is: all of it as fields, and in the text what a person wants to know.

    What a restore takes back was logged all the same: of the records of one invocation, those of its last epoch count.
    """

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        extra = self.extra or {}
        kwargs["extra"] = {**extra, **(kwargs.get("extra") or {})}
        about = f"{extra['action']} key={extra['key']!r} run={extra['run']} attempt={extra['attempt']}"
        return f"[{about}] {msg}", kwargs
