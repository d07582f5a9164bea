"""The dispatcher: takes invocations, runs them on the event loop or in threads, and puts what they came to into the
outbox.

Rules of the house, all on the event loop's thread:

- Invocations are stepped by one task at a time, the *leader*, never by the task that reads the
  stream: what a coroutine finds as its current task in its first step must stay its task to the end, or
  asyncio.timeout, TaskGroup and anyio break.
- When a coroutine suspends, the leader keeps it to the end, and another task takes the lead. An action that never waits
  so costs no task.
- An action that often suspends gets a task of its own at once (ActionState decides), so that the rest of its frame need
  not wait.
- A `def` action goes to the pool of threads, those of one frame as one job, until they are seen to block.
- An attempt at an action of limited concurrency is begun, but for its code, and waits for a place.
- Each attempt has its own contextvars.Context, and is entered in the scope's `open` until it is settled.
- An attempt at work whose earlier attempt still runs begins when that has ended.
- The time limit of an attempt counts from the moment its code begins. Over it, a coroutine is cancelled; one that has
  not ended 5 s later is given up, like a thread at once: its attempt is settled, and others do not wait for it. So is
  whatever else is cancelled, as soon as somebody waits for its end.
- The loop's task factory numbers the tasks that actions make (see task_paths). The engine's own tasks pass it by.

Time is the event loop's or given, as randomness is: a simulation can drive all of it.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flink_actions.engine.attempt import Attempt
from flink_actions.engine.context import InvocationContext
from flink_actions.engine.failures import failure_without_stack
from flink_actions.engine.invocation import (
    CancelReason,
    FailureKind,
    Invocation,
    MemoryForm,
    NeedsMemory,
    Outcome,
    Succeeded,
)
from flink_actions.engine.kept import KeptWork
from flink_actions.engine.mirrors import Mirrors, VersionMint
from flink_actions.engine.plan import Plan
from flink_actions.engine.resources import ResourceRegistry
from flink_actions.engine.running_time import RunningTime
from flink_actions.engine.scope import ActionState, Scope
from flink_actions.engine.step_slots import NOTHING, StepSlots, show
from flink_actions.engine.stepping import all_of, cancelling_of, one_turn, rest_of
from flink_actions.engine.task_paths import TaskNumbering, running_task
from flink_actions.engine.thread_runner import ThreadRunner

_log = logging.getLogger(__name__)

_AS_YOU_HAVE_IT = MemoryForm.AS_YOU_HAVE_IT

# How often a coroutine that answers its cancellation by going on is cancelled again.
_CANCEL_AGAIN_SECONDS = 5.0
# Why an attempt may be cancelled of which others are to hear soon that it is over.
_SOMEBODY_WAITS = (CancelReason.TIMEOUT, CancelReason.SUPERSEDED, CancelReason.DRAINED)
# How often at most what waits for a thread is looked at, for its time limit.
_LOOK_AGAIN_SECONDS = 0.05
# Of a start that knows that it does not come back.
_LAST_WORDS = (CancelReason.JOB_CANCELLED, CancelReason.FINISHED)
# Operators without a scope whose mirrors and finished work are kept.
_MOST_IDLE_OPERATORS = 64
# Of `close`.
_END_LIMIT_SECONDS = 5.0
_RESOURCES_LIMIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How one worker runs actions.

    Args:
        threads: Size of the pool that `def` actions run in.
        mirror_bytes: Most bytes of keys' memory kept per (namespace, operator uid). What is not kept has to travel
            again.
        kept_bytes: Most bytes of Results and call records kept per (namespace, operator uid) for a job that restarts.
        kept_seconds: Longest time that they are kept.
        config: The server's settings; `<Class>.<argument>` overrides an argument of a resource's descriptor.
        waits_for_permits: Resources are used no more often than their rates say.
    """

    threads: int = 32
    mirror_bytes: int = 256 << 20
    kept_bytes: int = 64 << 20
    kept_seconds: float = 3600.0
    config: Mapping[str, Any] = field(default_factory=dict)
    waits_for_permits: bool = True


class _Batch:
    """The invocations of one frame on their way to the first step."""

    __slots__ = ("for_threads", "has_tasks", "on_stepped", "rest", "scope")

    def __init__(self, invocations: Sequence[Invocation], scope: Scope, on_stepped: Callable[[], None]) -> None:
        self.rest: Iterator[Invocation] = iter(invocations)
        self.scope = scope
        self.on_stepped = on_stepped
        self.for_threads: list[Attempt] = []
        # Some of its invocations were given a task, and that has its first step after the leader's.
        self.has_tasks = False


class Dispatcher:
    """Runs the invocations of one worker.

    Must be made and used on the thread of a running event loop.

    Args:
        settings: See EngineSettings.
        random_bytes: Source of memory versions.
        clock: Seconds, on the scale of the event loop's time, to tell how long code runs and whether a `def` action
            blocks. Not that time itself: uvloop keeps it still between its turns.
        slots: Where to show what is stepped; somewhere in this process if not given.
    """

    def __init__(
        self,
        settings: EngineSettings | None = None,
        *,
        random_bytes: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], float] = time.monotonic,
        slots: StepSlots | None = None,
    ) -> None:
        self._settings = settings or EngineSettings()
        slots = slots or StepSlots(self._settings.threads)
        self._slot = slots.loop
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._mint = VersionMint(random_bytes)
        self._base_context = contextvars.copy_context()
        self._threads = ThreadRunner(
            self._settings.threads, self._loop, clock, self._base_context, self._on_thread_ended, slots
        )
        self._mirrors: dict[tuple[str, str], Mirrors] = {}
        self._kept: dict[tuple[str, str], KeptWork] = {}
        self._numbering = TaskNumbering.of(self._loop)
        self._is_closed = False
        self._actions: dict[int, tuple[Plan, list[ActionState]]] = {}
        self._registries: list[ResourceRegistry] = []
        self._scopes: list[Scope] = []
        self._batches: deque[_Batch] = deque()
        self._leader: asyncio.Task[None] | None = None
        # Tasks of attempts; the event loop itself holds them weakly only.
        self._tasks: set[asyncio.Task[None]] = set()
        # Invocation id → the attempt whose code runs.
        self._running: dict[bytes, Attempt] = {}
        self._on_idle: asyncio.Future[None] | None = None
        # Those that go on although their attempts are over.
        self.overrun_coroutines = 0

    # ---- the session's side ----

    def open_scope(
        self,
        plan: Plan,
        *,
        namespace: str,
        operator_uid: str,
        config: Mapping[str, Any] | None = None,
        keeps_work: bool = False,
        epoch: int = 0,
    ) -> Scope:
        """Begin to serve one start of an operator subtask.

        Args:
            plan: The plan that its invocations' action indices mean.
            namespace: With `operator_uid`, what the memory mirrors belong to.
            operator_uid: See `namespace`.
            config: The job's settings: `ctx.config`.
            keeps_work: Results and call records are kept until a checkpoint covers them, for a later start.
            epoch: Of the start: what is kept of a later one counts for more.
        """
        # Taken out and put back: the mirrors longest without a scope come first.
        mirrors = self._mirrors.pop((namespace, operator_uid), None)
        if mirrors is None:
            mirrors = Mirrors(self._settings.mirror_bytes)
        self._mirrors[namespace, operator_uid] = mirrors
        kept = self._kept_work(namespace, operator_uid) if keeps_work else None
        scope = Scope(
            plan,
            self._states_of(plan),
            mirrors,
            config or {},
            self._on_scope_empty,
            kept=kept,
            epoch=epoch,
            loop=self._loop,
            clock=self._clock,
            run_in_pool=self._threads.call,
        )
        self._scopes.append(scope)
        self._bound_idle_mirrors()
        self._bound_idle_work()
        return scope

    def submit(self, batch: Sequence[Invocation], scope: Scope, on_stepped: Callable[[], None]) -> None:
        """Run the invocations of one frame, all at once as far as they wait.

        They are of different keys, so their order says nothing; order within a key is the operator's.

        A handle that is open in the scope already goes on as it is and answers once. An attempt whose predecessor's
        coroutine still runs waits until that, cancelled, has ended.

        Args:
            batch: The invocations of one frame.
            scope: Whose they are.
            on_stepped: Called once, when each of the batch was stepped once (or given up): acknowledge the frame.
        """
        if scope.is_ended:
            raise ValueError("the scope has ended: its start was fenced or has said Bye")
        self._enqueue(scope.admit(batch), scope, on_stepped)

    def cancel(self, scope: Scope, handles: Iterable[int], reason: CancelReason) -> None:
        """End open attempts: coroutines are cancelled, those that have not begun never begin.

        Each still has one outcome: Failed(CANCELLED) or Failed(TIMEOUT), whatever its coroutine makes of the
        cancellation, when that has ended. Unknown handles are ignored.
        """
        for handle in handles:
            if handle not in scope.open:
                continue
            found = scope.open[handle]
            if isinstance(found, Attempt):
                self._cancel_attempt(found, reason)
            else:
                # Still queued; whoever comes to step it finds it closed.
                message = f"cancelled before it began: {reason.name}"
                failed = failure_without_stack(found, FailureKind.CANCELLED, "asyncio.CancelledError", message)
                # It has asked for nothing that is kept here of earlier attempts: the next one may need all of it.
                scope.settle(replace(failed, invocation_id=b""))

    def end_scope(self, scope: Scope, reason: CancelReason) -> None:
        """Cancel all that is open in a scope and answer no more: fenced, said Bye, or lingered long enough."""
        if scope.is_ended:
            return
        scope.end(is_drained=reason is CancelReason.DRAINED)
        if not scope.open:
            self._scopes.remove(scope)
        self.cancel(scope, list(scope.open), reason)
        if reason in _LAST_WORDS and all(other.mirrors is not scope.mirrors for other in self._scopes):
            # The last start of a job that has no use for this worker any more.
            self._mirrors = {key: mirrors for key, mirrors in self._mirrors.items() if mirrors is not scope.mirrors}
        self._bound_idle_mirrors()
        self._bound_idle_work()

    @property
    def open_count(self) -> int:
        """Invocations of all scopes that have no outcome yet."""
        return sum(len(scope.open) for scope in self._scopes)

    @property
    def kept_for(self) -> list[tuple[str, str]]:
        """Namespace and uid of each operator that may find finished work here after a restart.

        Those of live starts are among them even while checkpoints cover all that they have: to come and go with each
        checkpoint would say nothing.
        """
        live = {id(scope.kept) for scope in self._scopes if scope.kept is not None}
        return [key for key, kept in self._kept.items() if id(kept) in live or not kept.is_empty]

    def keeps_anything_for(self, namespace: str, operator_uid: str) -> bool:
        """Whether there is finished work that no checkpoint covers."""
        return not self._kept[namespace, operator_uid].is_empty

    @property
    def overrun_threads(self) -> int:
        """Threads of the pool that run what nobody waits for any more, a `def` action or the function of a durable
        call: they cannot be stopped."""
        return self._threads.overrun

    async def drain(self, limit_seconds: float) -> bool:
        """Wait until nothing is open; false if the limit came first. New submissions are the caller's to refuse."""
        if not self.open_count:
            return True
        if self._on_idle is None:
            self._on_idle = self._loop.create_future()
        done, _ = await asyncio.wait([self._on_idle], timeout=limit_seconds)
        return bool(done)

    async def close(self) -> None:
        """End all code, then close the resources."""
        await self.end_code(_END_LIMIT_SECONDS)
        await self.close_resources(_RESOURCES_LIMIT_SECONDS)

    async def end_code(self, limit_seconds: float) -> None:
        """Cancel all that is open, and wait for it within the limit. Nothing runs here any more after that, but `def`
        actions that cannot be stopped, and what goes on although it was cancelled."""
        for scope in list(self._scopes):
            self.end_scope(scope, CancelReason.DRAINED)
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=limit_seconds)
        self._threads.close()
        if not self._is_closed:
            # Once, for other dispatchers of this loop may still count on it.
            self._is_closed = True
            self._numbering.release(self._loop)

    async def close_resources(self, limit_seconds: float) -> None:
        """Close the plans' resources, the last opened first; those that hang are left to themselves."""
        end = self._loop.time() + limit_seconds
        for registry in reversed(self._registries):
            await registry.close(end - self._loop.time())

    # ---- stepping ----

    def _enqueue(self, invocations: Sequence[Invocation], scope: Scope, on_stepped: Callable[[], None]) -> None:
        self._batches.append(_Batch(invocations, scope, on_stepped))
        if self._leader is None:
            self._take_lead()

    def _take_lead(self) -> None:
        # Not in the context of whoever called: that may be an action's, and the next action's tasks are not its.
        self._leader = self._new_task(self._lead(), self._base_context)

    def _new_task(self, coroutine: Coroutine[Any, Any, None], context: contextvars.Context) -> asyncio.Task[None]:
        # Not create_task(context=): Python 3.10 has no such argument, and a task copies the context it is made in.
        # Nor loop.create_task: the factory is for the tasks of actions.
        task: asyncio.Task[None] = context.run(functools.partial(asyncio.Task, coroutine, loop=self._loop))
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task is self._leader:
            self._leader = None
        if not task.cancelled() and task.exception() is not None:
            # Whatever an author's code raises ends in a failure; this is ours.
            _log.critical("the dispatcher's task failed", exc_info=task.exception())
        if self._leader is None and self._batches:
            self._take_lead()

    async def _lead(self) -> None:
        """Step batches until an action suspends or none is left."""
        me = asyncio.current_task()
        assert me is not None
        batches = self._batches
        while batches:
            batch = batches[0]
            suspended = self._step(batch, me)
            if batch.for_threads:
                self._run_in_threads(batch.for_threads)
                batch.for_threads = []
            if suspended is not None:
                attempt, coroutine, context, awaited = suspended
                # From here on this task is the attempt's.
                attempt.task = me
                self._take_lead()
                await self._attend(attempt, rest_of(coroutine, context, awaited, self._slot, attempt.invocation_id))
                return
            if cancelling_of(me)():
                # An action has cancelled the task it was in, and then returned: the next one must not meet that.
                self._take_lead()
                return
            batches.popleft()
            if batch.has_tasks:
                # Their first steps are queued in the loop already; this comes behind them.
                self._loop.call_soon(batch.on_stepped)
            else:
                # At once, so that the acknowledgement travels with the results.
                batch.on_stepped()
            if batches:
                await one_turn()
        self._leader = None

    def _step(
        self, batch: _Batch, me: asyncio.Task[None]
    ) -> tuple[Attempt, Coroutine[Any, Any, None], contextvars.Context, Any] | None:
        """Step the rest of a batch; stops at the first coroutine that suspends and gives it back."""
        succeeded: list[Outcome] = []
        try:
            return self._step_until_suspended(batch, me, succeeded)
        finally:
            show(self._slot, 0, NOTHING)
            self._numbering.stepping = None
            # All at once: handing each over by itself costs as much as a small action.
            if succeeded:
                batch.scope.settled(succeeded)

    def _step_until_suspended(
        self, batch: _Batch, me: asyncio.Task[None], succeeded: list[Outcome]
    ) -> tuple[Attempt, Coroutine[Any, Any, None], contextvars.Context, Any] | None:
        scope = batch.scope
        open_, actions, settle = scope.open, scope.actions, scope.settle
        older_calls = scope.kept.calls_of_ended_starts if scope.kept is not None else None
        running, mint, base_context = self._running, self._mint, self._base_context
        numbering, slot = self._numbering, self._slot
        # Else nobody may ask for a result once more, and its invocation is let go of while it is still at hand.
        keeps = scope.kept is not None
        is_cancelling = cancelling_of(me)
        for invocation in batch.rest:
            handle = invocation.handle
            if open_.get(handle) is not invocation:
                continue  # cancelled meanwhile; perhaps the job has used the handle again, which it must not
            index = invocation.action
            if index >= len(actions):
                settle(_unknown_action(invocation, scope.plan))
                continue
            if running and invocation.invocation_id in running:
                self._follow(running[invocation.invocation_id], invocation, scope)
                continue
            state = actions[index]
            mirror = None
            if invocation.memory_version or invocation.memory_form is not _AS_YOU_HAVE_IT:
                mirror = scope.mirrors.resolve(invocation)
                if mirror is None:
                    settle(NeedsMemory(handle, invocation.cost_bytes))
                    continue
            ctx = InvocationContext(invocation, state, scope, mirror)
            if invocation.attempt > 1 or (older_calls and invocation.invocation_id in older_calls):
                # There may be records that the code has to account for, even if it makes no call.
                ctx.durable_calls()
            if not state.is_coroutine:
                attempt = self._begin(invocation, state, scope, ctx)
                if state.places is None:
                    batch.for_threads.append(attempt)
                elif state.places.take(attempt):
                    self._start(attempt)
                continue
            if state.places is not None or (state.gets_task and state.begins_in_task()):
                batch.has_tasks = True
                self._begin_in_task(invocation, state, scope, ctx)
                continue
            context = base_context.copy()
            if state.suspends:
                context.run(running_task.set, ctx)
            numbering.stepping = ctx
            show(slot, 0, invocation.invocation_id)
            try:
                # Apart from the step: a StopIteration that is raised here says nothing of success.
                coroutine = state.function(state.event_of(invocation), ctx)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                ctx.end()
                settle(ctx.failure(error))
                continue
            if ctx.time is not None:
                ctx.time.begin()
            try:
                awaited = context.run(coroutine.send, None)
            except StopIteration as end:
                if end.value is not None:
                    state.on_returned(end.value)
                # As in _succeed, with fewer calls on the way that most invocations take.
                ctx.is_ended = True
                changes = None
                if (
                    ctx.short_term is not None
                    or ctx.sensory is not None
                    or ctx.calls is not None
                    or ctx.metrics is not None
                    or ctx.time is not None
                ):
                    error_of_calls = ctx.calls.at_return() if ctx.calls is not None else None
                    ctx.end()
                    if error_of_calls is not None:
                        settle(ctx.failure(error_of_calls))
                        continue
                    changes = ctx.commit(mint)
                del open_[handle]
                succeeded.append(
                    Succeeded(handle, list(ctx.events), changes, invocation.cost_bytes, invocation if keeps else None)
                    if ctx.metrics is None and ctx.time is None
                    else ctx.succeeded(changes, is_kept=keeps)
                )
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                ctx.end()
                settle(ctx.failure(error))
            else:
                state.on_suspended()
                context.run(running_task.set, ctx)
                return self._begin(invocation, state, scope, ctx), coroutine, context, awaited
            state.stepped += 1
            if state.gets_task or state.suspends:
                state.reconsider()
            if is_cancelling():
                return None
        return None

    # ---- attempts that go on after their first step ----

    def _begin(self, invocation: Invocation, state: ActionState, scope: Scope, ctx: InvocationContext) -> Attempt:
        invocation.detach()
        attempt = Attempt(invocation, state, scope, ctx)
        scope.open[invocation.handle] = attempt
        self._running[attempt.invocation_id] = attempt
        attempt.watch(ctx.mirror)
        return attempt

    def _limit_time(self, attempt: Attempt, time: RunningTime) -> None:
        """End it when its code has run for as long as it may."""
        left = time.left_seconds
        if left <= 0:
            self._cancel_attempt(attempt, CancelReason.TIMEOUT)
            return
        if time.stands_still:
            # A thread begins it, and does not say when, as a wait does not say that it ends: it is looked at now and
            # then, and is over no sooner than this.
            left = max(left, _LOOK_AGAIN_SECONDS)
        attempt.timer = self._loop.call_later(left, self._limit_time, attempt, time)

    def _begin_in_task(self, invocation: Invocation, state: ActionState, scope: Scope, ctx: InvocationContext) -> None:
        try:
            coroutine = state.function(state.event_of(invocation), ctx)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a typed event that is not what its class declares
            ctx.end()
            scope.settle(ctx.failure(error))
            return
        attempt = self._begin(invocation, state, scope, ctx)
        attempt.unbegun = coroutine
        if state.places is None:
            self._start_task(attempt)
        elif state.places.take(attempt):
            self._start(attempt)

    def _start_task(self, attempt: Attempt) -> None:
        context = self._base_context.copy()
        context.run(running_task.set, attempt.context)
        attempt.task = self._new_task(
            self._attend(attempt, all_of(attempt.unbegun, self._slot, attempt.invocation_id)), context
        )

    def _start(self, attempt: Attempt) -> None:
        """It has a place: its code may run."""
        if attempt.scope.is_ended:
            return  # whoever ends the scope comes to it next, and then its place goes on to another
        if attempt.state.is_coroutine:
            self._start_task(attempt)
        else:
            self._run_in_threads([attempt])

    async def _attend(self, attempt: Attempt, coroutine: Any) -> None:
        """See a coroutine to its end in this task."""
        attempt.unbegun = None
        time = attempt.context.time
        if time is not None:
            time.begin()
            self._limit_time(attempt, time)
        try:
            returned = await coroutine
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if isinstance(error, GeneratorExit) and _is_thrown_away(attempt):
                raise
            # A cancellation ends here too: whoever cancelled wants this attempt over, and it is.
            self._fail(attempt, error)
        else:
            if returned is not None:
                attempt.state.on_returned(returned)
            self._succeed(attempt)
        finally:
            self.overrun_coroutines -= attempt.is_overrun
            self._on_ended(attempt)

    def _succeed(self, attempt: Attempt) -> None:
        ctx = attempt.context
        if attempt.is_settled:
            return
        error = ctx.calls.at_return() if ctx.calls is not None else None
        if error is not None:
            self._fail(attempt, error)
            return
        ctx.end()
        attempt.watch(None)
        if attempt.cancel_reason is not None:
            # Whoever cancelled it counts it as over: what it makes of that must not change the key's memory.
            self._settle(attempt, attempt.failure(asyncio.CancelledError()))
            return
        self._settle(attempt, ctx.succeeded(ctx.commit(self._mint)))

    def _fail(self, attempt: Attempt, error: BaseException) -> None:
        if not attempt.is_settled:
            attempt.context.end()
            attempt.watch(None)
            self._settle(attempt, attempt.failure(error))

    def _settle(self, attempt: Attempt, outcome: Outcome) -> None:
        attempt.is_settled = True
        if attempt.timer is not None:
            attempt.timer.cancel()
            attempt.timer = None
        attempt.scope.settle(outcome)

    def _on_ended(self, attempt: Attempt) -> None:
        """Its code runs no more: what waited for that begins."""
        if self._running.get(attempt.invocation_id) is attempt:
            del self._running[attempt.invocation_id]
        if attempt.state.places is not None:
            following = attempt.state.places.leave(attempt)
            if following is not None:
                self._start(following)
        followers, attempt.followers = attempt.followers, []
        for invocation, scope in followers:
            if not scope.is_ended:
                self._enqueue([invocation], scope, _nobody_waits)

    def _follow(self, predecessor: Attempt, invocation: Invocation, scope: Scope) -> None:
        """Let an attempt wait for the end of an earlier one at the same work, and hasten that end."""
        predecessor.followers.append((invocation, scope))
        if not predecessor.is_settled:
            self._cancel_attempt(predecessor, CancelReason.SUPERSEDED)

    def _cancel_attempt(self, attempt: Attempt, reason: CancelReason) -> None:
        if attempt.is_settled:
            return
        if attempt.cancel_reason is not None:
            # It is cancelled, and cleans up: once more would interrupt that. `_cancel_again` sees to it if it goes on.
            return
        attempt.cancel_reason = reason
        task = attempt.task
        if task is not None:
            task.cancel()
        elif not attempt.state.is_coroutine:
            self._give_up_thread(attempt)
            return
        if attempt.unbegun is not None:
            # It waits for a place, or in a task that is cancelled before its first step and so never enters its
            # coroutine: nothing there could settle this.
            attempt.unbegun.close()
            self._fail(attempt, asyncio.CancelledError())
            self._on_ended(attempt)
            return
        if attempt.timer is not None:
            attempt.timer.cancel()
        attempt.timer = self._loop.call_later(_CANCEL_AGAIN_SECONDS, self._cancel_again, attempt)

    def _cancel_again(self, attempt: Attempt) -> None:
        """Its coroutine has gone on although it was cancelled."""
        task = attempt.task
        if task is None or task.done():
            return
        # Of what was cancelled for want of anybody who waits, a later attempt may come to wait.
        if not attempt.is_settled and (attempt.followers or attempt.cancel_reason in _SOMEBODY_WAITS):
            self._give_up_coroutine(attempt)
        task.cancel()
        attempt.timer = self._loop.call_later(_CANCEL_AGAIN_SECONDS, self._cancel_again, attempt)

    def _give_up_coroutine(self, attempt: Attempt) -> None:
        """Report it as over although it goes on, which may be for good: its key and its next attempt do not wait."""
        attempt.is_overrun = True
        self.overrun_coroutines += 1
        _log.warning(
            "action %r goes on %g s after it was cancelled (%s): its attempt is over",
            attempt.state.action.name,
            _CANCEL_AGAIN_SECONDS,
            attempt.cancel_reason.name if attempt.cancel_reason else "?",
        )
        self._fail(attempt, asyncio.CancelledError())
        self._on_ended(attempt)

    # ---- `def` actions ----

    def _run_in_threads(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            time = attempt.context.time
            if time is not None:
                self._limit_time(attempt, time)
        self._threads.run(attempts)

    def _on_thread_ended(self, attempt: Attempt, error: BaseException | None) -> None:
        if error is None:
            self._succeed(attempt)
        else:
            self._fail(attempt, error)
        self._on_ended(attempt)

    def _give_up_thread(self, attempt: Attempt) -> None:
        """Report a `def` action as over although its thread, if it has begun, cannot be stopped."""
        self._fail(attempt, asyncio.CancelledError())
        self._threads.on_given_up(attempt)
        # Its thread may end much later or never. The next attempt does not wait for that; both have the same
        # idempotency key.
        self._on_ended(attempt)

    # ---- bookkeeping ----

    def _kept_work(self, namespace: str, operator_uid: str) -> KeptWork:
        # Taken out and put back: what is longest without a scope comes first.
        kept = self._kept.pop((namespace, operator_uid), None)
        if kept is None:
            kept = KeptWork(self._settings.kept_bytes, self._settings.kept_seconds, self._loop.time)
        self._kept[namespace, operator_uid] = kept
        return kept

    def _bound_idle_work(self) -> None:
        """Keep of operators without a scope, all together, no more work than of one: jobs come back, or never do."""
        used = {id(scope.kept) for scope in self._scopes}
        idle = [(key, kept) for key, kept in self._kept.items() if id(kept) not in used]
        for _, kept in idle:
            kept.drop_too_old()
        size, count = sum(kept.size for _, kept in idle), len(idle)
        for key, kept in idle:
            if kept.size and size <= self._settings.kept_bytes and count <= _MOST_IDLE_OPERATORS:
                continue
            if kept.size:
                _log.info("what was finished for operator %r of namespace %r is forgotten", key[1], key[0])
            del self._kept[key]
            size -= kept.size
            count -= 1

    def _states_of(self, plan: Plan) -> list[ActionState]:
        known = self._actions.get(id(plan))
        if known is None:
            # In no session's context: what opens resources has a copy of this one.
            registry = self._base_context.run(
                ResourceRegistry,
                plan,
                self._settings.config,
                clock=self._clock,
                stepping=lambda: self._numbering.stepping,
                waits_for_permits=self._settings.waits_for_permits,
            )
            self._registries.append(registry)
            # The plan is kept beside its states: while it lives, no other one has its id.
            known = self._actions[id(plan)] = (plan, [ActionState(action, registry) for action in plan.actions])
        return known[1]

    def _bound_idle_mirrors(self) -> None:
        """Keep of operators without a scope, all together, no more than of one: jobs come back, or never do."""
        used = {id(scope.mirrors) for scope in self._scopes}
        idle = [(key, mirrors) for key, mirrors in self._mirrors.items() if id(mirrors) not in used]
        size, count = sum(mirrors.size for _, mirrors in idle), len(idle)
        for key, mirrors in idle:
            if size <= self._settings.mirror_bytes and count <= _MOST_IDLE_OPERATORS:
                return
            del self._mirrors[key]
            size -= mirrors.size
            count -= 1

    def _on_scope_empty(self, scope: Scope) -> None:
        if scope.is_ended:
            self._scopes.remove(scope)
        if self._on_idle is not None and not self.open_count:
            self._on_idle.set_result(None)
            self._on_idle = None


def _is_thrown_away(attempt: Attempt) -> bool:
    """Whether GeneratorExit comes from outside, the event loop being gone, and not from the action's own code."""
    try:
        return asyncio.current_task() is not attempt.task
    except RuntimeError:
        return True


def _nobody_waits() -> None:
    """The frame of an invocation that had to wait was acknowledged long ago."""


def _unknown_action(invocation: Invocation, plan: Plan) -> Outcome:
    return failure_without_stack(
        invocation,
        FailureKind.UNKNOWN_ACTION,
        "",
        f"agent {plan.agent!r} has {len(plan.actions)} actions, but action number {invocation.action} was "
        "invoked: the plan has changed",
    )
