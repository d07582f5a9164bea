"""When a worker that has died is replaced, and when that is a loop."""

from __future__ import annotations

import itertools

import pytest
from flink_actions.server.restarts import Restarts, backoff_seconds


def test_the_first_death_is_answered_at_once_and_a_loop_ever_more_slowly() -> None:
    pauses = [backoff_seconds(deaths) for deaths in range(40)]
    assert pauses[:3] == [0.0, 0.0, 0.1]
    assert all(earlier <= later for earlier, later in itertools.pairwise(pauses))
    assert pauses[-1] == 10.0


def test_a_loop_is_one_whoever_lives_at_the_moment_until_a_worker_has_served_for_long() -> None:
    restarts = Restarts()
    for _ in range(4):
        restarts.on_death("w0", 1.0)
        assert not restarts.is_loop({})
    # However long the pauses between them have grown.
    restarts.on_death("w0", 9.0)
    assert restarts.is_loop({})
    assert restarts.is_loop({"w0": 9.0})
    assert not restarts.is_loop({"w0": 10.0})


def test_after_a_worker_that_has_served_for_long_it_begins_anew() -> None:
    restarts = Restarts()
    pauses = [restarts.on_death("w0", served) for served in (0.0, 0.0, 0.0, 0.0, 0.0, 3600.0, 0.0, 0.0)]
    assert pauses == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.8, 0.0, 0.0, 0.1])
    assert not restarts.is_loop({})


def test_deaths_of_several_slots_are_one_loop_as_an_input_goes_from_one_to_the_next() -> None:
    restarts = Restarts()
    for slot in ("w0", "w1", "w2", "w0", "w1"):
        restarts.on_death(slot, 1.0)
    assert restarts.is_loop({"w0": 1.0, "w1": 1.0, "w2": 1.0})
    assert not restarts.is_loop({"w0": 1.0, "w1": 60.0, "w2": 60.0})
