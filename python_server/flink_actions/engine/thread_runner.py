"""Running `def` actions in the pool's threads.

Those of one frame share a job while they are quick: handing over costs more than a small action takes. A job that has
run for 2 ms gives its rest to other threads, one each, and an action that was seen to take that long has jobs of its
own from then on.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any

from flink_actions.engine.attempt import Attempt
from flink_actions.engine.step_slots import NOTHING, SOMETHING, StepSlots, show
from flink_actions.engine.task_paths import running_task
from flink_actions.engine.threads import ThreadPool

_log = logging.getLogger(__name__)

_BLOCKING_SECONDS = 0.002

Done = list[tuple[Attempt, BaseException | None]]


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
            self._pool.submit(functools.partial(self._work, shared))
        self._queue_apart([attempt for attempt in attempts if attempt.state.blocks])

    async def call(self, function: Callable[[], Any]) -> Any:
        """Call a function in one of the threads. Cancelled, the thread goes on and nobody hears of it."""
        done: asyncio.Future[Any] = self._loop.create_future()

        def work() -> None:
            value, error = None, None
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
        return await done

    def on_given_up(self, attempt: Attempt) -> None:
        """An attempt was settled from outside; if its thread has begun, it is overrun until it ends."""
        if not attempt.thread_began:
            return
        attempt.is_overrun = True
        self.overrun += 1
        _log.warning(
            "def action %r goes on in its thread although its attempt is over (%s); %d threads of %d are taken so",
            attempt.state.action.name,
            attempt.cancel_reason.name if attempt.cancel_reason else "?",
            self.overrun,
            self._size,
        )

    def close(self) -> None:
        """Take no more; threads end with what they run."""
        self._pool.close()

    def _queue_apart(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            self._pool.submit(functools.partial(self._work, [attempt]))

    def _work(self, attempts: Sequence[Attempt]) -> None:
        """A job of the pool, in its thread: run attempts one after the other."""
        done: Done = []
        slot = self._slots.of_thread()
        began = self._clock()
        for attempt in attempts:
            # Said before it is asked: whoever gives the attempt up sees the one or is seen by the other.
            attempt.thread_began = True
            show(slot, 0, attempt.invocation_id)
            # Settled: cancelled while it was queued.
            done.append((attempt, None if attempt.is_settled else self._call(attempt)))
            if self._clock() - began > _BLOCKING_SECONDS:
                # The rest must not wait behind an action that blocks.
                self._queue_apart(attempts[len(done) :])
                break
        show(slot, 0, NOTHING)
        seconds_each = (self._clock() - began) / len(done)
        try:
            self._loop.call_soon_threadsafe(self._on_done, done, seconds_each > _BLOCKING_SECONDS)
        except RuntimeError:
            # The loop is closed: the process is about to end, and nobody is left to tell.
            _log.debug("%d def actions ended after the event loop", len(done))

    def _call(self, attempt: Attempt) -> BaseException | None:
        """Run one action, in the pool's thread; gives back what it raised."""
        state = attempt.state
        try:
            event = state.event_of(attempt.invocation)
            context = self._context.copy()
            context.run(running_task.set, attempt.context)
            returned: Any = context.run(state.function, event, attempt.context)
        except BaseException as error:
            return error
        if not inspect.isawaitable(returned):
            return None
        if inspect.iscoroutine(returned):
            returned.close()
        return TypeError(
            f"action {state.action.name!r} is a `def` that returned an awaitable ({state.action.location}): "
            "declare it, or the decorator around it, as `async def`"
        )

    def _on_done(self, done: Done, blocks: bool) -> None:
        for attempt, error in done:
            attempt.state.blocks = blocks
            self.overrun -= attempt.is_overrun
            attempt.is_overrun = False
            try:
                self._on_ended(attempt, error)
            except Exception:  # a defect of ours at one attempt must not leave the others of its job without an end
                _log.critical("the end of def action %r was lost", attempt.state.action.name, exc_info=True)
