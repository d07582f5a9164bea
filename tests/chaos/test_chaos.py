"""Half a minute of faults, each of another kind. `make chaos` goes on to all of them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from tests.chaos.faults import KINDS, STORE_KINDS, storm
from tests.chaos.run import run_chaos

SEED = 2764943
SECONDS = 26.0
# So many faults there are at least within that time, ...
FEWEST_FAULTS = 8
# ... and these are among them: each kind of process ends, one of each pair is held up, and work is on both sides of a
# broken connection.
IMPORTANT = {
    "kill -9 of a worker",
    "os.abort() in an action",
    "SIGSTOP of a worker",
    "kill -9 of the supervisor",
    "reload",
    "kill -9 of a TaskManager",
    "kill -9 of a TaskManager and a worker",
    "connections stalled, then reset",
}


@pytest.mark.timeout(240)
def test_no_promise_is_broken_while_everything_fails(tmp_path: Path) -> None:
    verdict = run_chaos(tmp_path, SEED, SECONDS)
    assert verdict.broken == [], f"seed {SEED}; logs in {tmp_path}"
    # Else nothing was tried.
    assert verdict.counts["inputs"] > 1_000
    assert verdict.counts["worker deaths"] > 2
    assert verdict.counts["job restarts"] > 0
    assert verdict.counts["last calls made again after a death"] > 0
    assert verdict.counts["events before an await that were sent again"] > 0
    assert verdict.counts["faults"] >= FEWEST_FAULTS


def test_the_storm_of_this_seed_begins_with_all_that_is_important() -> None:
    assert {fault.kind for fault in islice(storm(SEED), FEWEST_FAULTS)} == IMPORTANT


@pytest.mark.parametrize("has_store", [False, True])
def test_a_seed_gives_the_same_storm_again_with_every_kind_in_its_beginning(has_store: bool) -> None:
    kinds = {*KINDS, *STORE_KINDS} if has_store else set(KINDS)
    first = list(islice(storm(7, has_store=has_store), 100))
    assert first == list(islice(storm(7, has_store=has_store), 100))
    assert {fault.kind for fault in first[: len(kinds)]} == kinds
