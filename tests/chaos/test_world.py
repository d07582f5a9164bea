"""What a world tells the verdict, without the processes: a job and a server's log that are written here."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.evidence import Input
from tests.chaos.verdict import judge
from tests.chaos.world import CommittedLines, Death, World
from tests.e2e.running_job import Checkpoint

ANSWER = {"kind": "answer", "name": "f-0", "key": "k", "count": 0, "fold": "", "drawn": ["f-0"]}


class ScriptedJob:
    """Completes a checkpoint each time that it is asked, and commits an output with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._completed: list[Checkpoint] = []
        self.to_commit: dict[int, dict[str, Any]] = {}

    def checkpoints(self) -> list[Checkpoint]:
        number, now = len(self._completed), time.time()
        self._completed.append(Checkpoint(number, now, now))
        if number in self.to_commit:
            (self._folder / f"part-{number}").write_text(json.dumps(self.to_commit[number]) + "\n")
        return self._completed

    def failures(self) -> list[Any]:
        return []


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    world.job = ScriptedJob(outputs)  # type: ignore[assignment]
    world._outputs = CommittedLines(outputs)
    world._fed = threading.Event()
    world._feeder = threading.Thread(target=world._fed.wait)
    world._feeder.start()
    world.cluster = SimpleNamespace(task_managers=[])  # type: ignore[assignment]
    yield world
    # Else its thread outlives a test that does not settle, and the interpreter waits for it at its end.
    world._fed.set()
    world._feeder.join()


def test_a_double_that_is_committed_with_the_next_checkpoint_is_seen(world: World) -> None:
    world.inputs = [Input("f-0", "k", "f", 0)]
    (world.folder / "outputs" / "part-first").write_text(json.dumps(ANSWER) + "\n")
    world.job.to_commit[1] = ANSWER  # type: ignore[attr-defined]
    world.settle()
    assert "inputs have more than one answer output: 1: f-0" in "\n".join(judge(world.evidence()).broken)


def test_only_what_a_fault_ended_has_died(world: World) -> None:
    world.settle()
    world._killed = {1}
    (world.folder / "aborted-2").touch()
    world._orphaned = {1, 4}
    world.deaths = [Death(pid, 10.0 + pid) for pid in (1, 2, 3, 4, 5, 6)]
    evidence = world.evidence()
    assert evidence.worker_deaths == [(1, 11.0), (2, 12.0)]
    assert evidence.orphan_exits == [(4, 14.0)]
    assert evidence.worker_exits == [(3, 13.0), (5, 15.0), (6, 16.0)]


SEGFAULT = "worker hurt-1 (pid 3) died: signal 11 (SIGSEGV)"


def test_a_worker_that_ended_otherwise_than_by_a_fault_is_complained_of(world: World) -> None:
    world.settle()
    broken_off = "worker hurt-2 (pid 5) died: exit code 1"
    log = f"{SEGFAULT}\n{broken_off}\nworker hurt-3 (pid 1) died: signal 9 (SIGKILL)\nworker hurt-3 stays"
    world._lives = [SimpleNamespace(running=SimpleNamespace(log=log))]  # type: ignore[list-item]
    # A fault cannot have made it leave with that code, though it aimed at it.
    world._killed = {1, 5}
    assert world.evidence().complaints == [SEGFAULT, broken_off]
    world._killed = {1, 3}
    assert world.evidence().complaints == [broken_off]


def test_a_defect_that_is_only_logged_is_complained_of_and_so_is_a_task_manager_that_ended_by_itself(
    world: World,
) -> None:
    world.settle()
    logs = world.folder / "cluster" / "log"
    logs.mkdir(parents=True)
    (logs / "tm0.out").write_text("INFO all is well\nFATAL: Thread 'a' produced an uncaught exception.\n")
    server = "CRITICAL worker hurt-1: the dispatcher's task failed\nERROR a defect ended the session of hurt/0"
    world._lives = [SimpleNamespace(running=SimpleNamespace(log=server))]  # type: ignore[list-item]
    ended = [SimpleNamespace(returncode=code) for code in (-9, 239)]
    world.cluster.task_managers = [
        SimpleNamespace(name=f"tm{number}", is_alive=False, process=process)  # type: ignore[misc]
        for number, process in enumerate(ended)
    ]
    world._killed_task_managers = {"tm0"}
    assert world.evidence().complaints == [
        *server.splitlines(),
        "FATAL: Thread 'a' produced an uncaught exception.",
        "TaskManager tm1 has ended with exit code 239",
    ]


def test_a_worker_is_given_up_only_when_it_was_out_of_reach_for_longer_than_it_lingers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([100.0, 109.0, 200.0, 213.0])
    monkeypatch.setattr(time, "time", lambda: next(times))
    with world.out_of_reach([7]):
        pass
    assert world.given_up == []
    with world.out_of_reach([7, 8]):
        pass
    assert world.given_up == [(7, 210.0, 216.0), (8, 210.0, 216.0)]
