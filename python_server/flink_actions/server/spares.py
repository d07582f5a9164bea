"""Processes that have loaded the author's code and wait to become a worker.

Most of a worker's start is the interpreter and imports: some 0.4 s of processor time, during which a server with one
worker answers nobody. A spare has that behind it. It has opened no resource and listens nowhere; it takes memory.

A spare is used only if the source files are those that it has loaded: a worker that replaces another one starts from
the code as it is then.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from flink_actions.server.config import ServerSettings
from flink_actions.server.spawn import SpawnedProcess, spawn_process

__all__ = ["Spares"]

_Stamps: TypeAlias = tuple[tuple[str, int, int, int], ...]


class Spares:
    """Of one crew, `settings.spares` at most. Used on the supervisor's event loop only."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._waiting: deque[tuple[SpawnedProcess, _Stamps]] = deque()

    def fill(self, source_files: Sequence[str]) -> None:
        """Start as many as are missing.

        Args:
            source_files: What the crew has loaded: when these change, a spare that was started before is of no use.
        """
        while len(self._waiting) < self._settings.spares:
            # Before it loads: what changes meanwhile makes it useless too.
            stamps = _stamps_of(source_files)
            self._waiting.append((spawn_process("spare", self._settings), stamps))

    def take(self, source_files: Sequence[str]) -> SpawnedProcess | None:
        """A spare that may become a worker; none if there is none that would do."""
        while self._waiting:
            spare, stamps = self._waiting.popleft()
            if spare.process.poll() is None and stamps == _stamps_of(source_files):
                return spare
            spare.end()
        return None

    def dismiss(self) -> None:
        """End all of them."""
        while self._waiting:
            self._waiting.popleft()[0].end()


def _stamps_of(files: Sequence[str]) -> _Stamps:
    stamps = []
    for file in files:
        with contextlib.suppress(OSError):
            found = os.stat(file)
            stamps.append((file, found.st_mtime_ns, found.st_size, found.st_ino))
    return tuple(stamps)
