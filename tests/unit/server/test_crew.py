"""When a worker that has died is replaced."""

from __future__ import annotations

import itertools

from flink_actions.server.crew import _backoff_seconds


def test_the_first_death_is_answered_at_once_and_a_loop_ever_more_slowly() -> None:
    pauses = [_backoff_seconds(young_deaths) for young_deaths in range(40)]
    assert pauses[:3] == [0.0, 0.0, 0.1]
    assert all(earlier <= later for earlier, later in itertools.pairwise(pauses))
    assert pauses[-1] == 10.0
