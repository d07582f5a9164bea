"""Work that is kept for the next start: what is handed back, and what goes when."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest
from flink_actions import Agent, OutputEvent, action
from flink_actions.engine.dispatcher import EngineSettings
from flink_actions.engine.failures import failure_without_stack
from flink_actions.engine.invocation import (
    CallPlace,
    CallRecord,
    CancelReason,
    FailureKind,
    HandedBack,
    LocalInvocation,
    Measured,
    Outcome,
    Succeeded,
)
from flink_actions.engine.kept import KeptWork
from flink_actions.engine.packed import PackedOutcomes

from tests.unit.engine.worker import Worker, sent_by

ON_INPUT = "_input_event"


class Remembering(Agent):
    """Counts in memory what it really ran."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[Any] = []

    @action(ON_INPUT)
    async def add(self, event: Any, ctx: Any) -> None:
        self.ran.append(event.input)
        total = ctx.short_term_memory.get("total", default=0) + event.input
        ctx.short_term_memory.set("total", total)
        ctx.send_event(OutputEvent(output=total))


class Restarted:
    """A worker that sees starts of one operator come and go."""

    def __init__(self, agent: Agent, **settings: Any) -> None:
        self.worker = Worker(agent)
        self.worker._settings = EngineSettings(**settings)
        self.session = object()
        self.sequence = 0

    async def __aenter__(self) -> Restarted:
        await self.worker.__aenter__()
        self.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.worker.__aexit__()

    def begin(self) -> None:
        worker = self.worker
        worker.scope = worker.dispatcher.open_scope(worker.plan, namespace="n", operator_uid="o", keeps_work=True)
        worker.outbox = worker.new_outbox()
        worker.scope.attach(worker.outbox)
        self.session, self.sequence = object(), 0

    def restart(self) -> None:
        self.worker.dispatcher.end_scope(self.worker.scope, CancelReason.SUPERSEDED)
        self.begin()

    async def run(self, value: int, *, run_number: int, version: bytes = b"", name: bytes | None = None) -> Succeeded:
        invocation = self.worker.invocation(
            "add", value, run_number=run_number, memory_version=version, invocation_id=name or b"%016d" % run_number
        )
        (outcome,) = await self.worker.run(invocation)
        assert isinstance(outcome, Succeeded), outcome
        self.sequence += 1
        self.worker.scope.keep_sent(self.session, self.sequence, [outcome])
        return outcome

    @property
    def kept(self) -> Any:
        return self.worker.scope.kept


async def test_a_result_is_handed_back_to_the_same_work_on_the_same_memory() -> None:
    agent = Remembering()
    async with Restarted(agent) as job:
        first = await job.run(5, run_number=1)
        assert first.changes is not None
        second = await job.run(6, run_number=2, version=first.changes.version)
        job.restart()
        again = await job.run(5, run_number=1)
        assert isinstance(again, HandedBack)
        assert (again.events, again.changes) == (first.events, first.changes)
        chained = await job.run(6, run_number=2, version=first.changes.version)
        assert isinstance(chained, HandedBack)
        # And once more: the start that was answered may die before its checkpoint, too.
        job.restart()
        assert isinstance(await job.run(5, run_number=1), HandedBack)
        assert agent.ran == [5, 6]
        assert sent_by([second]) == [11]


async def test_other_memory_or_another_input_is_never_answered_from_kept_work() -> None:
    agent = Remembering()
    async with Restarted(agent) as job:
        await job.run(5, run_number=1)
        job.restart()
        assert not isinstance(await job.run(5, run_number=1, name=b"another input's"), HandedBack)
        job.restart()
        invocation = job.worker.invocation("add", 5, invocation_id=b"%016d" % 1, memory_version=b"otherone")
        (outcome,) = await job.worker.run(invocation)
        assert not isinstance(outcome, HandedBack)
        assert job.kept.missed == 1


async def test_a_cut_drops_what_it_covers_and_nothing_else() -> None:
    agent = Remembering()
    async with Restarted(agent) as job:
        for run_number in (1, 2, 3):
            await job.run(1, run_number=run_number)
        job.worker.scope.on_cut(job.session, 2)
        job.restart()
        assert not isinstance(await job.run(1, run_number=2), HandedBack)
        assert isinstance(await job.run(1, run_number=3), HandedBack)


async def test_a_cut_of_zero_drops_nothing_of_an_earlier_session() -> None:
    async with Restarted(Remembering()) as job:
        await job.run(1, run_number=1)
        job.worker.scope.on_cut(object(), 0)
        job.restart()
        assert isinstance(await job.run(1, run_number=1), HandedBack)


async def test_work_of_an_ended_start_goes_when_a_later_run_of_its_key_is_covered() -> None:
    async with Restarted(Remembering()) as job:
        for run_number in (1, 2, 3):
            await job.run(1, run_number=run_number)
        job.restart()
        await job.run(7, run_number=2, name=b"another input's!")
        job.worker.scope.on_cut(job.session, 1)
        assert not isinstance(await job.run(1, run_number=1), HandedBack)
        assert isinstance(await job.run(1, run_number=3), HandedBack)
        assert job.kept.dropped == 0


async def test_kept_work_is_bounded_and_what_is_dropped_is_counted() -> None:
    async with Restarted(Remembering(), kept_bytes=10_000) as job:
        for run_number in range(1, 51):
            await job.run(1, run_number=run_number)
        assert job.kept.size <= 10_000
        dropped = job.kept.dropped
        assert 30 < dropped < 50
        job.restart()
        assert not isinstance(await job.run(1, run_number=1), HandedBack)
        assert isinstance(await job.run(1, run_number=50), HandedBack)


def large(number: int) -> Measured:
    """A Result of an action with a time limit: little came in, and much goes out."""
    one = LocalInvocation(number, 0, bytes([number]) * 16, "_input_event", b"1", key=bytes([number]), cost_bytes=100)
    return Measured(number, [("_output_event", b"x" * 100_000, False)], None, 100, one, (), 250)


@pytest.mark.parametrize("where", ["sent", "set apart", "unsent"])
def test_what_results_say_is_bounded_not_what_was_asked(where: str) -> None:
    kept, start = KeptWork(1 << 20, 3600.0, lambda: 0.0), object()
    for number in range(20):
        if where == "sent":
            kept.add_sent(start, start, number + 1, [large(number)])
        elif where == "set apart":
            kept.set_apart([large(number)], epoch=1)
        else:
            kept.end_start(object(), [large(number)], epoch=1)
    kept.end_start(start, epoch=1)
    assert len(list(kept.holdings())) == 10
    assert kept.dropped == 10
    assert 1_000_000 < kept.size <= 1 << 20


def seconds_at_the_limit(limit_bytes: int, what: str) -> float:
    """CPU time that 30,000 more take where as many are dropped."""
    kept, numbers = KeptWork(limit_bytes, 3600.0, lambda: 0.0), itertools.count()

    def add() -> None:
        name = next(numbers).to_bytes(16, "big")
        if what == "calls":
            kept.begin_calls(name)
        else:
            one = LocalInvocation(1, 0, name, "_input_event", b"1", key=name)
            kept.set_apart([Succeeded(1, [], None, 0, one)], epoch=1)

    while not kept.dropped:
        add()
    began = time.process_time()
    for _ in range(30_000):
        add()
    return time.process_time() - began


@pytest.mark.parametrize("what", ["calls", "results"])
def test_what_it_takes_to_drop_the_oldest_does_not_grow_with_what_is_kept(what: str) -> None:
    assert seconds_at_the_limit(1 << 25, what) < 2 * seconds_at_the_limit(1 << 19, what)


async def test_without_checkpoints_nothing_is_kept() -> None:
    async with Worker(Remembering()) as worker:
        assert worker.scope.kept is None


async def test_a_result_that_never_left_answers_too_and_is_no_replay() -> None:
    """Nobody has counted its metrics."""
    agent = Remembering()
    async with Restarted(agent) as job:
        worker = job.worker
        worker.submit(worker.invocation("add", 5, run_number=1, invocation_id=b"%016d" % 1))
        await asyncio.sleep(0.02)
        job.restart()
        assert not isinstance(await job.run(5, run_number=1), HandedBack)
        assert agent.ran == [5]


@pytest.mark.parametrize("has_left", [True, False])
def test_with_a_result_goes_how_long_it_ran(has_left: bool) -> None:
    """The restored job knows nothing of it: it counts it towards the time of the run."""
    kept, start = KeptWork(1 << 20, 3600.0, lambda: 0.0), object()
    if has_left:
        kept.add_sent(start, start, 1, [large(1)])
    kept.end_start(start, [] if has_left else [large(1)], epoch=1)
    back = kept.hand_back(LocalInvocation(7, 0, bytes([1]) * 16, "_input_event", b"1", key=bytes([1])))
    assert back is not None
    assert isinstance(back, HandedBack) == has_left
    assert back.ran_ms == 250


def test_what_was_handed_back_in_vain_is_a_replay_when_it_is_handed_back_again() -> None:
    """An earlier start has counted its metrics."""
    kept, first, second = KeptWork(1 << 20, 3600.0, lambda: 0.0), object(), object()
    kept.add_sent(first, first, 1, [large(1)])
    kept.end_start(first, epoch=1)
    asked = LocalInvocation(7, 0, bytes([1]) * 16, "_input_event", b"1", key=bytes([1]))
    back = kept.hand_back(asked)
    assert back is not None
    kept.add_sent(second, second, 1, [back])
    kept.set_apart(kept.take_back(second, [7]), epoch=2)
    assert isinstance(kept.hand_back(asked), HandedBack)


async def test_a_covered_invocation_leaves_the_later_ones_of_its_run() -> None:
    """After a restore the job asks for the invocations of a run one after the other; a checkpoint may come between."""
    async with Restarted(Remembering()) as job:
        first = await job.run(1, run_number=1, name=b"the run's first.")
        assert first.changes is not None
        await job.run(2, run_number=1, name=b"the run's second", version=first.changes.version)
        job.restart()
        assert isinstance(await job.run(1, run_number=1, name=b"the run's first."), HandedBack)
        job.worker.scope.on_cut(job.session, job.sequence)
        second = await job.run(2, run_number=1, name=b"the run's second", version=first.changes.version)
        assert isinstance(second, HandedBack)


async def test_results_of_one_invocation_on_two_memories_are_both_kept() -> None:
    """It was done in two timelines, and the next restore may go back behind both."""
    agent = Remembering()
    async with Restarted(agent) as job:
        before = await job.run(1, run_number=1)
        assert before.changes is not None
        await job.run(5, run_number=2, version=before.changes.version)
        job.restart()
        await job.run(5, run_number=2)
        job.restart()
        assert isinstance(await job.run(5, run_number=2, version=before.changes.version), HandedBack)
        assert isinstance(await job.run(5, run_number=2), HandedBack)
        assert agent.ran == [1, 5, 5]


def record_of(index: int) -> CallRecord:
    return CallRecord(CallPlace("", index), "pay", bytes([index]) * 16, b"1" * 1000)


def test_calls_are_kept_from_the_first_one_on_or_not_at_all() -> None:
    """What the limits drop of an attempt that goes on must not leave records that begin in its middle."""
    kept = KeptWork(4500, 3600.0, lambda: 0.0)
    kept.begin_calls(b"first")
    kept.add_call(b"first", record_of(0))
    kept.begin_calls(b"second")
    kept.add_call(b"second", record_of(0))
    kept.add_call(b"second", record_of(1))
    assert kept.dropped == 1
    kept.add_call(b"first", record_of(1))
    assert kept.calls_of(b"first") == []
    assert [record.place.index for record in kept.calls_of(b"second")] == [0, 1]


def attempted(kept: KeptWork, start: object, frame: int, number: int, *, failed: bool = False) -> LocalInvocation:
    """An attempt at one invocation makes a call and ends; what it came to leaves with this frame."""
    one = LocalInvocation(number, 0, b"an invocation...", "_input_event", b"1", attempt=number)
    kept.begin_calls(one.invocation_id, (7, number))
    kept.add_call(one.invocation_id, record_of(number))
    error = failure_without_stack(one, FailureKind.TERMINAL, "", "")
    kept.add_sent(start, start, frame, [error if failed else Succeeded(number, [], None, 0, one)])
    return one


def test_a_cut_leaves_the_calls_of_an_attempt_that_came_after_the_result_it_covers() -> None:
    """The job has refused that: its output could not be decoded, say."""
    kept, start = KeptWork(1 << 20, 3600.0, lambda: 0.0), object()
    one = attempted(kept, start, 1, 1)
    kept.begin_calls(one.invocation_id, (7, 2))
    kept.on_cut(start, start, 1, epoch=7)
    kept.add_call(one.invocation_id, record_of(2))
    assert [record.place.index for record in kept.calls_of(one.invocation_id)] == [1, 2]
    attempted(kept, start, 2, 2)
    kept.on_cut(start, start, 2, epoch=7)
    assert kept.is_empty
    assert kept.size == 0


def test_a_cut_that_covers_a_failure_lets_the_calls_of_its_attempt_go() -> None:
    kept, start = KeptWork(1 << 20, 3600.0, lambda: 0.0), object()
    attempted(kept, start, 1, 1, failed=True)
    kept.on_cut(start, start, 1, epoch=7)
    assert kept.is_empty
    assert kept.size == 0


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[PackedOutcomes]:
    """Frames as they are unpacked."""
    unpacked, unpack = [], PackedOutcomes.unpack

    def spied(packed: PackedOutcomes) -> list[Outcome]:
        unpacked.append(packed)
        return unpack(packed)

    monkeypatch.setattr(PackedOutcomes, "unpack", spied)
    return unpacked


def test_a_cut_finds_whose_the_results_are_without_unpacking_them(unpacked: list[PackedOutcomes]) -> None:
    """It may cover a hundred thousand, and the event loop waits."""
    kept, start = KeptWork(1 << 20, 3600.0, lambda: 0.0), object()
    kept.set_apart([large(1), large(2)], epoch=7)
    attempted(kept, start, 1, 1)
    kept.add_sent(start, start, 2, [large(1)])
    kept.begin_calls(b"goes on", (7, 1))
    kept.on_cut(start, start, 2, epoch=7)
    assert [name for name, _ in kept.holdings()] == [bytes([2]) * 16]
    assert kept.calls_of(b"an invocation...") == []
    assert unpacked == []


def test_what_is_taken_back_leaves_other_frames_packed(unpacked: list[PackedOutcomes]) -> None:
    kept, start = KeptWork(1 << 20, 3600.0, lambda: 0.0), object()
    for number in range(1, 6):
        kept.add_sent(start, start, number, [large(number)])
    assert [outcome.handle for outcome in kept.take_back(start, [2, 99])] == [2]
    assert len(unpacked) == 1


async def test_what_is_held_of_ended_starts_is_told_with_who_was_last_at_it() -> None:
    async with Restarted(Remembering()) as job:
        first = await job.run(1, run_number=1)
        assert first.changes is not None
        kept = job.kept
        kept.begin_calls(b"unfinished", (0, 3))
        kept.add_call(b"unfinished", record_of(0))
        kept.begin_calls(b"made no call", (0, 1))
        # Of a start that lives nobody needs to be told.
        assert list(kept.holdings()) == []
        job.restart()
        result = (b"%016d" % 1, (0, 1))
        assert sorted(kept.holdings()) == [result, (b"unfinished", (0, 3))]
        # A later start goes on with one of them, and ends.
        kept.begin_calls(b"unfinished", (9, 1))
        kept.begin_calls(b"unfinished", (8, 7))
        assert sorted(kept.holdings()) == [result, (b"unfinished", (9, 1))]
        await job.run(1, run_number=1)
        job.worker.scope.on_cut(job.session, job.sequence)
        assert list(kept.holdings()) == [(b"unfinished", (9, 1))]


async def test_a_result_has_the_epoch_of_the_start_that_it_was_computed_for() -> None:
    async with Restarted(Remembering()) as job:
        await job.run(1, run_number=1)
        job.worker.scope.epoch = 77
        job.restart()
        assert list(job.kept.holdings()) == [(b"%016d" % 1, (77, 1))]
