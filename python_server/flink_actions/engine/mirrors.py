"""Mirrors: the memory of keys that this worker has seen, each under its version.

A version is 8 random bytes that name one content. So a mirror is right exactly when its version is the one that an
invocation names; whatever went wrong in between (a lost Result, a restore, an eviction) shows as an inequality and ends
in `NeedsMemory`, never in a wrong answer. A mirror holds encoded values and is changed in place when nobody else reads
it: the cost of a change is that of the change.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from flink_actions.engine.invocation import Invocation, MemoryChanges, MemoryForm

OBJECT = b"o"  # in place of a value: an object, whose fields are entries of their own
GONE = b""  # in place of a value: no such entry any more

_ENTRY_OVERHEAD = 120  # bytes that a path and a value take beside their own

_AS_YOU_HAVE_IT, _FULL, _DELTA = MemoryForm.AS_YOU_HAVE_IT, MemoryForm.FULL, MemoryForm.DELTA


class Entries:
    """One memory of a key (sensory or short-term): path → encoded value."""

    __slots__ = ("_fields", "values")

    def __init__(self, values: dict[str, bytes] | None = None) -> None:
        self.values = {} if values is None else values
        # Object's path → names of its fields; made when somebody first lists one.
        self._fields: dict[str, dict[str, None]] | None = None

    def copy(self) -> Entries:
        """Another one with the same content."""
        return Entries(dict(self.values))

    def apply(self, changes: Mapping[str, bytes]) -> int:
        """Make changes; gives back by how many bytes the content grew."""
        values, growth = self.values, 0
        for path, value in changes.items():
            before = values.get(path)
            if value:
                values[path] = value
                if before is not None:
                    growth += len(value) - len(before)
                    continue
                growth += len(value) + len(path) + _ENTRY_OVERHEAD
            elif before is not None:
                del values[path]
                growth -= len(before) + len(path) + _ENTRY_OVERHEAD
            if self._fields is not None:
                _note(self._fields, path, bool(value))
        return growth

    def size(self) -> int:
        """Bytes, about."""
        return sum(len(path) + len(value) + _ENTRY_OVERHEAD for path, value in self.values.items())

    def fields_of(self, path: str) -> Iterable[str]:
        """Names of the fields of the object at a path; "" is the root."""
        if self._fields is None:
            fields: dict[str, dict[str, None]] = {}
            for known in self.values:
                _note(fields, known, True)
            # When it is whole: another thread of the action may ask meanwhile.
            self._fields = fields
        return self._fields.get(path, ())


def _note(fields: dict[str, dict[str, None]], path: str, is_there: bool) -> None:
    parent, _, name = path.rpartition(".")
    if is_there:
        fields.setdefault(parent, {})[name] = None
    elif parent in fields:
        fields[parent].pop(name, None)


class Mirror:
    """The memory of one key at one version."""

    __slots__ = ("key", "readers", "sensory", "short_term", "size", "version")

    def __init__(
        self, key: bytes, version: bytes = b"", sensory: Entries | None = None, short_term: Entries | None = None
    ) -> None:
        self.key = key
        self.version = version
        self.sensory = Entries() if sensory is None else sensory
        self.short_term = Entries() if short_term is None else short_term
        self.size = self.sensory.size() + self.short_term.size()
        # Attempts that go on reading after they were first stepped.
        self.readers = 0

    def copy(self) -> Mirror:
        """A mirror of the same content that nobody reads."""
        return Mirror(self.key, self.version, self.sensory.copy(), self.short_term.copy())


class Mirrors:
    """All mirrors of one operator of one job, least recently used first.

    Args:
        limit_bytes: Most bytes kept. The quota is per job, so that no job evicts another's.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.size = 0
        self._mirrors: OrderedDict[bytes, Mirror] = OrderedDict()

    def __len__(self) -> int:
        return len(self._mirrors)

    def resolve(self, invocation: Invocation) -> Mirror | None:
        """The memory that an invocation starts from, or None if this worker does not have it."""
        form, version = invocation.memory_form, invocation.memory_version
        key = invocation.key
        mirror = self._mirrors.get(key)
        if form is _FULL:
            # Even if the version is known: entries that have expired are not in it, and leave the version as it is.
            return self._replace(_whole(key, invocation), 0)
        if mirror is not None and mirror.version == version:
            # Also for DELTA: the same version is the same content, sent again.
            self._mirrors.move_to_end(key)
            return mirror
        if form is _DELTA:
            return self._advance(key, mirror, invocation)
        # No version: nothing was ever written. What may be kept under this key is of another timeline.
        return None if version else Mirror(key)

    def commit(self, mirror: Mirror, changes: MemoryChanges) -> None:
        """Make a successful attempt's changes to the mirror that it started from."""
        kept = self._mirrors.get(mirror.key)
        if kept is not None and kept is not mirror and changes.base:
            # Another invocation has brought other memory for this key meanwhile: this attempt is stale.
            return
        if mirror.version != changes.base:
            return
        if mirror.readers:
            mirror = mirror.copy()
        growth = mirror.short_term.apply(changes.short_term)
        if changes.sensory:
            growth += mirror.sensory.apply(changes.sensory)
        mirror.version = changes.version
        if kept is not mirror:
            self._replace(mirror, growth)
        elif growth:
            mirror.size += growth
            self.size += growth
            self._evict()

    def forget(self, keys: Iterable[bytes]) -> None:
        """Drop the mirrors of these keys."""
        for key in keys:
            mirror = self._mirrors.pop(key, None)
            if mirror is not None:
                self.size -= mirror.size

    def _advance(self, key: bytes, mirror: Mirror | None, invocation: Invocation) -> Mirror | None:
        if mirror is None and not invocation.memory_from:
            mirror = Mirror(key)
        if mirror is None or mirror.version != invocation.memory_from:
            return None
        if mirror.readers:
            mirror = mirror.copy()
        growth = 0
        if invocation.clear_sensory:
            growth -= mirror.sensory.size()
            mirror.sensory = Entries()
        sensory, short_term = _columns(invocation)
        growth += mirror.sensory.apply(sensory) + mirror.short_term.apply(short_term)
        mirror.version = invocation.memory_version
        return self._replace(mirror, growth)

    def _replace(self, mirror: Mirror, growth: int) -> Mirror:
        """Put a mirror, grown by so many bytes, in the place of whatever its key has; then evict what is too much."""
        mirrors, key = self._mirrors, mirror.key
        before = mirrors.get(key)
        if before is not None:
            self.size -= before.size
        mirror.size += growth
        self.size += mirror.size
        mirrors[key] = mirror
        mirrors.move_to_end(key)
        self._evict()
        return mirror

    def _evict(self) -> None:
        while self.size > self.limit_bytes and self._mirrors:
            self.size -= self._mirrors.popitem(last=False)[1].size


def _columns(invocation: Invocation) -> tuple[dict[str, bytes], dict[str, bytes]]:
    paths, values, split = invocation.memory_path, invocation.memory_value, invocation.sensory_count
    return dict(zip(paths[:split], values[:split], strict=False)), dict(
        zip(paths[split:], values[split:], strict=False)
    )


def _whole(key: bytes, invocation: Invocation) -> Mirror:
    sensory, short_term = _columns(invocation)
    return Mirror(key, invocation.memory_version, Entries(sensory), Entries(short_term))


class VersionMint:
    """Makes memory versions, 8 random bytes each.

    Args:
        random_bytes: Source of randomness; asked for many versions at a time, because a system call costs more than a
            version.
    """

    __slots__ = ("_left", "_random_bytes")

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._left: list[bytes] = []

    def next(self) -> bytes:
        """A version that was never given before."""
        if not self._left:
            random = self._random_bytes(8 * 256)
            self._left = [random[start : start + 8] for start in range(0, len(random), 8)]
        return self._left.pop()
