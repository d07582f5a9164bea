from __future__ import annotations

from flink_actions.engine.invocation import Outcome, Succeeded
from flink_actions.server.undelivered import UndeliveredOutcomes


def outcome(handle: int) -> Outcome:
    return Succeeded(handle, [], None, 0)


def kept(undelivered: UndeliveredOutcomes) -> list[int]:
    return [one.handle for one in undelivered]


def test_an_outcome_is_kept_until_the_job_uses_a_grant_that_came_after_it() -> None:
    undelivered = UndeliveredOutcomes(1 << 20)
    # A window of 10: frame 1 carried grant 11, frame 2 grant 12.
    undelivered.add(1, 11, 100, [outcome(1)])
    undelivered.add(2, 12, 100, [outcome(2)])
    undelivered.on_invokes(11)
    assert kept(undelivered) == [1, 2]
    undelivered.on_invokes(12)
    assert kept(undelivered) == [2]


def test_what_the_job_says_it_has_is_not_kept() -> None:
    undelivered = UndeliveredOutcomes(1 << 20)
    for number in (1, 2, 3):
        undelivered.add(number, 10 + number, 100, [outcome(number)])
    undelivered.on_received(2)
    assert kept(undelivered) == [3]


def test_what_is_kept_is_bounded_by_bytes_and_the_oldest_goes_first() -> None:
    undelivered = UndeliveredOutcomes(250)
    for number in (1, 2, 3):
        undelivered.add(number, 10 + number, 100, [outcome(number)])
    assert kept(undelivered) == [2, 3]
    undelivered.add(4, 14, 10_000, [outcome(4)])
    assert kept(undelivered) == [4]


def test_which_frames_the_job_may_lack_is_known_also_of_what_is_not_kept() -> None:
    undelivered = UndeliveredOutcomes(150)
    assert undelivered.first_sequence is None
    for number in (1, 2, 3, 4, 5):
        undelivered.add(number, 10 + number, 100, [outcome(number)])
    assert kept(undelivered) == [5]
    assert undelivered.first_sequence == 1
    undelivered.on_invokes(12)
    assert undelivered.first_sequence == 2
    undelivered.on_received(3)
    assert undelivered.first_sequence == 4
    undelivered.on_received(5)
    assert undelivered.first_sequence is None
