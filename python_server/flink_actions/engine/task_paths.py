"""Which task of an action makes a call: child tasks are numbered, per parent, in the order they are made.

That order is the code's own and repeats, whatever order the tasks then run and finish in. The event loop's task factory
counts; a context variable carries a task's node to the tasks and threads that it starts.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

# The type of an async generator's `aclose()`. The event loop itself makes a task of one for each generator that was
# left before its end (`async for ...: break`), at a moment that need not repeat.
_CLOSING = "async_generator_athrow"


class TaskNode:
    """A task of an action, from the action's own (the root) down."""

    __slots__ = ("_children", "_number", "_parent", "calls", "context", "unacknowledged")

    def __init__(self, parent: TaskNode | None = None, number: int = 0, context: Any = None) -> None:
        self._parent = parent
        self._number = number
        self._children = 0
        # The root's: of the attempt, until that has ended.
        self.context = context
        # Durable calls that it has begun.
        self.calls = 0
        # What waits for the acknowledgement of its last record.
        self.unacknowledged: Any = None

    def child(self) -> TaskNode:
        """The node of a task that this one makes now."""
        node = TaskNode(self, self._children)
        self._children += 1
        return node

    @property
    def root(self) -> TaskNode:
        """The action's own task."""
        node = self
        while node._parent is not None:
            node = node._parent
        return node

    @property
    def path(self) -> str:
        """Numbers from the root down, such as "0.2"; the root's is ""."""
        if self._parent is None:
            return ""
        above = self._parent.path
        return f"{above}.{self._number}" if above else str(self._number)


# The node of the running task; or, as long as no node was needed, the context of its attempt, whose `task_root` makes
# one. Unset: the engine's own tasks, and threads that an author has started.
running_task: ContextVar[Any] = ContextVar("flink_actions.task", default=None)


def running_node() -> TaskNode | None:
    """The node of the running task."""
    owner = running_task.get()
    return owner if owner is None or type(owner) is TaskNode else owner.task_root()


def running_context() -> Any:
    """The context of the attempt whose code runs; None if it is no attempt's, or that of a task whose attempt has
    ended. In the first step it is not always known: see `TaskNumbering.stepping` and `ActionState.suspends`."""
    owner = running_task.get()
    return owner.root.context if type(owner) is TaskNode else owner


class TaskNumbering:
    """The task factory of an event loop: a task that an action makes gets its number. One per loop, however many
    dispatchers there are."""

    def __init__(self, earlier: Callable[..., Any] | None) -> None:
        self._earlier = earlier
        self._users = 0
        # The context of the attempt that takes its first step; tasks that are made now are its. Nothing is looked up
        # for the many actions that make none.
        self.stepping: Any = None

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> TaskNumbering:
        """The loop's, installed if need be, until it is released as often."""
        earlier: Any = loop.get_task_factory()
        numbering: TaskNumbering = earlier if isinstance(earlier, TaskNumbering) else cls(earlier)
        if numbering is not earlier:
            loop.set_task_factory(numbering)
        numbering._users += 1
        return numbering

    def release(self, loop: asyncio.AbstractEventLoop) -> None:
        """One user less; without any the loop gets back the factory that it had."""
        self._users -= 1
        if not self._users and loop.get_task_factory() is self:
            loop.set_task_factory(self._earlier)

    def __call__(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        node = running_node()
        if node is None and self.stepping is not None:
            node = self.stepping.task_root()
        make = functools.partial(self._earlier or _make_task, loop, coroutine)
        if node is None or options.get("context") is not None:
            # A context that was chosen on purpose is left as it is: calls made there count as the parent's.
            return make(**options)
        if type(coroutine).__name__ == _CLOSING:
            return make(**options)
        # A task takes a copy of the context that it is made in.
        token = running_task.set(node.child())
        try:
            return make(**options)
        finally:
            running_task.reset(token)


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coroutine, loop=loop, **options)
