"""Processes that have loaded the author's code and wait to become a worker.

Most of a worker's start is the interpreter and imports: some 0.4 s of processor time, during which a server with one
worker answers nobody. A spare has that behind it. It has opened no resource and listens nowhere; it takes memory.

A spare is used only if it has said that the code is there, and if the source files are those that it has loaded: a
worker that replaces another one starts from the code as it is then, and does not hang where the spare hung. What else
the code reads while it is imported nobody knows of.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from flink_actions.server import control
from flink_actions.server.config import ServerSettings
from flink_actions.server.spawn import SpawnedProcess, spawn_process

__all__ = ["Spares"]

_log = logging.getLogger(__name__)

_READ_BYTES = 65536

_Stamps: TypeAlias = tuple[tuple[str, int, int, int], ...]


class Spares:
    """Of one crew, `settings.spares` at most. Used on the supervisor's event loop only."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._waiting: list[_Spare] = []

    def fill(self, source_files: Sequence[str]) -> None:
        """Start as many as are missing.

        Args:
            source_files: What the crew has loaded: when these change, a spare that was started before is of no use.
        """
        while len(self._waiting) < self._settings.spares:
            try:
                self._waiting.append(_Spare(self._settings, source_files, self._waiting.remove))
            except OSError as error:
                # A worker that dies is replaced without one, and then it is tried again.
                _log.warning("a spare cannot be started: %s", error)
                return

    def take(self, source_files: Sequence[str]) -> SpawnedProcess | None:
        """A spare that may become a worker; none if there is none that would do."""
        for spare in [one for one in self._waiting if one.has_loaded]:
            self._waiting.remove(spare)
            if spare.is_of(source_files):
                return spare.process
            spare.process.end()
        return None

    def dismiss(self) -> None:
        """End all of them."""
        for spare in self._waiting:
            spare.end()
        self._waiting.clear()


class _Spare:
    """One process, from its start until it is used or ended.

    Args:
        settings: What it is told.
        crew_files: See `Spares.fill`.
        on_end: Called when it has ended, or hung and was ended, before it had loaded.
    """

    def __init__(self, settings: ServerSettings, crew_files: Sequence[str], on_end: Callable[[_Spare], None]) -> None:
        self._settings = settings
        # Before it loads: what changes meanwhile makes it useless too.
        self._crew_stamps = _stamps_of(crew_files)
        self._began_ns = time.time_ns()
        self._own_stamps: _Stamps = ()
        self._may_be_outdated = False
        self.process = spawn_process("spare", settings)
        self.has_loaded = False
        self._on_end = on_end
        self._heard = b""
        self._loop = asyncio.get_running_loop()
        # Once it has loaded it says nothing until it is a worker, and then it is somebody else's to listen to.
        self.process.control_socket.setblocking(False)
        self._loop.add_reader(self.process.control_socket.fileno(), self._on_readable)
        self._limit = self._loop.call_later(settings.load_limit_seconds, self._on_hung)

    def is_of(self, crew_files: Sequence[str]) -> bool:
        """Whether it lives and has loaded what is in the files now."""
        if self._may_be_outdated or self.process.process.poll() is not None:
            return False
        if self._crew_stamps != _stamps_of(crew_files):
            return False
        own_files = [file for file, *_ in self._own_stamps]
        return self._own_stamps == _stamps_of(own_files)

    def end(self) -> None:
        """Kill the process; nobody is told."""
        self._stop_listening()
        self.process.end()

    def _on_readable(self) -> None:
        try:
            part = self.process.control_socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            part = b""
        self._heard += part
        if part and not self._heard.endswith(b"\n"):
            return
        message = control.decode(self._heard) if part else None
        if not isinstance(message, control.Prepared):
            # It has said why in the log, or could not: the worker that loads the same code says it to the jobs.
            self._give_up()
            return
        self._stop_listening()
        self._own_stamps = _stamps_of(message.source_files)
        self._may_be_outdated = self._has_seen_changes(message.source_files)
        self.has_loaded = True

    def _has_seen_changes(self, files: Sequence[str]) -> bool:
        """Whether one that only it has loaded was written meanwhile: then it may have read what was there before.

        Of the crew's files the stamps from before its start tell that.
        """
        crew_files = {file for file, *_ in self._crew_stamps}
        return any(_changed_ns(file) >= self._began_ns for file in files if file not in crew_files)

    def _on_hung(self) -> None:
        limit = self._settings.load_limit_seconds
        _log.error("spare (pid %d) has not loaded the code within %g s: killed", self.process.process.pid, limit)
        self._give_up()

    def _give_up(self) -> None:
        self.end()
        self._on_end(self)

    def _stop_listening(self) -> None:
        self._limit.cancel()
        if not self.has_loaded:
            self._loop.remove_reader(self.process.control_socket.fileno())


def _stamps_of(files: Sequence[str]) -> _Stamps:
    stamps = []
    for file in files:
        with contextlib.suppress(OSError):
            found = os.stat(file)
            stamps.append((file, found.st_mtime_ns, found.st_size, found.st_ino))
    return tuple(stamps)


def _changed_ns(file: str) -> int:
    # Not the time of modification, which a copy takes over from its original.
    with contextlib.suppress(OSError):
        return os.stat(file).st_ctime_ns
    return time.time_ns()
