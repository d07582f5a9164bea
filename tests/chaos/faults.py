"""What can happen to a world, and the order in which it does: drawn from a seed before anything begins.

Each kind comes once before any comes again. A seed gives the same faults with the same pauses and durations again;
what they meet is up to the processes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.chaos.world import GRACE_SECONDS, HEARTBEAT_SECONDS, LINGER_SECONDS, World, stopped
from tests.e2e.standalone_cluster import TaskManager

_PAUSE_SECONDS = (0.5, 2.5)
# All below what a worker waits for a job that it lost: nothing is given up, ...
_DURATION_SECONDS = (0.3, 3.5)
# ... unless that and the job's own patience come before it.
_GIVEN_UP_SECONDS = LINGER_SECONDS + GRACE_SECONDS + 1.0
_RECOVERY_SECONDS = 45.0
_TOLD_SECONDS = 1.0


@dataclass(frozen=True)
class Fault:
    """One thing that happens.

    Args:
        kind: A name of `KINDS` or `STORE_KINDS`.
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
        return {**KINDS, **STORE_KINDS}[self.kind](world, self)


def storm(seed: int, *, has_store: bool = False) -> Iterator[Fault]:
    """Faults without end."""
    rng = random.Random(seed)
    while True:
        deck = sorted({**KINDS, **STORE_KINDS} if has_store else KINDS)
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


def _stop_worker_until_given_up(world: World, fault: Fault) -> str:
    """Its connections break too: on one that stays, a job waits longer for an answer. It comes back with work that goes
    on elsewhere, and does not know."""
    pid = _one_worker(world, fault)
    if pid is None:
        return ""
    duration = _GIVEN_UP_SECONDS + fault.duration_seconds
    with world.out_of_reach([pid]), stopped(pid):
        world.proxy.cut()
        time.sleep(duration)
    return f"pid {pid} for {duration:.1f} s"


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
    return _break_stalled(world, fault.duration_seconds)


def _half_open_until_given_up(world: World, fault: Fault) -> str:
    """The workers end what they run; the job learns of it when it asks for that."""
    with world.out_of_reach(world.server_pids()):
        return _break_stalled(world, _GIVEN_UP_SECONDS + fault.duration_seconds)


def _break_stalled(world: World, seconds: float) -> str:
    world.proxy.stall()
    time.sleep(seconds)
    count = world.proxy.cut()
    world.proxy.flow()
    return f"{count} connections after {seconds:.1f} s"


def _shut(world: World, fault: Fault) -> str:
    return _refuse(world, fault.duration_seconds)


def _shut_until_given_up(world: World, fault: Fault) -> str:
    with world.out_of_reach(world.server_pids()):
        return _refuse(world, _GIVEN_UP_SECONDS + fault.duration_seconds)


def _refuse(world: World, seconds: float) -> str:
    world.proxy.shut()
    time.sleep(seconds)
    world.proxy.open()
    return f"for {seconds:.1f} s"


# ---- the store ----


def _stop_broker(world: World, fault: Fault) -> str:
    if world.broker is None:
        return ""
    with stopped(world.broker.pid):
        time.sleep(fault.duration_seconds)
    return f"for {fault.duration_seconds:.1f} s"


KINDS: dict[str, Callable[[World, Fault], str]] = {
    "kill -9 of a worker": _kill_worker,
    "os.abort() in an action": _abort_worker,
    "SIGSTOP of a worker": _stop_worker,
    "SIGSTOP of a worker, until given up": _stop_worker_until_given_up,
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
    "connections stalled until given up, then reset": _half_open_until_given_up,
    "connections refused": _shut,
    "connections refused until given up": _shut_until_given_up,
}
STORE_KINDS: dict[str, Callable[[World, Fault], str]] = {"SIGSTOP of the broker": _stop_broker}
"""At level synchronous they come too."""
