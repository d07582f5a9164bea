"""What can happen to a world, and the order in which it does: drawn from a seed before anything begins.

Each kind comes once before any comes again, so that a short time has all of them. A seed gives the same faults with
the same pauses and durations again; what they meet is up to the processes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.chaos.world import HEARTBEAT_SECONDS, World, stopped
from tests.e2e.standalone_cluster import TaskManager

_PAUSE_SECONDS = (0.5, 2.5)
# All below what a worker waits for a job that it lost.
_DURATION_SECONDS = (0.3, 3.5)
_RECOVERY_SECONDS = 45.0
_TOLD_SECONDS = 1.0


@dataclass(frozen=True)
class Fault:
    """One thing that happens.

    Args:
        kind: A name of `KINDS`.
        pause_seconds: Before it.
        duration_seconds: How long it lasts, if it is of a kind that lasts.
        choice: From 0 to below 1: which of those that it may happen to.
    """

    kind: str
    pause_seconds: float
    duration_seconds: float
    choice: float

    def happen(self, world: World) -> str:
        """Returns what it was done to; an empty text if there was nobody."""
        return KINDS[self.kind](world, self)


def storm(seed: int) -> Iterator[Fault]:
    """Faults without end."""
    rng = random.Random(seed)
    while True:
        deck = sorted(KINDS)
        rng.shuffle(deck)
        for kind in deck:
            yield Fault(kind, rng.uniform(*_PAUSE_SECONDS), rng.uniform(*_DURATION_SECONDS), rng.random())


# ---- workers and server ----


def _kill_worker(world: World, fault: Fault) -> str:
    pid = _one_worker(world, fault)
    if pid is None:
        return ""
    world.kill_worker(pid)
    return f"pid {pid}"


def _abort_worker(world: World, fault: Fault) -> str:
    world.abort_worker()
    return "whoever makes the next call"


def _stop_worker(world: World, fault: Fault) -> str:
    pid = _one_worker(world, fault)
    if pid is None:
        return ""
    with stopped(pid):
        time.sleep(fault.duration_seconds)
    return f"pid {pid} for {fault.duration_seconds:.1f} s"


def _one_worker(world: World, fault: Fault) -> int | None:
    pids = world.worker_pids()
    return pids[int(fault.choice * len(pids))] if pids else None


def _kill_server(world: World, fault: Fault) -> str:
    world.kill_server()
    time.sleep(fault.duration_seconds)
    world.start_server()
    return f"away for {fault.duration_seconds:.1f} s"


def _kill_supervisor(world: World, fault: Fault) -> str:
    world.kill_supervisor()
    world.start_server()
    return "its workers are left to themselves"


def _reload(world: World, fault: Fault) -> str:
    world.reload_server()
    return "the same code, new workers"


# ---- TaskManagers ----


def _kill_task_manager(world: World, fault: Fault) -> str:
    victim = _await_busy_one(world)
    world.kill_task_manager(victim)
    world.await_recovery(_RECOVERY_SECONDS)
    return victim.name


def _kill_both(world: World, fault: Fault) -> str:
    victim, pid = _await_busy_one(world), _one_worker(world, fault)
    if pid is not None:
        world.kill_worker(pid)
    world.kill_task_manager(victim)
    world.await_recovery(_RECOVERY_SECONDS)
    return f"{victim.name} and pid {pid}"


def _stop_task_manager(world: World, fault: Fault) -> str:
    victim = _await_busy_one(world)
    with stopped(victim.process.pid):
        time.sleep(fault.duration_seconds)
    return f"{victim.name} for {fault.duration_seconds:.1f} s"


def _stop_task_manager_until_given_up(world: World, fault: Fault) -> str:
    """It comes back when its tasks run elsewhere, and does not know."""
    victim = _await_busy_one(world)
    duration = HEARTBEAT_SECONDS + 1.0 + fault.duration_seconds
    world.losses.append(time.time())
    with stopped(victim.process.pid):
        time.sleep(duration)
    # Its tasks go on until it has been told; then they are cancelled.
    world.losses += [time.time(), time.time() + _TOLD_SECONDS]
    world.await_recovery(_RECOVERY_SECONDS)
    return f"{victim.name} for {duration:.1f} s"


def _await_busy_one(world: World) -> TaskManager:
    deadline = time.monotonic() + _RECOVERY_SECONDS
    while (busy := world.busy_task_manager()) is None:
        assert time.monotonic() < deadline, f"no task runs after {_RECOVERY_SECONDS:g} s"
        time.sleep(0.1)
    return busy


# ---- connections ----


def _cut(world: World, fault: Fault) -> str:
    return f"{world.proxy.cut()} connections"


def _stall(world: World, fault: Fault) -> str:
    world.proxy.stall()
    time.sleep(fault.duration_seconds)
    world.proxy.flow()
    return f"for {fault.duration_seconds:.1f} s"


def _half_open(world: World, fault: Fault) -> str:
    """What either side writes meanwhile is lost, and it learns so late."""
    world.proxy.stall()
    time.sleep(fault.duration_seconds)
    count = world.proxy.cut()
    world.proxy.flow()
    return f"{count} connections after {fault.duration_seconds:.1f} s"


def _shut(world: World, fault: Fault) -> str:
    world.proxy.shut()
    time.sleep(fault.duration_seconds)
    world.proxy.open()
    return f"for {fault.duration_seconds:.1f} s"


KINDS: dict[str, Callable[[World, Fault], str]] = {
    "kill -9 of a worker": _kill_worker,
    "os.abort() in an action": _abort_worker,
    "SIGSTOP of a worker": _stop_worker,
    "kill -9 of supervisor and workers": _kill_server,
    "kill -9 of the supervisor": _kill_supervisor,
    "reload": _reload,
    "kill -9 of a TaskManager": _kill_task_manager,
    "kill -9 of a TaskManager and a worker": _kill_both,
    "SIGSTOP of a TaskManager": _stop_task_manager,
    "SIGSTOP of a TaskManager, too long": _stop_task_manager_until_given_up,
    "connections reset": _cut,
    "connections stalled": _stall,
    "connections stalled, then reset": _half_open,
    "connections refused": _shut,
}
