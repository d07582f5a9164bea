"""The supervisor's view of one worker process: what it said last, whether it lives, how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias

from flink_actions.server import control
from flink_actions.server.black_box import ALL_INNOCENT, NO_SUSPECTS, Suspects
from flink_actions.server.directory import WorkerStatus
from flink_actions.server.spawn import SpawnedWorker
from flink_actions.wire.v1 import directory_pb2

__all__ = ["OnMessage", "WorkerProcess"]

_log = logging.getLogger(__name__)

OnMessage: TypeAlias = Callable[["WorkerProcess", control.Message], Awaitable[None]]

# For what a dead worker wrote just before it died; it is in the socket's buffer already.
_LAST_WORDS_SECONDS = 1.0
# How long one that is aborted has to write down where it was. One that is stopped never does.
_ABORT_SECONDS = 5.0


class WorkerProcess:
    """One incarnation. Its `status` is what the directory shows; used on the supervisor's event loop only."""

    def __init__(self, spawned: SpawnedWorker, on_message: OnMessage, *, is_quarantine: bool = False) -> None:
        self._spawned = spawned
        self._on_message = on_message
        self._writer: asyncio.StreamWriter | None = None
        self._unsent: list[control.Message] = []
        self.name = spawned.worker
        self.pid = spawned.process.pid
        self.status = WorkerStatus(
            spawned.worker, spawned.incarnation, directory_pb2.WorkerEntry.STARTING, is_quarantine=is_quarantine
        )
        self.served_since: float | None = None
        self.last_heartbeat = time.monotonic()
        self._silent_seconds = 0.0
        self.last_used = time.monotonic()
        self.has_explained_itself = False
        self.is_told_to_leave = False
        # Why this side has ended it.
        self._killed_because = ""
        self._was_blocked = False

    async def run(self, on_exit: Callable[[WorkerProcess], Awaitable[None]]) -> None:
        """Handle the worker's messages until the process has ended; `on_exit` hears of the end first of all."""
        exited = self._watch_exit()
        reader, self._writer = await asyncio.open_connection(
            sock=self._spawned.control_socket, limit=control.LONGEST_LINE
        )
        for message in self._unsent:
            self.send(message)
        messages = asyncio.create_task(self._read_messages(reader))
        try:
            await exited
            await on_exit(self)
            await asyncio.wait({messages}, timeout=_LAST_WORDS_SECONDS)
        finally:
            messages.cancel()
            self._writer.close()

    @property
    def is_serving(self) -> bool:
        """Whether it takes sessions."""
        return self.status.state == directory_pb2.WorkerEntry.SERVING

    @property
    def is_archive(self) -> bool:
        """Whether it has drained and stays for what it keeps."""
        return self.status.state == directory_pb2.WorkerEntry.ARCHIVE

    @property
    def has_served(self) -> bool:
        """Whether it has ever taken sessions."""
        return self.served_since is not None

    def is_ready(self, blocked_after_seconds: float) -> bool:
        """Whether it takes sessions and its event loop has moved lately."""
        return self.is_serving and time.monotonic() - self.last_heartbeat < blocked_after_seconds

    def on_heartbeat(self) -> None:
        """Its event loop has moved."""
        self.last_heartbeat = time.monotonic()
        self._silent_seconds = 0.0

    def end_if_blocked(self, interval_seconds: float, limit_seconds: float) -> None:
        """Called regularly: end it if its event loop has not moved for so long. Nobody else can end what blocks it.

        Counts calls instead of seconds, so that a supervisor that stood still itself blames nobody.
        """
        if not self.has_served:
            return
        self._silent_seconds += interval_seconds
        if self._silent_seconds >= limit_seconds + _ABORT_SECONDS:
            self._spawned.process.kill()
        elif self._silent_seconds - interval_seconds < limit_seconds <= self._silent_seconds:
            _log.error(
                "worker %s (pid %d): its event loop has not moved for %g s: aborted", self.name, self.pid, limit_seconds
            )
            self._was_blocked = True
            self._killed_because = f"its event loop had not moved for {limit_seconds:g} s"
            # A crash: it leaves behind in which line it was, and at which invocation.
            self._spawned.process.send_signal(signal.SIGABRT)

    @property
    def served_seconds(self) -> float:
        """How long it has taken sessions; 0 if it never came to that."""
        return 0.0 if self.served_since is None else time.monotonic() - self.served_since

    def send(self, message: control.Message) -> None:
        """Tell the worker; nothing happens if it is gone already."""
        if self._writer is None:
            self._unsent.append(message)
        elif not self._writer.is_closing():
            self._writer.write(control.encode(message))

    def leave(self, limit_seconds: float, *, for_reload: bool = False, archive_seconds: float = 0.0) -> None:
        """Let it drain, and then perhaps stay as an archive; told again, the later order stands."""
        self.is_told_to_leave = True
        self.status = replace(self.status, state=directory_pb2.WorkerEntry.DRAINING)
        self.send(control.DrainOrder(limit_seconds, for_reload, archive_seconds))

    def kill(self, why: str) -> None:
        """End it at once, for no fault of what it runs; nothing happens if it is gone already."""
        self._killed_because = self._killed_because or why
        self._spawned.process.kill()

    @property
    def exit_code(self) -> int | None:
        """As `Popen` says it: negative for a signal, none while it lives."""
        return self._spawned.process.returncode

    @property
    def has_left_as_told(self) -> bool:
        """Whether it has drained and said goodbye."""
        return self.is_told_to_leave and self.exit_code == 0

    def exit_reason(self) -> str:
        """Why it ended, in words."""
        code = self.exit_code
        if self.has_left_as_told:
            return "left as it was told"
        if self._killed_because:
            return f"killed by its supervisor: {self._killed_because}"
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            return f"signal {-code} ({signal.Signals(-code).name})"
        except ValueError:  # a real-time signal has no name
            return f"signal {-code}"

    def last_steps(self) -> Suspects:
        """Who may have ended it; to be asked once, after the end."""
        code = self.exit_code
        try:
            if code is None:
                return NO_SUSPECTS
            was_killed = self._killed_because and not self._was_blocked and code == -signal.SIGKILL
            if was_killed or self.has_left_as_told:
                return ALL_INNOCENT
            return self._spawned.black_box.read(code, was_blocked=self._was_blocked)
        finally:
            self._spawned.black_box.close()

    def remove_socket_file(self) -> None:
        """A worker that was killed could not do it itself; nobody else ever listens under its incarnation's name."""
        if self.status.address.startswith("unix:"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.status.address.removeprefix("unix:"))

    def _watch_exit(self) -> asyncio.Future[None]:
        """A thread waits for the process: the one way that is prompt on every platform and event loop."""
        loop = asyncio.get_running_loop()
        exited: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not exited.done():
                exited.set_result(None)

        def wait_for_exit() -> None:
            self._spawned.process.wait()
            # The loop may be closed: then nobody is left to tell.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(tell)

        threading.Thread(target=wait_for_exit, name=f"exit of {self.name}", daemon=True).start()
        return exited

    async def _read_messages(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            try:
                message = control.decode(line)
            except (ValueError, KeyError, TypeError):
                _log.exception("worker %s wrote what is no control message: %.200r", self.name, line)
                continue
            try:
                await self._on_message(self, message)
            except Exception:
                _log.exception("a defect at a message of worker %s", self.name)
