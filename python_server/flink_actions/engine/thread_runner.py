"""Running `def` actions in the pool's threads.

Those of one frame share a job while they are quick: handing over costs more than a small action takes. A job that has
run for 2 ms gives its rest to other threads, one each, when the action it is at returns; if that does not return, the
event loop takes the rest away from it a little later, and what it has done so far. An action that was seen to take that
long has jobs of its own, until it was quick several times in a row.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from typing import Any

from flink_actions.engine.attempt import Attempt
from flink_actions.engine.step_slots import NOTHING, SOMETHING, StepSlots, show
from flink_actions.engine.task_paths import running_task
from flink_actions.engine.threads import ThreadPool

_log = logging.getLogger(__name__)

_BLOCKING_SECONDS = 0.002
# When the event loop looks after a job that several attempts share.
_HELD_UP_SECONDS = 0.05
# A blocking action is taken for a quick one after so many quick runs.
_QUICK_RUNS = 16


class _Job:
    """Attempts that one thread runs one after the other. Its thread takes from the one end, and the event loop may take
    all that is left: each attempt is popped once."""

    __slots__ = ("began", "done", "rest", "timer")

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        self.rest = deque(attempts)
        # What has returned or raised, and whether it took long.
        self.done: deque[tuple[Attempt, BaseException | None, bool]] = deque()
        self.began = False
        self.timer: asyncio.TimerHandle | None = None


def _popped(queue: deque[Any]) -> Iterator[Any]:
    """What is in a queue that others take from as well."""
    while True:
        try:
            one = queue.popleft()
        except IndexError:
            return
        yield one


class ThreadRunner:
    """Runs attempts at `def` actions; used on the event loop's thread, save where it says otherwise.

    Args:
        size: Most threads.
        loop: The event loop.
        clock: Seconds, read in the threads.
        context: What each action's context variables are copied from.
        on_ended: Called on the loop's thread when an action has returned (None) or raised.
        slots: Where the threads show what they run.
    """

    def __init__(
        self,
        size: int,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        context: Context,
        on_ended: Callable[[Attempt, BaseException | None], None],
        slots: StepSlots,
    ) -> None:
        self._size = size
        self._pool = ThreadPool(size, "action")
        self._loop = loop
        self._clock = clock
        self._context = context
        self._on_ended = on_ended
        self._slots = slots
        self.overrun = 0

    def run(self, attempts: Sequence[Attempt]) -> None:
        """Queue the attempts of one frame."""
        shared = [attempt for attempt in attempts if not attempt.state.blocks]
        if shared:
            job = _Job(shared)
            if len(shared) > 1:
                self._look_after(job)
            self._pool.submit(functools.partial(self._work, job))
        self._queue_apart([attempt for attempt in attempts if attempt.state.blocks])

    def _look_after(self, job: _Job) -> None:
        job.timer = self._loop.call_later(_HELD_UP_SECONDS, self._on_held_up, job)

    def _on_held_up(self, job: _Job) -> None:
        """The job has not ended for long: nothing in it may wait for an action that may never return."""
        if not job.began:
            # It waits for a thread; apart its attempts would wait behind it.
            self._look_after(job)
            return
        self._queue_apart(list(_popped(job.rest)))
        self._collect(job)

    async def call(self, function: Callable[[], Any], name: str) -> Any:
        """Call a function in one of the threads, for a durable call.

        Cancelled before a thread has taken it, it is never called; cancelled later, the thread goes on, overrun, and
        nobody hears of it.

        Args:
            function: What to call.
            name: Of the durable call's function, for people.
        """
        done: asyncio.Future[Any] = self._loop.create_future()
        runs = is_overrun = False

        def work() -> None:
            nonlocal runs
            # Said before it is asked, as in `_work`.
            runs = True
            value, error = None, None
            if not done.cancelled():
                slot = self._slots.of_thread()
                show(slot, 0, SOMETHING)
                try:
                    value = function()
                except BaseException as raised:
                    error = raised
                show(slot, 0, NOTHING)
            try:
                self._loop.call_soon_threadsafe(end, value, error)
            except RuntimeError:
                _log.debug("the function of a durable call ended after the event loop")

        def end(value: Any, error: BaseException | None) -> None:
            nonlocal runs
            runs = False
            self.overrun -= is_overrun
            if done.done():
                return
            if isinstance(error, StopIteration):
                # A future refuses it, because it could not tell it from its own end.
                error = RuntimeError("the function of a durable call raised StopIteration")
            if error is None:
                done.set_result(value)
            else:
                done.set_exception(error)

        self._pool.submit(work)
        try:
            return await done
        except asyncio.CancelledError:
            if runs:
                is_overrun = True
                self._count_overrun(f"the function {name} of a durable call", "nobody waits for it any more")
            raise

    def on_given_up(self, attempt: Attempt) -> None:
        """An attempt was settled from outside; if its thread has begun, it is overrun until it ends."""
        if not attempt.thread_began:
            return
        attempt.is_overrun = True
        reason = attempt.cancel_reason.name if attempt.cancel_reason else "?"
        self._count_overrun(f"def action {attempt.state.action.name!r}", f"its attempt is over ({reason})")

    def _count_overrun(self, what: str, why: str) -> None:
        self.overrun += 1
        _log.warning(
            "%s goes on in its thread although %s; %d threads of %d are taken so", what, why, self.overrun, self._size
        )

    def close(self) -> None:
        """Take no more; threads end with what they run."""
        self._pool.close()

    def _queue_apart(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            self._pool.submit(functools.partial(self._work, _Job((attempt,))))

    def _work(self, job: _Job) -> None:
        """A job of the pool, in its thread: run attempts one after the other."""
        job.began = True
        slot = self._slots.of_thread()
        began = now = self._clock()
        for attempt in _popped(job.rest):
            # Said before it is asked: whoever gives the attempt up sees the one or is seen by the other.
            attempt.thread_began = True
            show(slot, 0, attempt.invocation_id)
            # Settled: cancelled while it was queued.
            error = None if attempt.is_settled else self._call(attempt)
            before, now = now, self._clock()
            job.done.append((attempt, error, now - before > _BLOCKING_SECONDS))
            if now - began > _BLOCKING_SECONDS:
                # The rest must not wait behind an action that blocks.
                self._queue_apart(list(_popped(job.rest)))
        show(slot, 0, NOTHING)
        try:
            self._loop.call_soon_threadsafe(self._on_done, job)
        except RuntimeError:
            # The loop is closed: the process is about to end, and nobody is left to tell.
            _log.debug("%d def actions ended after the event loop", len(job.done))

    def _call(self, attempt: Attempt) -> BaseException | None:
        """Run one action, in the pool's thread; gives back what it raised."""
        state, time = attempt.state, attempt.context.time
        if time is not None:
            time.begin()
        try:
            event = state.event_of(attempt.invocation)
            context = self._context.copy()
            context.run(running_task.set, attempt.context)
            returned: Any = context.run(state.function, event, attempt.context)
        except BaseException as error:
            return error
        finally:
            if time is not None:
                time.end()
        if returned is None:
            return None
        if not inspect.isawaitable(returned):
            state.on_returned(returned)
            return None
        if inspect.iscoroutine(returned):
            returned.close()
        return TypeError(
            f"action {state.action.name!r} is a `def` that returned an awaitable ({state.action.location}): "
            "declare it, or the decorator around it, as `async def`"
        )

    def _on_done(self, job: _Job) -> None:
        if job.timer is not None:
            job.timer.cancel()
        self._collect(job)

    def _collect(self, job: _Job) -> None:
        for attempt, error, was_slow in _popped(job.done):
            state = attempt.state
            if was_slow:
                state.blocks = True
                state.quick_runs = 0
            elif state.blocks:
                state.quick_runs += 1
                state.blocks = state.quick_runs < _QUICK_RUNS
            self.overrun -= attempt.is_overrun
            attempt.is_overrun = False
            try:
                self._on_ended(attempt, error)
            except Exception:  # a defect of ours at one attempt must not leave the others of its job without an end
                _log.critical("the end of def action %r was lost", state.action.name, exc_info=True)
