"""What a world tells the verdict, without the processes: a job and a server's log that are written here."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.verdict import Input, judge
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
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    world.job = ScriptedJob(outputs)  # type: ignore[assignment]
    world._outputs = CommittedLines(outputs)
    world._fed = threading.Event()
    world._feeder = threading.Thread(target=world._fed.wait)
    world._feeder.start()
    return world


def test_a_double_that_is_committed_with_the_next_checkpoint_is_seen(world: World) -> None:
    world.inputs = [Input("f-0", "k", "f", 0)]
    (world.folder / "outputs" / "part-first").write_text(json.dumps(ANSWER) + "\n")
    world.job.to_commit[1] = ANSWER  # type: ignore[attr-defined]
    world.settle()
    assert "inputs have more than one answer output: 1: f-0" in "\n".join(judge(world.evidence()).broken)


def test_only_what_a_fault_ended_has_died(world: World) -> None:
    world.settle()
    log = "worker hurt-1 (pid 3) died: signal 11 (SIGSEGV)\nworker hurt-2 (pid 5) died: exit code 1"
    world._lives = [SimpleNamespace(running=SimpleNamespace(log=log))]  # type: ignore[list-item]
    world._killed = {1}
    (world.folder / "aborted-2").touch()
    world._orphaned = {1, 4}
    world.deaths = [Death(pid, 10.0 + pid) for pid in (1, 2, 3, 4, 5, 6)]
    evidence = world.evidence()
    assert evidence.worker_deaths == [(1, 11.0), (2, 12.0), (3, 13.0)]
    assert evidence.orphan_exits == [(4, 14.0)]
    assert evidence.worker_exits == [(5, 15.0), (6, 16.0)]
