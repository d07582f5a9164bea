"""A real `flink-actions serve` in processes of its own, for tests that start, kill and restart it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from tests.support.session_client import DEADLINE_SECONDS, DirectoryClient, SessionClient, Start, worker_target

AGENTS = Path(__file__).parent / "agents"

_LISTENING = re.compile(r"listening at (\S+)")


class RunningServer:
    """`with RunningServer("agent.py:agent") as server:`; whatever happens, no process is left behind."""

    def __init__(
        self,
        *targets: str,
        listen: str = "127.0.0.1:0",
        flags: Sequence[str] = (),
        cwd: Path | None = None,
        stdin: int | None = None,
    ) -> None:
        self._command = [
            sys.executable,
            "-m",
            "flink_actions",
            "serve",
            *targets,
            "--listen",
            listen,
            # Most tests look at the processes of a server, and end before a spare would be of use.
            *(() if "--spares" in flags else ("--spares", "0")),
            *flags,
        ]
        self._cwd = cwd
        self._stdin = stdin
        self._changed = threading.Condition()
        self.lines: list[str] = []

    def __enter__(self) -> RunningServer:
        self.process = subprocess.Popen(
            self._command, stdin=self._stdin, stderr=subprocess.PIPE, text=True, cwd=self._cwd
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        workers = self.worker_pids()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._reader.join(DEADLINE_SECONDS)
        if self.process.stderr is not None:
            self.process.stderr.close()
        if kind is not None:
            print("\n".join(["---- server ----", *self.lines]))

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.rstrip())
                self._changed.notify_all()

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def until_logged(self, pattern: str, seconds: float = DEADLINE_SECONDS) -> re.Match[str]:
        """The first log line that matches, waiting for it if need be."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                for line in self.lines:
                    if match := re.search(pattern, line):
                        return match
                left = deadline - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self._reader.is_alive()):
                    raise AssertionError(f"no line matches {pattern!r} in:\n{self.log}")
                self._changed.wait(min(left, 0.2))

    @property
    def address(self) -> str:
        return self.until_logged(_LISTENING.pattern).group(1)

    def wait(self, seconds: float = DEADLINE_SECONDS) -> int:
        """The exit code."""
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        return code

    def worker_pids(self) -> list[int]:
        """Processes that the supervisor has started and that live."""
        return list(_children(self.process.pid))

    # ---- talking to it ----

    def directory(self) -> DirectoryClient:
        return DirectoryClient(self.address)

    async def worker_addresses(self, count: int = 1) -> list[str]:
        address = self.address
        async with self.directory() as directory:
            return [worker_target(address, entry) for entry in await directory.serving(count)]

    async def session(self, start: Start, **hello: object) -> SessionClient:
        """A session with the first worker, not opened yet."""
        (address, *_) = await self.worker_addresses()
        return SessionClient(address, start, **hello)


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            yield from map(int, task.read_text().split())


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
