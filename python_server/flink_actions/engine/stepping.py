"""Driving coroutines by hand: what the leader does instead of making a task for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from types import coroutine as generator_coroutine
from typing import Any

from flink_actions.engine.step_slots import NOTHING, Slot, show


@generator_coroutine
def rest_of(
    coroutine: Any, context: Context, awaited: Any, slot: Slot, invocation_id: bytes
) -> Generator[Any, Any, Any]:
    """Drive a coroutine that was stepped once to its end, as the awaiting task's own, each step in the coroutine's own
    context.

    Args:
        coroutine: Suspended.
        context: Its context variables.
        awaited: What its first step yielded: a future that waits to be awaited, or None.
        slot: Shows `invocation_id` during each step.
        invocation_id: Whose coroutine it is.
    """
    try:
        while True:
            try:
                value = yield awaited
            except BaseException as error:  # a cancellation too: it is the coroutine's to answer
                show(slot, 0, invocation_id)
                awaited = context.run(coroutine.throw, error)
            else:
                show(slot, 0, invocation_id)
                awaited = context.run(coroutine.send, value)
            show(slot, 0, NOTHING)
    except StopIteration as stop:
        return stop.value
    finally:
        show(slot, 0, NOTHING)


@generator_coroutine
def all_of(coroutine: Any, slot: Slot, invocation_id: bytes) -> Generator[Any, Any, Any]:
    """Drive a coroutine from its beginning, in the awaiting task and its context; `slot` as in `rest_of`."""
    show(slot, 0, invocation_id)
    try:
        awaited = coroutine.send(None)
        while True:
            show(slot, 0, NOTHING)
            try:
                value = yield awaited
            except BaseException as error:
                show(slot, 0, invocation_id)
                awaited = coroutine.throw(error)
            else:
                show(slot, 0, invocation_id)
                awaited = coroutine.send(value)
    except StopIteration as stop:
        return stop.value
    finally:
        show(slot, 0, NOTHING)


def cancelling_of(task: asyncio.Task[None]) -> Callable[[], int]:
    """What tells whether a cancellation of the task was asked for and not taken back."""
    # Python 3.10 counts no requests; it only knows of one that is yet to be delivered.
    return getattr(task, "cancelling", None) or (lambda: bool(getattr(task, "_must_cancel", False)))


class _OneTurn:
    """Awaited, it lets the event loop go round once."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield


one_turn = _OneTurn
