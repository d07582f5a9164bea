"""The memory that one attempt sees: a mirror, and over it what the attempt has written.

Values stay encoded and are decoded on every `get`, so that what an action gets is its own, and a big memory costs
nothing to those who do not look at it.
"""

from __future__ import annotations

import functools
from typing import Any

from flink_actions.engine.mirrors import GONE, OBJECT, Entries
from flink_actions.sdk import values
from flink_actions.sdk.declared import converter_to
from flink_actions.sdk.errors import ContextEndedError, MemoryPathError
from flink_actions.sdk.memory import MemoryObject, MemoryRef


class AttemptMemory:
    """One memory (sensory or short-term) of one attempt.

    Args:
        name: "sensory" or "short_term".
        base: What the attempt starts from. Not changed here.
    """

    __slots__ = ("_values", "base", "changes", "is_ended", "name")

    def __init__(self, name: str, base: Entries) -> None:
        self.name = name
        self.base = base
        self._values = base.values
        # Each path at most once, GONE where an entry of the base was removed.
        self.changes: dict[str, bytes] = {}
        self.is_ended = False

    def find(self, path: str) -> bytes:
        """The encoded value, OBJECT, or GONE (no bytes)."""
        if self.is_ended:
            raise ContextEndedError(
                f"{self.name} memory was used at {path!r} after its action had ended: "
                "await what you start, or take what you need before"
            )
        found = self.changes.get(path)
        return self._values.get(path, GONE) if found is None else found

    def put(self, path: str, encoded: bytes, overwrite: bool) -> None:
        """Write a value or OBJECT at a path, with the objects on the way to it."""
        for parent in parents_of(path):
            there = self.find(parent)
            if not there:
                self.changes[parent] = OBJECT
            elif there != OBJECT:
                raise MemoryPathError(
                    f"{self.name} memory: {path!r} leads through {parent!r}, which holds a value: delete it "
                    "first, or set a dict there"
                )
        there = self.find(path)
        if there and (there == OBJECT) != (encoded == OBJECT):
            if not overwrite:
                kind, other = ("an object", "a value") if there == OBJECT else ("a value", "an object")
                raise MemoryPathError(
                    f"{self.name} memory: {path!r} holds {kind}: pass overwrite=True to replace it by {other}"
                )
            self.remove(path)
        self.changes[path] = encoded

    def remove(self, path: str) -> bool:
        """Remove an entry and all below it."""
        there = self.find(path)
        if not there:
            return False
        if there == OBJECT:
            for name in self.fields_of(path):
                self.remove(f"{path}.{name}")
        if path in self.base.values:
            self.changes[path] = GONE
        else:
            del self.changes[path]
        return True

    def fields_of(self, path: str) -> list[str]:
        """Names of the fields of the object at a path, sorted; "" is the root."""
        self.find(path)
        changes = self.changes
        prefix = f"{path}." if path else ""
        names = {name for name in self.base.fields_of(path) if changes.get(prefix + name) != GONE}
        # Another thread of the action may write meanwhile. copy() is made in one go; list(items()) is not: it makes
        # tuples, and so a garbage collection, in which another thread may have its turn.
        for changed, value in changes.copy().items():
            if value and changed.startswith(prefix) and "." not in changed[len(prefix) :]:
                names.add(changed[len(prefix) :])
        return sorted(names)

    def plain(self, path: str) -> Any:
        """The object at a path as a dict of plain values."""
        found: dict[str, Any] = {}
        for name in self.fields_of(path):
            field = f"{path}.{name}" if path else name
            encoded = self.find(field)
            found[name] = self.plain(field) if encoded == OBJECT else values.decode(encoded, None, field)
        return found


class MemoryNode(MemoryObject):
    """An object of an attempt's memory, named by its path; the root's is ""."""

    __slots__ = ("_memory", "_path")

    def __init__(self, memory: AttemptMemory, path: str = "") -> None:
        self._memory = memory
        self._path = path

    def get(self, path_or_ref: str | MemoryRef, *, as_: Any = None, default: Any = None) -> Any:
        memory = self._memory
        if type(path_or_ref) is str:
            path = f"{self._path}.{path_or_ref}" if self._path else path_or_ref
        elif isinstance(path_or_ref, MemoryRef):
            if path_or_ref.memory != memory.name:
                raise MemoryPathError(
                    f"{path_or_ref.path!r} is a reference to {path_or_ref.memory} memory, not to "
                    f"{memory.name}: use ref.resolve(ctx)"
                )
            path = path_or_ref.path
        else:
            raise MemoryPathError(f"{path_or_ref!r} is neither a memory path nor a MemoryRef")
        encoded = memory.find(path)
        if not encoded:
            parents_of(path)  # nothing there: say so if nothing could ever be
            return default
        if encoded != OBJECT:
            return values.decode(encoded, as_, path)
        if as_ is None:
            return MemoryNode(memory, path)
        convert = converter_to(as_)
        plain = memory.plain(path)
        return plain if convert is None else convert(plain, path)

    def set(self, path: str, value: Any, *, overwrite: bool = False) -> MemoryRef:
        if type(value) is MemoryNode:
            raise MemoryPathError(f"{path!r} cannot be set to a MemoryObject: make one there with new_object({path!r})")
        full = f"{self._path}.{path}" if self._path else path
        memory = self._memory
        encoded = values.encode(value, full)
        there = memory.find(full)
        if there and there != OBJECT:
            # A value again where one was, which most writes are: then nothing on the way to it can be wrong.
            memory.changes[full] = encoded
        else:
            memory.put(full, encoded, overwrite)
        return _ref(full, memory.name)

    def new_object(self, path: str, *, overwrite: bool = False) -> MemoryObject:
        full = f"{self._path}.{path}" if self._path else path
        self._memory.put(full, OBJECT, overwrite)
        return MemoryNode(self._memory, full)

    def delete(self, path: str) -> bool:
        full = f"{self._path}.{path}" if self._path else path
        parents_of(full)
        return self._memory.remove(full)

    def is_exist(self, path: str) -> bool:
        return bool(self._memory.find(f"{self._path}.{path}" if self._path else path))

    def get_field_names(self) -> list[str]:
        return self._memory.fields_of(self._path)

    def get_fields(self) -> dict[str, Any]:
        return {name: self.get(name) for name in self.get_field_names()}

    def __repr__(self) -> str:
        return f"<{self._memory.name} memory object {self._path or 'root'!r}>"


# References are immutable and few; making one costs more than writing the value it names.
_ref = functools.lru_cache(maxsize=8192)(MemoryRef)


@functools.lru_cache(maxsize=8192)
def parents_of(path: str) -> tuple[str, ...]:
    """Paths of the objects on the way to a path, outermost first.

    Raises:
        MemoryPathError: It is no path.
    """
    if not isinstance(path, str) or not path or "" in (names := path.split(".")):
        raise MemoryPathError(f"{path!r} is no memory path: names joined by dots, none of them empty")
    if not path.isascii():
        try:
            path.encode()
        except UnicodeEncodeError:
            raise MemoryPathError(
                f"{path!r} is no memory path: it holds a lone surrogate and has no UTF-8 form"
            ) from None
    return tuple(".".join(names[:length]) for length in range(1, len(names)))
