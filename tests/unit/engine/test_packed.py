"""Outcomes that are packed away, and come back whole."""

from __future__ import annotations

from enum import Enum, IntEnum

import pytest
from flink_actions.engine.invocation import (
    Failed,
    FailureKind,
    HandedBack,
    LocalInvocation,
    Measured,
    MemoryChanges,
    Outcome,
    SentEvent,
    Succeeded,
    Work,
)
from flink_actions.engine.metrics import MetricDelta
from flink_actions.engine.packed import PackedOutcomes, size_of
from flink_actions.sdk.metrics import MetricKind


class Kind(str, Enum):
    """A type of events as some authors write it."""

    SEEN = "seen"


class Tokens(IntEnum):
    """Numbers as some authors write them."""

    MANY = 1000


TOKENS = MetricDelta(("model", "tokens"), True, MetricKind.COUNTER, 42, is_of_server=True)


def invocation(handle: int) -> LocalInvocation:
    return LocalInvocation(
        handle,
        0,
        handle.to_bytes(16, "big"),
        "seen",
        b"{}",
        attempt=3,
        key=b'"k%d"' % handle,
        run_number=7,
        memory_version=b"12345678",
    )


def result(handle: int, events: list[SentEvent], changes: MemoryChanges | None = None) -> Succeeded:
    return Succeeded(handle, events, changes, 370, invocation(handle))


def told(outcome: Outcome) -> object:
    """All that may be asked of one."""
    if not isinstance(outcome, Succeeded):
        return outcome
    done = outcome.invocation
    work = done and (done.invocation_id, done.key, done.run_number, done.attempt, done.memory_version)
    measured = [*outcome.metrics], outcome.ran_ms
    return type(outcome), outcome.handle, outcome.events, outcome.changes, outcome.cost_bytes, measured, work


@pytest.mark.parametrize(
    "outcomes",
    [
        [],
        [result(1, [("_output_event", b'{"a":1}', False), ("seen", b"\x00raw", True)])],
        [result(1, [], MemoryChanges(b"12345678", b"abcdefgh", {"trace": b"[1]"}, {"user": b"o", "user.age": b""}))],
        [result(1, []), Failed(2, FailureKind.BUG, "ValueError", "no"), result(3, [("seen", b"{}", False)])],
        [HandedBack(1, [], None, 370, invocation(1), ()), Succeeded(2, [], None, 370)],
        [
            result(1, []),
            Measured(2, [("seen", b"{}", False)], None, 370, invocation(2), [TOKENS], 250),
            result(3, []),
            HandedBack(4, [], None, 370, invocation(4), [TOKENS], 70),
        ],
    ],
    ids=["none", "events", "memory", "beside a failure", "of other kinds", "with metrics and a time limit"],
)
def test_what_is_packed_comes_back_as_it_was(outcomes: list[Outcome]) -> None:
    packed = PackedOutcomes(outcomes)
    unpacked = sorted(packed.unpack(), key=lambda one: one.handle)
    assert [told(one) for one in unpacked] == [told(one) for one in outcomes]
    assert packed.succeeded_count == sum(isinstance(one, Succeeded) for one in outcomes)


def test_classes_of_an_author_s_own_come_back_too() -> None:
    changes = MemoryChanges(b"12345678", b"abcdefgh", {}, {Kind.SEEN: b"1"})
    tokens = MetricDelta((Kind.SEEN,), True, MetricKind.HISTOGRAM, Tokens.MANY)
    sent = Measured(1, [(Kind.SEEN, b"{}", False)], changes, 370, invocation(1), [tokens])
    (back,) = PackedOutcomes([sent]).unpack()
    assert told(back) == told(sent)


@pytest.mark.parametrize(
    "large",
    [
        result(1, [("seen", b"x" * 100_000, False)]),
        Measured(1, [("seen", b"x" * 100_000, False)], None, 370, invocation(1), (), 250),
        Measured(1, [], MemoryChanges(b"", b"12345678", {}, {"user": b"x" * 100_000}), 370, invocation(1), [TOKENS]),
        Measured(1, [(Kind.SEEN, b"x" * 100_000, False)], None, 370, invocation(1), ()),
        Succeeded(1, [("seen", b"x" * 100_000, False)], None, 370),
        Failed(1, FailureKind.BUG, "ValueError", "no", "x" * 100_000),
    ],
    ids=["a result", "a measured one", "memory", "classes of an author's own", "nobody's", "a failure"],
)
def test_what_an_outcome_says_counts_and_nothing_of_its_invocation_stays(large: Outcome) -> None:
    packed = PackedOutcomes([large])
    assert 100_000 <= packed.size < 101_000
    assert 100_000 <= size_of(large) < 101_000
    (back,) = packed.unpack()
    if isinstance(back, Succeeded) and back.invocation is not None:
        # As it came from the wire it keeps the whole frame of its Invoke.
        assert isinstance(back.invocation, Work)
