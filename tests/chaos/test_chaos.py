"""Half a minute of faults, each of another kind: of seed 1 nine of the 14. `make chaos` goes on to all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.faults import KINDS, storm
from tests.chaos.run import run_chaos

SEED = 1
SECONDS = 26.0


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


def test_a_seed_gives_the_same_storm_again_with_every_kind_in_its_beginning() -> None:
    first = [fault for fault, _ in zip(storm(7), range(100), strict=False)]
    again = [fault for fault, _ in zip(storm(7), range(100), strict=False)]
    assert first == again
    assert {fault.kind for fault in first[: len(KINDS)]} == set(KINDS)
