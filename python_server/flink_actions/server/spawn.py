"""Starts a worker process: fresh, never forked from a process in which gRPC runs.

A process is told twice what it is for: first what to load, and then, at once or when it is needed, which worker it is.
In between it is a spare (see `spares`).

Imports nothing heavy: the command line starts the workers before it loads gRPC for itself, so that both load at the
same time.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass

from flink_actions.server import control
from flink_actions.server.black_box import BlackBox
from flink_actions.server.config import ServerSettings
from flink_actions.server.errors import StartError

__all__ = ["SpawnedProcess", "SpawnedWorker", "spawn_crew", "spawn_process", "spawn_worker"]

# For a process that was killed; one that hangs in the kernel, at a file system that is gone, may take for ever.
_END_SECONDS = 1.0
_ENTRY = "import sys; from flink_actions.server.worker import main; main(int(sys.argv[1]))"


@dataclass(frozen=True)
class SpawnedProcess:
    """A process that has been told what to load, and not yet which worker it is."""

    process: subprocess.Popen[bytes]
    control_socket: socket.socket
    black_box: BlackBox

    def become(self, worker: str, settings: ServerSettings, *, is_quarantine: bool = False) -> SpawnedWorker:
        """Tell it that it is the worker `worker` ("w0", "w1", ...) from now on.

        Raises `OSError` if it has ended, or cannot be told; then it is the caller's to `end`.
        """
        incarnation = os.urandom(16)
        start = control.Start(
            worker=worker,
            incarnation=incarnation,
            listen=str(settings.address.of_worker(worker, incarnation)),
            is_quarantine=is_quarantine,
        )
        self.control_socket.sendall(control.encode(start))
        return SpawnedWorker(self.process, self.control_socket, self.black_box, worker, incarnation)

    def end(self) -> None:
        """Kill it, and free what it had."""
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_SECONDS)
        self.control_socket.close()
        self.black_box.close()


@dataclass(frozen=True)
class SpawnedWorker(SpawnedProcess):
    """A process that has been told which worker it is; nothing has been heard from it since."""

    worker: str
    incarnation: bytes


def spawn_crew(settings: ServerSettings) -> list[SpawnedWorker]:
    """Start one process for each slot; raise `StartError`, and leave none behind, if one of them cannot be started."""
    with contextlib.ExitStack() as undo:
        workers = []
        for number in range(settings.workers):
            try:
                workers.append(spawn_worker(f"w{number}", settings))
            except OSError as error:
                raise StartError(f"the process of worker w{number} cannot be started: {error}") from error
            undo.callback(workers[-1].end)
        undo.pop_all()
    return workers


def spawn_worker(worker: str, settings: ServerSettings, *, is_quarantine: bool = False) -> SpawnedWorker:
    """Start the process for the slot `worker` ("w0", "w1", ...); raise `OSError` if it cannot be started."""
    process = spawn_process(f"worker {worker}", settings)
    try:
        return process.become(worker, settings, is_quarantine=is_quarantine)
    except OSError:
        process.end()
        raise


def spawn_process(name: str, settings: ServerSettings) -> SpawnedProcess:
    """Start a process that loads the code; raise `OSError`, and keep nothing open, if it cannot be started.

    Args:
        name: What it calls itself in the log until it is a worker.
        settings: What it is told.
    """
    with contextlib.ExitStack() as undo:
        black_box = BlackBox(settings.threads)
        undo.callback(black_box.close)
        slots_fd, report_fd = black_box.fds
        load = control.Load(name=name, settings=settings.to_json(), slots_fd=slots_fd, report_fd=report_fd)
        ours, theirs = socket.socketpair()
        undo.callback(ours.close)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", _ENTRY, str(theirs.fileno())],
                pass_fds=(theirs.fileno(), slots_fd, report_fd),
                stdin=subprocess.DEVNULL,
                # Ctrl-C in a terminal goes to the supervisor alone, which drains; a worker that dies of it could not.
                start_new_session=True,
            )
        spawned = SpawnedProcess(process, ours, black_box)
        undo.callback(spawned.end)
        ours.sendall(control.encode(load))
        undo.pop_all()
    return spawned
