"""One kind of fault at a time, so that the verdict has nothing to excuse."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from tests.chaos.verdict import judge
from tests.chaos.world import GRACE_SECONDS, HERE, CommittedLines, World, stopped

pytestmark = pytest.mark.timeout(180)


def until(condition: str, holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {condition}"
        time.sleep(0.05)


@contextlib.contextmanager
def stopped_in_a_call(world: World, pid: int) -> Iterator[None]:
    """As `stopped`, at a moment when the worker has begun a call and has no answer yet."""
    deadline = time.monotonic() + 20.0
    while True:
        with stopped(pid):
            if world.open_calls(pid):
                yield
                return
        assert time.monotonic() < deadline, f"worker {pid} is never seen in the middle of a call"
        time.sleep(0.005)


def left_lines(world: World) -> int:
    return sum(1 for one in world.inputs if one.file.startswith("left"))


def test_a_killed_task_manager_whose_workers_live_costs_no_recorded_call_and_crosses_no_answers(tmp_path: Path) -> None:
    # Checkpoints come seldom, so that there is much to repeat, and the partitions race each other through it anew.
    with World(tmp_path, settings={"execution.checkpointing.interval": "3 s"}) as world:
        world.await_answers(100)
        until("a checkpoint is 2 s old", lambda: time.time() - world.job.checkpoints()[-1].triggered_at > 2.0)
        victim = world.busy_task_manager()
        assert victim is not None
        world.kill_task_manager(victim)
        world.await_recovery(45.0)
        world.await_answers(100)
        # Else there was nothing to repeat.
        until("work is handed back", lambda: world.job.counter("handedBackResults") > 0)
        world.settle()
        verdict = judge(world.evidence())
    print(verdict.counts)
    # No worker died: nothing that was recorded may be called again, by anybody.
    assert verdict.broken == []
    assert verdict.counts["worker deaths"] == 0
    assert verdict.counts["job restarts"] > 0
    # Else nothing came in another order.
    assert verdict.counts["inputs that came back as another run"] > 0


def test_a_reload_in_the_middle_of_all_work_makes_no_call_again(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        world.await_answers(100)
        before = world.worker_pids()
        world.reload_server()
        until("the old workers have left", lambda: {one.pid for one in world.deaths} >= set(before), seconds=40.0)
        world.await_answers(100)
        world.settle()
        verdict = judge(world.evidence())
    print(verdict.counts)
    # Nothing died: what the old workers had begun they ended, or nobody began it anew.
    assert verdict.broken == []
    assert verdict.counts["worker deaths"] == 0
    assert verdict.counts["workers that left as they were told"] >= len(before)


def test_what_a_worker_had_that_was_stopped_beyond_its_linger_time_goes_on_elsewhere(tmp_path: Path) -> None:
    linger_seconds = 2.0
    with World(tmp_path, linger_seconds=linger_seconds) as world:
        world.await_answers(100)
        pid = world.worker_pids()[0]
        with world.out_of_reach([pid]), stopped_in_a_call(world, pid):
            # Through those that stay the job would wait longer for an answer.
            world.proxy.cut()
            time.sleep(linger_seconds + GRACE_SECONDS)
            # So many that keys of the stopped one are among them.
            world.await_answers(len(world.inputs) - world.answered())
        world.await_answers(100)
        world.settle()
        verdict = judge(world.evidence())
    print(verdict.counts)
    assert verdict.broken == []
    assert verdict.counts["worker deaths"] == 0
    assert verdict.counts["job restarts"] == 0
    # The one that it was in the middle of.
    assert verdict.counts["last calls made again after a death"] > 0


def test_a_neighbour_on_the_same_task_manager_never_notices_that_workers_die(tmp_path: Path) -> None:
    with World(tmp_path, task_managers=1, settings={"taskmanager.numberOfTaskSlots": "3"}) as world:
        outputs = tmp_path / "neighbour"
        neighbour = world.cluster.submit(HERE / "neighbour_job.py", str(tmp_path / "left"), str(outputs))
        neighbour.await_running()
        assert neighbour.task_managers() == world.job.task_managers()
        lines = CommittedLines(outputs)
        until("the neighbour has caught up", lambda: len(lines.read()) > left_lines(world) / 2, seconds=60.0)
        began = time.time()
        for hurt in [world.abort_worker, lambda: world.kill_worker(world.worker_pids()[0])] * 3:
            # Beside them a quarantine worker may stand by for a while: an abort names a suspect.
            until("two workers live", lambda: len(world.worker_pids()) >= 2)
            before = len(world.deaths)
            hurt()
            until("the death is noticed", partial(world.has_lost_more_workers_than, before))
            world.await_answers(50)
        ended = time.time()
        world.settle()
        until("the neighbour has all lines", lambda: len(lines.read()) == left_lines(world), seconds=60.0)
        commits = sorted({began, ended, *[at for at in lines.commits if began < at < ended]})
        longest = max(later - earlier for earlier, later in pairwise(commits))
        print(f"6 workers died; the neighbour's longest time between two commits: {longest:.1f} s")
        assert neighbour.restarts() == 0
        assert neighbour.failures() == []
        verdict = judge(world.evidence())
    # Its checkpoints are a second apart, each with lines to commit: the feeder never pauses.
    assert longest < 4.0
    assert verdict.broken == []
    assert verdict.counts["worker deaths"] >= 6
    assert verdict.counts["job restarts"] == 0
