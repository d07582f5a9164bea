"""Outcomes as frames, read back column by column as session.proto describes them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from flink_actions.engine.invocation import (
    Bounced,
    BounceReason,
    Failed,
    FailureKind,
    HandedBack,
    Measured,
    MemoryChanges,
    NeedsMemory,
    Outcome,
    SentEvent,
    Succeeded,
)
from flink_actions.engine.metrics import MetricDelta
from flink_actions.sdk.metrics import MetricKind
from flink_actions.wire.codec import encode_outcomes
from flink_actions.wire.v1 import session_pb2

LIMIT = 1 << 20


def read(results: session_pb2.Results) -> list[Succeeded]:
    """What a reader of the proto makes of the columns."""
    types, payloads = iter(results.event_type), iter(results.event_payload)
    content_types = iter(results.event_content_type or [session_pb2.JSON] * len(results.event_type))
    paths, values = iter(results.memory_path), iter(results.memory_value)
    bases, versions = iter(results.memory_base), iter(results.memory_version)
    none = [0] * len(results.handle)
    found = []
    for handle, events, sensory, short_term in zip(
        results.handle,
        results.event_count,
        results.sensory_count or none,
        results.short_term_count or none,
        strict=True,
    ):
        sent: list[SentEvent] = [
            (next(types), next(payloads), next(content_types) == session_pb2.BYTES) for _ in range(events)
        ]
        changes = None
        if sensory or short_term:
            changes = MemoryChanges(
                next(bases),
                next(versions),
                {next(paths): next(values) for _ in range(sensory)},
                {next(paths): next(values) for _ in range(short_term)},
            )
        found.append(Succeeded(handle, sent, changes, 0))
    for column in (types, payloads, paths, values, bases, versions):
        assert next(column, None) is None, "a column is longer than its counts say"
    return found


def plain(results: Sequence[Succeeded]) -> list[tuple[object, ...]]:
    return [(result.handle, result.events, result.changes) for result in results]


def round_trip(outcomes: Sequence[Outcome], limit: int = LIMIT) -> list[session_pb2.WorkerFrame]:
    frames = []
    for frame in encode_outcomes(outcomes, limit):
        encoded = frame.SerializeToString()
        assert len(encoded) <= limit
        frames.append(session_pb2.WorkerFrame.FromString(encoded))
    return frames


def result(handle: int, *events: SentEvent, changes: MemoryChanges | None = None) -> Succeeded:
    return Succeeded(handle, list(events), changes, 0)


def test_results_are_columns() -> None:
    results = [
        result(1, ("_output_event", b"1", False)),
        result(2),
        result(3, ("a", b"{}", False), ("b", b"{}", False), changes=MemoryChanges(b"", b"v1", {"s": b"1"}, {"a": b""})),
        result(4, changes=MemoryChanges(b"v1", b"v2", {}, {"x": b"o", "x.y": b"2"})),
        result(5, ("_output_event", b"2", False)),
    ]
    (frame,) = round_trip(results)
    assert plain(read(frame.results)) == plain(results)
    assert list(frame.results.event_content_type) == []


def test_columns_that_say_nothing_are_left_out() -> None:
    (frame,) = round_trip([result(1, ("a", b"{}", False)), result(2)])
    assert list(frame.results.sensory_count) == list(frame.results.short_term_count) == []


def test_bytes_are_marked_wherever_they_come() -> None:
    results = [
        result(1, ("a", b"{}", False)),
        result(2, ("_output_event", b"\xff", True), ("a", b"{}", False)),
        result(3, ("a", b"{}", False)),
    ]
    (frame,) = round_trip(results)
    assert plain(read(frame.results)) == plain(results)


def test_the_other_outcomes_are_messages_of_their_own() -> None:
    outcomes: list[Outcome] = [
        Failed(1, FailureKind.RETRYABLE, "a.B", "no", "Traceback ...", 1500),
        NeedsMemory(2),
        Bounced(3, BounceReason.OVERLOADED),
        result(4),
    ]
    (frame,) = round_trip(outcomes)
    failure = session_pb2.Failure(
        handle=1,
        kind=session_pb2.Failure.RETRYABLE,
        exception="a.B",
        message="no",
        stack="Traceback ...",
        retry_after_ms=1500,
    )
    assert list(frame.failures) == [failure]
    assert list(frame.need_memory) == [2]
    assert list(frame.bounces) == [session_pb2.Bounce(handle=3, reason=session_pb2.Bounce.OVERLOADED)]
    assert list(frame.results.handle) == [4]


@pytest.mark.parametrize("kind", FailureKind)
def test_every_kind_of_failure_has_its_number_on_the_wire(kind: FailureKind) -> None:
    (frame,) = round_trip([Failed(1, kind, "", "")])
    assert session_pb2.Failure.Kind.Name(frame.failures[0].kind) == kind.name


def test_nothing_makes_no_frame() -> None:
    assert round_trip([]) == []


def test_what_does_not_fit_into_one_frame_goes_into_several_in_order() -> None:
    results = [result(handle, ("a", bytes(1000), False)) for handle in range(100)]
    frames = round_trip(results, 10_000)
    assert len(frames) == 12
    assert plain([found for frame in frames for found in read(frame.results)]) == plain(results)


def test_a_result_over_the_limit_becomes_a_failure_that_says_why() -> None:
    results = [result(1), result(2, ("small", b"1", False), ("big", bytes(20_000), False)), result(3)]
    frames = round_trip(results, 10_000)
    assert [handle for frame in frames for handle in frame.results.handle] == [1, 3]
    (failure,) = [failure for frame in frames for failure in frame.failures]
    assert (failure.handle, failure.kind) == (2, session_pb2.Failure.TOO_LARGE)
    assert "its largest event, 'big', has 20000 bytes" in failure.message
    assert "a frame at most 10000" in failure.message
    assert "raise the server's --max-frame-bytes" in failure.message


def test_of_a_result_that_memory_makes_too_large_the_failure_names_the_path() -> None:
    changes = MemoryChanges(b"b" * 8, b"v" * 8, {"a": b"1"}, {"pages": bytes(20_000)})
    (frame,) = round_trip([Succeeded(1, [("small", b"1", False)], changes, 0)], 10_000)
    assert "its largest change of memory, 'pages', has 20000 bytes" in frame.failures[0].message


@pytest.mark.parametrize("seed", range(30))
def test_any_mixture_comes_out_as_it_went_in_and_no_frame_is_above_the_limit(seed: int) -> None:
    chance = random.Random(seed)
    limit = chance.choice([2_000, 5_000, 100_000])

    def entries() -> dict[str, bytes]:
        return {f"p{number}ä": chance.randbytes(chance.randint(0, 200)) for number in range(chance.randint(0, 3))}

    def some() -> Outcome:
        handle = chance.randint(1, 2**40)
        match chance.randint(0, 9):
            case 0:
                return Failed(handle, FailureKind.BUG, "E", "ä" * chance.randint(0, 200), "s" * chance.randint(0, 200))
            case 1:
                return NeedsMemory(handle)
            case 2:
                return Bounced(handle, BounceReason.DRAINING)
        events: list[SentEvent] = [
            (chance.choice(["ü", "rated"]), chance.randbytes(chance.randint(0, 300)), chance.random() < 0.1)
            for _ in range(chance.randint(0, 3))
        ]
        sensory, short_term = entries(), entries()
        changes = MemoryChanges(chance.randbytes(8), chance.randbytes(8), sensory, short_term)
        return Succeeded(handle, events, changes if sensory or short_term else None, 0)

    outcomes = [some() for _ in range(200)]
    frames = round_trip(outcomes, limit)
    too_large = {f.handle for frame in frames for f in frame.failures if f.kind == session_pb2.Failure.TOO_LARGE}
    succeeded = [outcome for outcome in outcomes if isinstance(outcome, Succeeded) and outcome.handle not in too_large]
    assert plain([found for frame in frames for found in read(frame.results)]) == plain(succeeded)
    assert sum(
        len(frame.results.handle) + len(frame.failures) + len(frame.bounces) + len(frame.need_memory)
        for frame in frames
    ) == len(outcomes)


@pytest.mark.parametrize(
    "bad",
    [
        Succeeded(2, [(5, b"1", False)], None, 7),  # type: ignore[list-item]
        Succeeded(2, [("\ud800", b"1", False)], None, 7),
        Succeeded(2, [("x", "text", False)], None, 7),  # type: ignore[list-item]
        Succeeded(2, [], MemoryChanges(b"b" * 8, b"v" * 8, {}, {"\ud800": b"1"}), 7),
        Failed(2, FailureKind.RETRYABLE, "x", "y", retry_after_ms=10**30, cost_bytes=7),
        Failed(2, FailureKind.TERMINAL, "x", "\ud800", cost_bytes=7),
    ],
)
def test_an_outcome_without_a_wire_form_becomes_a_failure_and_the_others_travel(bad: Outcome) -> None:
    sound = [Succeeded(handle, [("x", b"1", False)], None, 7) for handle in (1, 3)]
    (frame,) = encode_outcomes([sound[0], bad, sound[1]], LIMIT)
    assert [one.handle for one in read(frame.results)] == [1, 3]
    (failure,) = frame.failures
    wanted = bad.kind if isinstance(bad, Failed) else FailureKind.NOT_ENCODABLE
    assert (failure.handle, failure.kind) == (2, wanted.value)
    assert failure.message


def test_a_failure_fits_into_the_smallest_frame_whatever_its_script() -> None:
    deltas = [MetricDelta(("tokens" * 40,), False, MetricKind.HISTOGRAM, 1)] * 60
    limit = 64 << 10
    for metrics in ([], deltas, deltas * 4):
        failed = Failed(1, FailureKind.BUG, "x.y.Error", "错" * 16_384, "误" * 16_384, metrics=metrics)
        (frame,) = encode_outcomes([failed], limit)
        assert frame.ByteSize() <= limit
        (failure,) = frame.failures
        assert (failure.message[0], failure.stack[-1]) == ("错", "误")
        assert len(frame.metrics) in (0, len(metrics))


@pytest.mark.parametrize("event", [("rated", b"x" * 70_000, False), ("\ud800", b"x", False)])
def test_what_was_counted_is_told_though_the_result_cannot_travel(event: SentEvent) -> None:
    deltas = [MetricDelta(("tokens",), False, MetricKind.COUNTER, 3)]
    (frame,) = encode_outcomes([Measured(1, [event], None, 0, None, deltas, 5)], 64 << 10)
    assert [failure.ran_ms for failure in frame.failures] == [5]
    assert [(metric.handle, metric.value) for metric in frame.metrics] == [(1, 3)]


def test_metrics_ride_beside_their_outcome_and_count_in_the_frames_size() -> None:
    deltas = [
        MetricDelta(("model", "n"), False, MetricKind.COUNTER, 3),
        MetricDelta(("load" * 20,), True, MetricKind.GAUGE, 0.5),
        MetricDelta(("resource", "tool", "search", "permitWaits"), False, MetricKind.COUNTER, 1, is_of_server=True),
    ]
    outcomes: list[Outcome] = []
    for handle in range(1, 400, 4):
        outcomes += [
            Succeeded(handle, [], None, 0),
            Measured(handle + 1, [("rated", b"{}", False)], None, 0, None, deltas),
            HandedBack(handle + 2, [], None, 0, None, deltas[:1]),
            Failed(handle + 3, FailureKind.BUG, "ValueError", "text", metrics=deltas),
        ]
    frames = encode_outcomes(outcomes, 4096)
    assert 3 < len(frames) < 60
    found: dict[int, list[MetricDelta]] = {}
    for frame in frames:
        assert frame.ByteSize() <= 4096
        here = {*frame.results.handle, *(failure.handle for failure in frame.failures)}
        for metric in frame.metrics:
            assert metric.handle in here
            delta = MetricDelta(
                tuple(metric.path),
                metric.is_of_action,
                MetricKind(metric.kind),
                metric.value,
                metric.is_of_server,
            )
            found.setdefault(metric.handle, []).append(delta)
    assert sorted(handle for frame in frames for handle in frame.results.handed_back) == list(range(3, 400, 4))
    expected = {1: None, 2: deltas, 3: deltas[:1], 0: deltas}
    assert found == {handle: expected[handle % 4] for handle in range(1, 401) if expected[handle % 4]}


def test_how_long_it_ran_is_a_column_that_is_left_out_where_nobody_asks() -> None:
    def measured(handle: int, ran_ms: int) -> Measured:
        return Measured(handle, [], None, 0, None, (), ran_ms)

    (frame,) = round_trip([result(1), result(2)])
    assert not frame.results.ran_ms
    (frame,) = round_trip([result(1), measured(2, 20), result(3), measured(4, 40), result(5)])
    assert list(frame.results.ran_ms) == [0, 20, 0, 40, 0]
    (frame,) = round_trip([result(1), HandedBack(2, [], None, 0, None, (), 20)])
    assert list(frame.results.ran_ms) == [0, 20]
    (frame,) = round_trip([Failed(7, FailureKind.TIMEOUT, "TimeoutError", "late", ran_ms=70)])
    assert frame.failures[0].ran_ms == 70


def test_how_long_it_ran_goes_with_a_result_that_does_not_fit_into_its_frame() -> None:
    large = ("big", b"x" * (LIMIT - 350), True)
    outcomes = [Measured(n, [large] if n == 2 else [("e", b"{}", False)], None, 0, None, (), n) for n in (1, 2, 3)]
    frames = round_trip(outcomes)
    assert len(frames) > 1
    assert [ran for frame in frames for ran in frame.results.ran_ms] == [1, 2, 3]
