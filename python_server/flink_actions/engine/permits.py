"""Permits of resources that have a rate: a token bucket for each resource of a worker, and a queue of those who wait.

Rules, all on the event loop's thread (a thread that wants a permit says so there, and waits by itself):

- Permits come at the rate; at most `burst` of them lie ready, also after the loop stood still. So nothing that is late
  is made up for by more than that.
- First come, first served, whether it is a coroutine or a thread: while somebody waits, nobody who comes takes one.
- Who is cancelled leaves the queue. A permit that was granted to one who was cancelled at that moment is the next's.
- While any code of an attempt waits here, its time stands still. When the attempt ends, its threads wait no more; its
  coroutines are ended by cancellation, as all their waits are.
- The queue is as long as there are open attempts, which the credit of sessions bounds, and as many times as each asks
  at once.

Own code: aiolimiter and its like serve the coroutines of one loop or threads, and not both in one queue.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from flink_actions.engine.references import ResourceKey
from flink_actions.engine.task_paths import running_context
from flink_actions.sdk.errors import ResourceError
from flink_actions.sdk.rates import Permits, Rate

if TYPE_CHECKING:
    from flink_actions.engine.context import InvocationContext

# An event loop's timers are no finer; a shorter wait would only spin.
_SHORTEST_WAIT_SECONDS = 0.001


class _Wait(NamedTuple):
    context: InvocationContext | None
    began_at: float


# What a coroutine awaits, or a thread: what is done with them here is the same.
_Granted = Any


class Bucket(Permits):
    """The permits of one resource in this worker. Must be made on the event loop's thread.

    Args:
        key: Of the resource.
        rate: With its burst.
        clock: Seconds, on the scale of the event loop's time.
        stepping: Gives the context of the attempt that takes its first step now, which its code does not know yet.
    """

    def __init__(self, key: ResourceKey, rate: Rate, clock: Callable[[], float], stepping: Callable[[], Any]) -> None:
        assert rate.burst is not None, "check_resources completes rates"
        self._key = key
        self._per_second = rate.limit / rate.per
        self._burst = float(rate.burst)
        self._clock = clock
        self._stepping = stepping
        self._loop = asyncio.get_running_loop()
        self._ready = self._burst
        self._counted_at = clock()
        self._waiting: OrderedDict[_Granted, _Wait] = OrderedDict()
        # Runs while somebody waits.
        self._timer: asyncio.TimerHandle | None = None
        # Somebody has asked; else the rate limits nothing.
        self.is_used = False

    async def take_async(self) -> None:
        """See `Resource.permit_async`."""
        if asyncio.get_running_loop() is not self._loop:
            # A loop that a `def` action has made in its thread.
            await asyncio.to_thread(self.take)
            return
        self.is_used = True
        if not self._waiting and self._take():
            return
        granted = self._loop.create_future()
        self._queue(granted, running_context() or self._stepping())
        try:
            await granted
        except BaseException:
            if not self._leave(granted) and not granted.cancelled() and granted.exception() is None:
                self._ready += 1
                self._grant()
            raise

    def take(self) -> None:
        """See `Resource.permit`."""
        if asyncio._get_running_loop() is self._loop:
            kind, name = self._key
            raise ResourceError(
                f"to wait for a permit of {kind.value} {name!r} here would block the event loop and with it every "
                "other action: write `await resource.permit_async()`, or do this in a thread (a `def` action, "
                "`asyncio.to_thread`); declare a tool that has a rate `async def`"
            )
        granted: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._loop.call_soon_threadsafe(self._take_for_thread, granted, running_context())
        # Bounded: permits come, and the end of the attempt or of the worker ends it.
        granted.result()

    def give_up(self, granted: _Granted, error: Exception) -> None:
        """Somebody need not wait any more, and is told why."""
        if self._leave(granted) and not granted.done():
            granted.set_exception(error)

    def close(self) -> None:
        """No resource is open any more."""
        kind, name = self._key
        error = f"{kind.value} {name!r} is closed, and gives no permits any more: its worker leaves"
        for granted in list(self._waiting):
            self.give_up(granted, ResourceError(error))

    def _take_for_thread(self, granted: concurrent.futures.Future[None], context: InvocationContext | None) -> None:
        self.is_used = True
        if context is not None and context.is_ended:
            granted.set_exception(context.ended_error(f"a permit of {self._key[0].value} {self._key[1]!r}"))
        elif not self._waiting and self._take():
            granted.set_result(None)
        else:
            self._queue(granted, context)
            if context is not None:
                if context.waiting_threads is None:
                    context.waiting_threads = {}
                context.waiting_threads[granted] = self

    def _take(self) -> bool:
        now = self._clock()
        self._ready = min(self._burst, self._ready + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        if self._ready < 1:
            return False
        self._ready -= 1
        return True

    def _queue(self, granted: _Granted, context: InvocationContext | None) -> None:
        self._waiting[granted] = _Wait(context, self._clock())
        if context is not None:
            context.begin_wait()
        if self._timer is None:
            self._set_timer()

    def _leave(self, granted: _Granted) -> bool:
        """Take it out of the queue; false if it is not there."""
        wait = self._waiting.pop(granted, None)
        if wait is None:
            return False
        if wait.context is not None:
            wait.context.end_wait(self._key, self._clock() - wait.began_at)
            if wait.context.waiting_threads is not None:
                wait.context.waiting_threads.pop(granted, None)
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return True

    def _set_timer(self) -> None:
        seconds = max((1 - self._ready) / self._per_second, _SHORTEST_WAIT_SECONDS)
        self._timer = self._loop.call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._grant()
        if self._waiting:
            self._set_timer()

    def _grant(self) -> None:
        """Give what is ready to those who have waited longest."""
        while self._waiting:
            granted = next(iter(self._waiting))
            if not granted.done():
                if not self._take():
                    return
                self._leave(granted)
                granted.set_result(None)
            else:
                # Cancelled, and its task has not come to know.
                self._leave(granted)
