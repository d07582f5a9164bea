"""Memory of a key, as an action sees it.

A memory is a tree: objects have fields, a field is an object or a value. Paths are dotted (`"user.name"`). What an
action writes it reads back at once; the next action of the run sees it when this one has succeeded, and it becomes
state whole or not at all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from flink_actions.sdk.context import RunnerContext

T = TypeVar("T")


# Not frozen: every `set` makes one, and a frozen dataclass takes three times as long to make.
@dataclass(unsafe_hash=True, slots=True)
class MemoryRef:
    """Names a place in memory; small enough to travel in an event in place of the value.

    Args:
        path: The whole path.
        memory: "short_term" or "sensory".
    """

    path: str
    memory: str = "short_term"

    def resolve(self, ctx: RunnerContext) -> Any:
        """What is there now, as `MemoryObject.get` gives it."""
        memory = ctx.sensory_memory if self.memory == "sensory" else ctx.short_term_memory
        return memory.get(self)


class MemoryObject(ABC):
    """An object in memory; the roots are `ctx.sensory_memory` and `ctx.short_term_memory`.

    Values that `get` gives are the caller's own: changing one changes memory only when it is `set` again. Usable from
    any task or thread of the action until the action ends.

    Example:
        >>> memory = ctx.short_term_memory          # doctest: +SKIP
        >>> memory.set("user.visits", memory.get("user.visits", default=0) + 1)  # doctest: +SKIP
        >>> "user" in memory, memory["user.visits"]  # doctest: +SKIP
        (True, 1)
    """

    __slots__ = ()

    @overload
    def get(self, path_or_ref: str | MemoryRef, *, as_: type[T]) -> T | None: ...
    @overload
    def get(self, path_or_ref: str | MemoryRef, *, as_: type[T], default: T) -> T: ...
    @overload
    def get(self, path_or_ref: str | MemoryRef, *, default: Any = None) -> Any: ...
    @abstractmethod
    def get(self, path_or_ref: str | MemoryRef, *, as_: Any = None, default: Any = None) -> Any:
        """What a path or reference leads to: a value, or a `MemoryObject`.

        Args:
            path_or_ref: A path below this object, or a reference (always from the root).
            as_: Type to read the value as; an object is read as one from its fields.
            default: What to give if there is nothing.

        Raises:
            NotDecodableError: The value is not of type `as_`.
        """

    @abstractmethod
    def set(self, path: str, value: Any, *, overwrite: bool = False) -> MemoryRef:
        """Write a value; objects on the way are made.

        Args:
            path: Where, below this object.
            value: Any value with a wire form.
            overwrite: Also replace an object and all its fields by the value.

        Raises:
            MemoryPathError: There is an object at the path, or a value on the way to it.
            NotEncodableError: The value has no wire form.
        """

    @abstractmethod
    def new_object(self, path: str, *, overwrite: bool = False) -> MemoryObject:
        """The object at a path, made if it is not there.

        Args:
            path: Where, below this object.
            overwrite: Also replace a value that is there.

        Raises:
            MemoryPathError: There is a value at the path or on the way to it.
        """

    @abstractmethod
    def delete(self, path: str) -> bool:
        """Remove a value, or an object with all its fields. Says whether there was one."""

    @abstractmethod
    def is_exist(self, path: str) -> bool:
        """Whether there is a value or an object at a path."""

    @abstractmethod
    def get_field_names(self) -> list[str]:
        """Names of this object's own fields, sorted."""

    @abstractmethod
    def get_fields(self) -> dict[str, Any]:
        """This object's own fields by name; objects among them as `MemoryObject`."""

    def __getitem__(self, path: str) -> Any:
        if not self.is_exist(path):
            raise KeyError(path)
        return self.get(path)

    def __setitem__(self, path: str, value: Any) -> None:
        self.set(path, value)

    def __delitem__(self, path: str) -> None:
        if not self.delete(path):
            raise KeyError(path)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self.is_exist(path)

    def __iter__(self) -> Iterator[str]:
        return iter(self.get_field_names())

    def __len__(self) -> int:
        return len(self.get_field_names())
