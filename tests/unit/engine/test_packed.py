"""Outcomes that are packed away, and come back whole."""

from __future__ import annotations

from enum import Enum

import pytest
from flink_actions.engine.invocation import (
    Failed,
    FailureKind,
    HandedBack,
    LocalInvocation,
    MemoryChanges,
    Outcome,
    SentEvent,
    Succeeded,
)
from flink_actions.engine.packed import PackedOutcomes


class Kind(str, Enum):
    """A type of events as some authors write it."""

    SEEN = "seen"


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
    return type(outcome), outcome.handle, outcome.events, outcome.changes, outcome.cost_bytes, outcome.metrics, work


@pytest.mark.parametrize(
    "outcomes",
    [
        [],
        [result(1, [("_output_event", b'{"a":1}', False), ("seen", b"\x00raw", True)])],
        [result(1, [], MemoryChanges(b"12345678", b"abcdefgh", {"trace": b"[1]"}, {"user": b"o", "user.age": b""}))],
        [result(1, []), Failed(2, FailureKind.BUG, "ValueError", "no"), result(3, [("seen", b"{}", False)])],
        [HandedBack(1, [], None, 370, invocation(1), ()), Succeeded(2, [], None, 370)],
    ],
    ids=["none", "events", "memory", "beside a failure", "of other kinds"],
)
def test_what_is_packed_comes_back_as_it_was(outcomes: list[Outcome]) -> None:
    packed = PackedOutcomes(outcomes)
    unpacked = sorted(packed.unpack(), key=lambda one: one.handle)
    assert [told(one) for one in unpacked] == [told(one) for one in outcomes]
    assert packed.succeeded_count == sum(isinstance(one, Succeeded) for one in outcomes)


def test_classes_of_an_author_s_own_come_back_too() -> None:
    sent = result(1, [(Kind.SEEN, b"{}", False)])
    (back,) = PackedOutcomes([sent]).unpack()
    assert told(back) == told(sent)
