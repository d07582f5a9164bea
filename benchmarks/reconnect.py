"""Kills a worker under a running job, and takes apart the time until the job has its next result."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from flink_actions.wire.v1 import directory_pb2, directory_pb2_grpc
from processes import BenchmarkError, Server

__all__ = ["kill_worker", "parts_of_reconnect"]

_DEADLINE_SECONDS = 10.0
# The window has begun, and outputs flow.
_PAUSE_SECONDS = 1.0


def kill_worker(server: Server) -> dict[str, float]:
    """Kill the only worker; return by the wall clock when that was, and when the directory said what."""
    time.sleep(_PAUSE_SECONDS)
    with grpc.insecure_channel(server.endpoint) as channel:
        make_stub: Any = directory_pb2_grpc.DirectoryStub
        states = make_stub(channel).Watch(
            directory_pb2.WatchRequest(protocol_min=1, protocol_max=1), timeout=_DEADLINE_SECONDS
        )
        victim = _serving(next(states))
        if victim is None:
            raise BenchmarkError("there is no worker to kill")
        pid = _listener_at(victim.address.removeprefix("unix:"))
        times = {"kill": time.time()}
        os.kill(pid, signal.SIGKILL)
        times["dead"] = _when(states, lambda state: _serving(state) is None)
        times["serving"] = _when(states, lambda state: _serving(state) is not None)
    return times


def parts_of_reconnect(killed: dict[str, float], gap_ends: Sequence[float]) -> dict[str, float]:
    """In ms: until the directory names the dead, until another worker serves, until the job has an output of it.

    Args:
        killed: What `kill_worker` has returned.
        gap_ends: When outputs came that were the first for several ms.
    """
    first_output = next((end for end in gap_ends if end > killed["serving"]), None)
    if first_output is None:
        raise BenchmarkError("outputs came as if no worker had been killed")
    return {
        "reconnect_dead": (killed["dead"] - killed["kill"]) * 1e3,
        "reconnect_serving": (killed["serving"] - killed["dead"]) * 1e3,
        "reconnect_output": (first_output - killed["serving"]) * 1e3,
        "reconnect": (first_output - killed["kill"]) * 1e3,
    }


def _when(states: Any, is_so: Callable[[directory_pb2.DirectoryState], bool]) -> float:
    for state in states:
        if is_so(state):
            return time.time()
    raise BenchmarkError("the directory ended the watch")


def _serving(state: directory_pb2.DirectoryState) -> directory_pb2.WorkerEntry | None:
    return next((one for one in state.workers if one.state == directory_pb2.WorkerEntry.SERVING), None)


def _listener_at(path: str) -> int:
    """Which process listens there."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(path)
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", credentials)[0]
    return pid
