from __future__ import annotations

from flink_actions.server.fences import Claim, EpochFences, OperatorIdentity, StaleEpoch

OPERATOR = OperatorIdentity("namespace", "job", "operator")


def claim(start: str, epoch: int, first: int = 0, last: int = 127) -> Claim:
    return Claim(start.encode(), epoch, first, last)


def test_a_later_start_supersedes_the_earlier_one() -> None:
    fences = EpochFences()
    first, second = claim("first", 1), claim("second", 2)
    assert fences.claim(OPERATOR, first) == ()
    assert fences.claim(OPERATOR, second) == (first,)


def test_a_zombie_is_told_the_epoch_that_has_replaced_it() -> None:
    fences = EpochFences()
    fences.claim(OPERATOR, claim("first", 1))
    fences.claim(OPERATOR, claim("second", 7))
    assert fences.claim(OPERATOR, claim("first", 1)) == StaleEpoch(7)


def test_a_refused_claim_fences_nobody() -> None:
    fences = EpochFences()
    current = claim("current", 7)
    fences.claim(OPERATOR, current)
    fences.claim(OPERATOR, claim("zombie", 3))
    assert fences.claim(OPERATOR, claim("next", 8)) == (current,)


def test_two_starts_that_read_the_same_clock_do_not_both_pass() -> None:
    fences = EpochFences()
    fences.claim(OPERATOR, claim("first", 5))
    assert fences.claim(OPERATOR, claim("second", 5)) == StaleEpoch(5)


def test_a_reconnect_of_the_same_start_passes_with_its_own_epoch() -> None:
    fences = EpochFences()
    fences.claim(OPERATOR, claim("first", 5))
    assert fences.claim(OPERATOR, claim("first", 5)) == ()


def test_subtasks_with_other_key_groups_do_not_meet() -> None:
    fences = EpochFences()
    assert fences.claim(OPERATOR, claim("left", 9, 0, 63)) == ()
    assert fences.claim(OPERATOR, claim("right", 1, 64, 127)) == ()


def test_rescaling_fences_a_zombie_whose_subtask_index_went_elsewhere() -> None:
    fences = EpochFences()
    zombie = claim("1 of 2", 1, 64, 127)
    fences.claim(OPERATOR, zombie)
    assert fences.claim(OPERATOR, claim("2 of 4", 2, 64, 95)) == (zombie,)
    assert fences.claim(OPERATOR, zombie) == StaleEpoch(2)


def test_other_jobs_and_operators_have_fences_of_their_own() -> None:
    fences = EpochFences()
    fences.claim(OPERATOR, claim("first", 9))
    for other in (
        OperatorIdentity("other", "job", "operator"),
        OperatorIdentity("namespace", "other", "operator"),
        OperatorIdentity("namespace", "job", "other"),
    ):
        assert fences.claim(other, claim("second", 1)) == ()


def test_what_is_remembered_does_not_grow_with_starts_or_with_operators() -> None:
    fences = EpochFences()
    for epoch in range(1, 1000):
        parallelism = 1 + epoch % 5
        for subtask in range(parallelism):
            groups = 128 * subtask // parallelism, 128 * (subtask + 1) // parallelism - 1
            fences.claim(OPERATOR, claim(f"{epoch} {subtask}", epoch, *groups))
    assert len(fences._claims[OPERATOR]) < 20
    for number in range(5000):
        fences.claim(OperatorIdentity("namespace", f"job {number}", "operator"), claim("x", 1))
    assert len(fences._claims) <= 4096
