"""Which task of an action makes a call: child tasks are numbered, per parent, in the order they are made.

That order is the code's own and repeats, whatever order the tasks then run and finish in. The event loop's task factory
(see Dispatcher) counts; a context variable carries a task's node to the tasks and threads that it starts.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any


class TaskNode:
    """A task of an action, from the action's own (the root) down."""

    __slots__ = ("_children", "_number", "_parent", "calls", "unacknowledged")

    def __init__(self, parent: TaskNode | None = None, number: int = 0) -> None:
        self._parent = parent
        self._number = number
        self._children = 0
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
