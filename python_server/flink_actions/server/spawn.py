"""Starts a worker process: fresh, never forked from a process in which gRPC runs.

A process is told twice what it is for: first what to load, and then, at once or when it is needed, which worker it is.
In between it is a spare (see `spares`).

Imports nothing heavy: the command line starts the workers before it loads gRPC for itself, so that both load at the
same time.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass

from flink_actions.server import control
from flink_actions.server.black_box import BlackBox
from flink_actions.server.config import ServerSettings

__all__ = ["SpawnedProcess", "SpawnedWorker", "spawn_crew", "spawn_process", "spawn_worker"]

_ENTRY = "import sys; from flink_actions.server.worker import main; main(int(sys.argv[1]))"


@dataclass(frozen=True)
class SpawnedProcess:
    """A process that has been told what to load, and not yet which worker it is."""

    process: subprocess.Popen[bytes]
    control_socket: socket.socket
    black_box: BlackBox

    def become(self, worker: str, settings: ServerSettings, *, is_quarantine: bool = False) -> SpawnedWorker:
        """Tell it that it is the worker `worker` ("w0", "w1", ...) from now on."""
        incarnation = os.urandom(16)
        start = control.Start(
            worker=worker,
            incarnation=incarnation,
            listen=str(settings.address.of_worker(worker, incarnation)),
            is_quarantine=is_quarantine,
        )
        self.control_socket.sendall(control.encode(start))
        return SpawnedWorker(worker, incarnation, self.process, self.control_socket, self.black_box)

    def end(self) -> None:
        """Kill it, and free what it had."""
        self.process.kill()
        self.process.wait()
        self.control_socket.close()
        self.black_box.close()


@dataclass(frozen=True)
class SpawnedWorker:
    """A process that has been started and told what to do; nothing has been heard from it yet."""

    worker: str
    incarnation: bytes
    process: subprocess.Popen[bytes]
    control_socket: socket.socket
    black_box: BlackBox


def spawn_crew(settings: ServerSettings) -> list[SpawnedWorker]:
    """Start one process for each slot."""
    return [spawn_worker(f"w{number}", settings) for number in range(settings.workers)]


def spawn_worker(worker: str, settings: ServerSettings) -> SpawnedWorker:
    """Start the process for the slot `worker` ("w0", "w1", ...)."""
    return spawn_process(f"worker {worker}", settings).become(worker, settings)


def spawn_process(name: str, settings: ServerSettings) -> SpawnedProcess:
    """Start a process that loads the code; `name` is what it calls itself in the log meanwhile."""
    black_box = BlackBox(settings.threads)
    slots_fd, report_fd = black_box.fds
    load = control.Load(name=name, settings=settings.to_json(), slots_fd=slots_fd, report_fd=report_fd)
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", _ENTRY, str(theirs.fileno())],
            pass_fds=(theirs.fileno(), slots_fd, report_fd),
            stdin=subprocess.DEVNULL,
            # Ctrl-C in a terminal goes to the supervisor alone, which drains; a worker that dies of it could not.
            start_new_session=True,
        )
    ours.sendall(control.encode(load))
    return SpawnedProcess(process, ours, black_box)
