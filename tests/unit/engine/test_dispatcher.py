"""What becomes of invocations: outcomes, cancellation, time limits, reconnects, later attempts."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
from typing import Any

import pytest
from flink_actions import (
    Agent,
    ContextEndedError,
    Event,
    InputEvent,
    NotEncodableError,
    OutputEvent,
    RetryableError,
    RunnerContext,
    TerminalError,
    action,
)
from flink_actions.engine import dispatcher
from flink_actions.engine.invocation import (
    CancelReason,
    Failed,
    FailureKind,
    Succeeded,
)

from tests.unit.engine.worker import EPOCH, Worker, sent_by


class Rated(Event):
    score: float


class Hasty(Event):
    EVENT_TYPE = "hasty"
    score: float

    def __post_init__(self) -> None:
        raise StopIteration


class Shop(Agent):
    """Actions for the tests; `gate` holds back those that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.began: list[Any] = []
        self.ended: list[Any] = []
        self.leaked: RunnerContext | None = None

    @action("echo", greeting="hello")
    async def echo(self, event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(event.attributes))

    @action("wait")
    async def wait(self, event: Event, ctx: RunnerContext) -> None:
        self.began.append(event.attributes)
        try:
            await self.gate.wait()
        finally:
            self.ended.append(event.attributes)
        ctx.send_event(OutputEvent(event.attributes))

    @action("stubborn")
    async def stubborn(self, event: Event, ctx: RunnerContext) -> None:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            ctx.short_term_memory.set("rescued", True)
            ctx.send_event(OutputEvent("rescued"))

    @action("cling_twice")
    async def cling_twice(self, event: Event, ctx: RunnerContext) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await self.gate.wait()
        await self.gate.wait()

    @action("remembers")
    async def remembers(self, event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(ctx.short_term_memory.get("rescued")))

    @action("cling")
    async def cling(self, event: Event, ctx: RunnerContext) -> None:
        self.began.append(event.attributes)
        while not self.gate.is_set():
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                continue
        ctx.send_event(OutputEvent(event.attributes))

    @action("fail")
    async def fail(self, event: Event, ctx: RunnerContext) -> None:
        if event.attributes.get("later"):
            await asyncio.sleep(0)
        self.throw(event)

    @action("fail_in_thread")
    def fail_in_thread(self, event: Event, ctx: RunnerContext) -> None:
        self.throw(event)

    def throw(self, event: Event) -> None:
        errors = {
            "bug": ValueError("no such shop"),
            "retry": RetryableError("busy", after=1.5),
            "terminal": TerminalError("closed for ever"),
            "exit": SystemExit(3),
            "no text": Wordless(),
            "long": ValueError("x" * 100_000),
            "surrogate": ValueError("\ud800"),
            "timedelta": RetryableError("busy", after=datetime.timedelta(seconds=2)),
            "far": RetryableError("busy", after=1e30),
            "own constructor": Forgetful(),
            "indescribable": Indescribable(),
            "generator exit": GeneratorExit(),
        }
        error: BaseException = errors[event.attributes["how"]]
        if not isinstance(error, SystemExit) and hasattr(error, "add_note"):
            error.add_note("while looking at the map")
        raise error

    @action("leak")
    async def leak(self, event: Event, ctx: RunnerContext) -> None:
        self.leaked = ctx
        ctx.short_term_memory.set("x", 1)

    @action("unencodable")
    async def unencodable(self, event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(Event("x", {"ok": 1, "bad": [1, {"it": object()}]}))

    @action("about")
    async def about(self, event: Event, ctx: RunnerContext) -> None:
        sent = Event("sent", {})
        ctx.send_event(sent)
        ctx.send_event(
            OutputEvent(
                {
                    "key": ctx.key,
                    "run": ctx.run_number,
                    "attempt": ctx.attempt,
                    "id": ctx.invocation_id,
                    "timestamp": ctx.timestamp,
                    "watermark": ctx.watermark,
                    "has_deadline": ctx.deadline is not None,
                    "trace": ctx.trace,
                    "event": str(event.id),
                    "sent": str(sent.id),
                    "upstream": event.upstream_action,
                    "config": dict(ctx.config),
                }
            )
        )
        ctx.logger.warning("looked around")

    @action("configured", greeting="hello", more={"a": [1]})
    async def configured(self, event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent([ctx.action_config, ctx.get_action_config_value("greeting")]))

    @action(Rated)
    async def typed(self, event: Rated, ctx: RunnerContext) -> None:
        assert isinstance(event, Rated)
        ctx.send_event(OutputEvent(event.score))

    @action(Hasty)
    async def hasty(self, event: Hasty, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent("never"))

    @action("_input_event")
    async def sized(self, event: InputEvent[bytes], ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(event.input * 2))

    @action("sends_no_event")
    async def sends_no_event(self, event: Event, ctx: RunnerContext) -> None:
        ctx.send_event("text")  # type: ignore[arg-type]


class Forgetful(RetryableError):
    def __init__(self) -> None:
        Exception.__init__(self, "busy")


class Indescribable(RetryableError):
    @property
    def after_seconds(self) -> float:  # type: ignore[override]
        raise RuntimeError("nobody knows")

    @after_seconds.setter
    def after_seconds(self, value: float) -> None:
        pass


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("lost for words")


@pytest.fixture
def shop() -> Shop:
    return Shop()


def failed(outcome: Any) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


async def test_events_leave_in_the_order_they_were_sent_with_ids_that_repeat(shop: Shop) -> None:
    async with Worker(shop) as worker:
        first, again = (
            worker.invocation("about", {}, invocation_id=b"i" * 16, event_source=b"s" * 16) for _ in range(2)
        )
        (one,), (two,) = await worker.run(first), await worker.run(again)
    assert isinstance(one, Succeeded)
    assert [event_type for event_type, _, _ in one.events] == ["sent", "_output_event"]
    assert sent_by([one]) == sent_by([two])
    about = sent_by([one])[1]
    assert about["event"] != about["sent"]


async def test_the_context_tells_what_the_invocation_says(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    async with Worker(shop) as worker:
        about = worker.invocation(
            "about",
            {},
            key=b'"shop 1"',
            run_number=12,
            attempt=3,
            invocation_id=bytes(range(16)),
            timestamp=0,
            watermark=-5,
            remaining_ms=60_000,
            traceparent="00-abc-def-01",
            upstream_action="echo",
        )
        with caplog.at_level(logging.WARNING):
            (_, found) = await worker.sent(about)
        assert found | {"event": 0, "sent": 0} == {
            "key": "shop 1",
            "run": 12,
            "attempt": 3,
            "id": "000102030405060708090a0b0c0d0e0f",
            "timestamp": 0,
            "watermark": -5,
            "has_deadline": True,
            "trace": "00-abc-def-01",
            "event": 0,
            "sent": 0,
            "upstream": "echo",
            "config": {},
        }
        assert "[about key='shop 1' run=12 attempt=3] looked around" in caplog.text
        (record,) = caplog.records
        assert vars(record) | {"invocation_id": found["id"], "attempt": 3, "epoch": EPOCH} == vars(record)


async def test_an_action_reads_its_own_configuration(shop: Shop) -> None:
    async with Worker(shop) as worker:
        assert await worker.sent(worker.invocation("configured", {})) == [
            [{"greeting": "hello", "more": {"a": [1]}}, "hello"]
        ]


async def test_a_typed_event_arrives_as_its_class(shop: Shop) -> None:
    async with Worker(shop) as worker:
        assert await worker.sent(worker.invocation("typed", {"score": 0.25, "unknown": 1})) == [0.25]
        (outcome,) = await worker.run(worker.invocation("typed", {"score": "much"}))
    assert "Rated.score: expected a number, found 'much'" in failed(outcome).message


async def test_bytes_travel_as_they_are(shop: Shop) -> None:
    async with Worker(shop) as worker:
        raw = worker.invocation("sized", is_raw=True)
        raw.payload = b"\x00\xff"
        (outcome,) = await worker.run(raw)
    assert isinstance(outcome, Succeeded)
    assert outcome.events == [("_output_event", b"\x00\xff\x00\xff", True)]


@pytest.mark.parametrize("later", [False, True], ids=["in its first step", "after a wait"])
async def test_an_exception_becomes_a_failure_with_the_authors_part_of_the_stack(shop: Shop, later: bool) -> None:
    async with Worker(shop) as worker:
        (outcome,) = await worker.run(worker.invocation("fail", {"how": "bug", "later": later}))
    failure = failed(outcome)
    assert (failure.kind, failure.exception, failure.message) == (FailureKind.BUG, "ValueError", "no such shop")
    assert "while looking at the map" in failure.stack
    assert "raise error" in failure.stack
    assert "flink_actions/engine" not in failure.stack


@pytest.mark.parametrize(
    ("how", "kind", "retry_after_ms"),
    [
        ("retry", FailureKind.RETRYABLE, 1500),
        ("terminal", FailureKind.TERMINAL, 0),
        ("exit", FailureKind.BUG, 0),
        ("no text", FailureKind.BUG, 0),
        ("timedelta", FailureKind.RETRYABLE, 2000),
        ("far", FailureKind.RETRYABLE, 2**31 - 1),
        ("own constructor", FailureKind.RETRYABLE, 0),
        ("indescribable", FailureKind.BUG, 0),
        ("generator exit", FailureKind.BUG, 0),
    ],
)
@pytest.mark.parametrize("where", ["in its first step", "after a wait", "in a thread"])
async def test_what_was_raised_decides_the_kind_of_failure(
    shop: Shop, how: str, kind: FailureKind, retry_after_ms: int, where: str
) -> None:
    action = "fail_in_thread" if where == "in a thread" else "fail"
    async with Worker(shop) as worker:
        (outcome,) = await worker.run(worker.invocation(action, {"how": how, "later": where == "after a wait"}))
        assert await worker.sent(worker.invocation("echo", {"still": "alive"})) == [{"still": "alive"}]
    assert (failed(outcome).kind, failed(outcome).retry_after_ms) == (kind, retry_after_ms)


async def test_a_failure_fits_into_a_frame_whatever_it_says(shop: Shop) -> None:
    async with Worker(shop) as worker:
        long, surrogate = await worker.run(
            worker.invocation("fail", {"how": "long"}), worker.invocation("fail", {"how": "surrogate"})
        )
    assert len(failed(long).message) < 20_000
    assert "characters left out" in failed(long).message
    assert failed(surrogate).message.encode() == b"\\ud800"


async def test_an_event_without_a_wire_form_fails_where_it_is_sent_and_names_the_path(shop: Shop) -> None:
    async with Worker(shop) as worker:
        (outcome,) = await worker.run(worker.invocation("unencodable", {}))
    assert failed(outcome).kind is FailureKind.NOT_ENCODABLE
    assert failed(outcome).message.startswith("attributes['bad'][1]['it']: a builtins.object has no JSON form")
    assert failed(outcome).exception == f"{NotEncodableError.__module__}.NotEncodableError"


async def test_sending_what_is_no_event_says_what_to_do(shop: Shop) -> None:
    async with Worker(shop) as worker:
        (outcome,) = await worker.run(worker.invocation("sends_no_event", {}))
    assert "wrap a result as OutputEvent(output=...)" in failed(outcome).message


@pytest.mark.parametrize("kind", ["at_once", "later", "in_thread"])
async def test_what_an_action_returns_is_lost_and_said_once(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def at_once(event: Event, ctx: RunnerContext) -> OutputEvent:
        return OutputEvent(1)

    async def later(event: Event, ctx: RunnerContext) -> OutputEvent:
        await asyncio.sleep(0)
        return OutputEvent(1)

    def in_thread(event: Event, ctx: RunnerContext) -> OutputEvent:
        return OutputEvent(1)

    functions: dict[str, Any] = {"at_once": at_once, "later": later, "in_thread": in_thread}
    async with Worker(Agent().add_action(kind, "go", functions[kind])) as worker:
        outcomes = await worker.run(worker.invocation(kind, {}), worker.invocation(kind, {}))
    assert sent_by(outcomes) == []
    assert all(isinstance(outcome, Succeeded) for outcome in outcomes)
    (record,) = [record for record in caplog.records if "has returned" in record.message]
    for named in (f"action '{kind}'", "test_dispatcher.py", "a value (OutputEvent)", "ctx.send_event"):
        assert named in record.message


async def test_an_unknown_action_is_a_failure_of_that_invocation_alone(shop: Shop) -> None:
    async with Worker(shop) as worker:
        unknown, known = worker.invocation("echo", {}), worker.invocation("echo", {})
        unknown.action = 99
        outcomes = await worker.run(unknown, known)
    assert failed(outcomes[0]).kind is FailureKind.UNKNOWN_ACTION
    assert "action number 99" in failed(outcomes[0]).message
    assert isinstance(outcomes[1], Succeeded)


async def test_the_context_refuses_to_be_used_after_its_action(shop: Shop) -> None:
    async with Worker(shop) as worker:
        await worker.run(worker.invocation("leak", {}))
        leaked = shop.leaked
        assert leaked is not None
        with pytest.raises(ContextEndedError, match="send_event was used after action 'leak' had ended"):
            leaked.send_event(OutputEvent(1))
        with pytest.raises(ContextEndedError, match="memory"):
            leaked.short_term_memory.get("x")
        with pytest.raises(ContextEndedError, match="memory"):
            leaked.sensory_memory  # noqa: B018


async def test_a_frame_is_acknowledged_when_its_actions_were_stepped_not_when_they_end(shop: Shop) -> None:
    async with Worker(shop) as worker:
        worker.submit(*(worker.invocation("wait", {"n": n}) for n in range(40)))
        async with asyncio.timeout(5):
            while not worker.stepped_frames:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert len(shop.began) == 40
        assert worker.scope.open_count == 40
        shop.gate.set()
        await worker.outcomes(40)
        assert worker.stepped_frames == 1
        assert worker.scope.open_count == 0


async def test_an_empty_frame_is_acknowledged_too(shop: Shop) -> None:
    async with Worker(shop) as worker:
        worker.submit()
        await asyncio.sleep(0.01)
        assert worker.stepped_frames == 1


async def test_the_writer_is_woken_once_until_it_drains(shop: Shop) -> None:
    async with Worker(shop) as worker:
        wakes: list[int] = []
        outbox = type(worker.outbox)(lambda: wakes.append(1))
        worker.scope.attach(outbox)
        worker.submit(*(worker.invocation("echo", {}) for _ in range(10)))
        worker.submit(*(worker.invocation("echo", {}) for _ in range(10)))
        await worker.dispatcher.drain(5)
        assert (len(wakes), len(outbox.drain())) == (1, 20)
        worker.submit(worker.invocation("echo", {}))
        await worker.dispatcher.drain(5)
        assert len(wakes) == 2


async def test_over_the_time_limit_the_coroutine_is_cancelled_and_the_attempt_fails(shop: Shop) -> None:
    async with Worker(shop) as worker:
        limited, free = worker.invocation("wait", {"n": 1}, remaining_ms=20), worker.invocation("wait", {"n": 2})
        worker.submit(limited, free)
        (outcome,) = await worker.outcomes(1)
        assert failed(outcome).kind is FailureKind.TIMEOUT
        assert "ran longer than the 20 ms" in failed(outcome).message
        assert shop.ended == [{"n": 1}]
        assert worker.scope.open_count == 1


async def test_what_an_action_makes_of_its_cancellation_does_not_count(shop: Shop) -> None:
    async with Worker(shop) as worker:
        (outcome,) = await worker.run(worker.invocation("stubborn", {}, remaining_ms=20))
        assert failed(outcome).kind is FailureKind.TIMEOUT
        # Nor did it reach the mirror, which the next one starts from.
        assert await worker.sent(worker.invocation("remembers", {})) == [None]


async def test_a_typed_event_whose_construction_stops_an_iteration_is_a_failure(shop: Shop) -> None:
    async with Worker(shop) as worker:
        (outcome,) = await worker.run(worker.invocation("hasty", {"score": 1.0}))
        assert (failed(outcome).kind, failed(outcome).exception) == (FailureKind.BUG, "StopIteration")
        worker.scope.actions[worker.invocation("hasty").action].gets_task = True
        outcomes = await worker.run(*(worker.invocation("hasty", {"score": 1.0}) for _ in range(2)))
        assert {failed(one).exception for one in outcomes} == {"StopIteration"}


async def test_cancel_ends_what_runs_and_what_waits_and_ignores_what_is_unknown(shop: Shop) -> None:
    async with Worker(shop) as worker:
        running = worker.invocation("wait", {"n": 1}, cost_bytes=11)
        worker.submit(running)
        await asyncio.sleep(0.01)
        queued = worker.invocation("wait", {"n": 2}, cost_bytes=22)
        worker.submit(queued)
        worker.dispatcher.cancel(worker.scope, [queued.handle, running.handle, 999], CancelReason.SUPERSEDED)
        outcomes = await worker.outcomes(2)
        assert {failed(o).kind for o in outcomes} == {FailureKind.CANCELLED}
        assert sorted(failed(o).cost_bytes for o in outcomes) == [11, 22]
        assert shop.began == [{"n": 1}]
        assert shop.ended == [{"n": 1}]


async def test_what_was_cancelled_before_it_began_never_begins_though_its_handle_is_used_again(shop: Shop) -> None:
    # Which a job must not: but nothing may run that nobody could cancel any more.
    async with Worker(shop) as worker:
        first = worker.invocation("wait", {"n": 1})
        other = worker.invocation("wait", {"n": 2}, handle=first.handle, invocation_id=b"other".ljust(16))
        worker.submit(first)
        worker.dispatcher.cancel(worker.scope, [first.handle], CancelReason.SUPERSEDED)
        worker.submit(other)
        shop.gate.set()
        cancelled, done = await worker.outcomes(2)
        assert failed(cancelled).kind is FailureKind.CANCELLED
        assert isinstance(done, Succeeded)
        assert shop.began == [{"n": 2}]


async def test_cancel_reaches_an_attempt_whose_task_has_not_begun(shop: Shop) -> None:
    async with Worker(shop) as worker:
        # So many that the action is given a task at once.
        worker.submit(*(worker.invocation("wait", {"n": n}) for n in range(64)))
        await asyncio.sleep(0.02)
        late = worker.invocation("wait", {"n": "late"})
        worker.submit(late)
        # One turn: the leader has made the task, and the task has not been stepped.
        while not hasattr(worker.scope.open[late.handle], "task"):  # noqa: ASYNC110
            await asyncio.sleep(0)
        worker.dispatcher.cancel(worker.scope, list(worker.scope.open), CancelReason.JOB_CANCELLED)
        outcomes = await worker.outcomes(65)
        assert {failed(o).kind for o in outcomes} == {FailureKind.CANCELLED}
        assert worker.dispatcher.open_count == 0


async def test_after_a_reconnect_the_same_handle_attaches_to_the_running_coroutine(shop: Shop) -> None:
    async with Worker(shop) as worker:
        invocation = worker.invocation("wait", {"n": 1})
        worker.submit(invocation)
        await asyncio.sleep(0.01)
        lost, worker.outbox = worker.outbox, worker.new_outbox()
        worker.scope.attach(worker.outbox)
        worker.submit(worker.invocation("wait", {"n": 1}, handle=invocation.handle))
        shop.gate.set()
        assert sent_by(await worker.outcomes(1)) == [{"n": 1}]
        assert len(shop.began) == 1
        assert worker.stepped_frames == 2
        assert len(lost) == 0


async def test_a_later_attempt_begins_when_the_earlier_one_has_ended(shop: Shop) -> None:
    async with Worker(shop) as worker:
        identity = b"w" * 16
        first = worker.invocation("wait", {"n": 1}, invocation_id=identity, attempt=1)
        worker.submit(first)
        await asyncio.sleep(0.01)
        second = worker.invocation("wait", {"n": 2}, invocation_id=identity, attempt=2)
        worker.submit(second)
        (outcome,) = await worker.outcomes(1)
        # The first was cancelled for it, and had ended before the second began.
        assert (outcome.handle, failed(outcome).kind) == (first.handle, FailureKind.CANCELLED)
        await asyncio.sleep(0.01)
        assert (shop.began, shop.ended) == ([{"n": 1}, {"n": 2}], [{"n": 1}])
        shop.gate.set()
        assert sent_by(await worker.outcomes(1)) == [{"n": 2}]
        assert worker.stepped_frames == 2


async def test_an_attempt_that_was_cancelled_may_clean_up_before_the_next_one_begins() -> None:
    begun, noted = asyncio.Event(), list[str]()

    async def act(event: Event, ctx: RunnerContext) -> None:
        if ctx.attempt == 2:
            noted.append("begins")
            return
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.02)
            noted.append("has cleaned up")

    async with Worker(Agent().add_action("act", ["go"], act)) as worker:
        first = worker.invocation("act", invocation_id=b"same work here..")
        worker.submit(first)
        await begun.wait()
        worker.dispatcher.cancel(worker.scope, [first.handle], CancelReason.SUPERSEDED)
        await asyncio.sleep(0.01)
        worker.submit(worker.invocation("act", invocation_id=b"same work here..", attempt=2))
        await worker.outcomes(2)
    assert noted == ["has cleaned up", "begins"]


async def test_a_later_attempt_that_waits_for_the_earlier_one_can_be_cancelled(shop: Shop) -> None:
    async with Worker(shop) as worker:
        first = worker.invocation("cling", {"n": 1}, invocation_id=b"w" * 16)
        second = worker.invocation("cling", {"n": 2}, invocation_id=b"w" * 16, attempt=2)
        worker.submit(first)
        await asyncio.sleep(0.01)
        worker.submit(second)
        await asyncio.sleep(0.01)
        assert worker.stepped_frames == 2
        worker.dispatcher.cancel(worker.scope, [second.handle], CancelReason.SUPERSEDED)
        assert [outcome.handle for outcome in await worker.outcomes(1)] == [second.handle]
        shop.gate.set()
        assert [outcome.handle for outcome in await worker.outcomes(1)] == [first.handle]
        await asyncio.sleep(0.01)
        assert shop.began == [{"n": 1}]


async def test_an_orphan_of_another_start_ends_before_the_same_work_begins_anew(shop: Shop) -> None:
    async with Worker(shop) as worker:
        worker.submit(worker.invocation("wait", {"n": "old"}, invocation_id=b"w" * 16))
        await asyncio.sleep(0.01)
        worker.scope = worker.dispatcher.open_scope(worker.plan, namespace="test", operator_uid="test")
        worker.outbox = worker.new_outbox()
        worker.scope.attach(worker.outbox)
        worker.submit(worker.invocation("wait", {"n": "new"}, invocation_id=b"w" * 16))
        await asyncio.sleep(0.01)
        assert (shop.began, shop.ended) == ([{"n": "old"}, {"n": "new"}], [{"n": "old"}])
        shop.gate.set()
        assert sent_by(await worker.outcomes(1)) == [{"n": "new"}]


async def test_an_ended_scope_takes_nothing_and_answers_nobody(shop: Shop) -> None:
    async with Worker(shop) as worker:
        worker.submit(worker.invocation("wait", {"n": 1}))
        await asyncio.sleep(0.01)
        worker.dispatcher.end_scope(worker.scope, CancelReason.ORPHANED)
        assert await worker.dispatcher.drain(5)
        assert shop.ended == [{"n": 1}]
        assert len(worker.outbox) == 0
        with pytest.raises(ValueError, match="the scope has ended"):
            worker.submit(worker.invocation("echo", {}))


async def test_drain_waits_for_what_is_open_and_no_longer_than_its_limit(shop: Shop) -> None:
    async with Worker(shop) as worker:
        assert await worker.dispatcher.drain(0)
        worker.submit(worker.invocation("wait", {"n": 1}))
        assert not await worker.dispatcher.drain(0.02)
        shop.gate.set()
        assert await worker.dispatcher.drain(5)


async def test_close_cancels_what_still_runs(shop: Shop) -> None:
    async with Worker(shop) as worker:
        worker.submit(*(worker.invocation("wait", {"n": n}) for n in range(3)))
        await asyncio.sleep(0.01)
    assert len(shop.ended) == 3


async def test_other_tasks_of_the_loop_get_their_turn_between_frames(shop: Shop) -> None:
    async with Worker(shop) as worker:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        for _ in range(20):
            worker.submit(*(worker.invocation("echo", {}) for _ in range(10)))
        await worker.dispatcher.drain(5)
        counting.cancel()
        assert turns >= 20


async def test_an_action_goes_back_to_the_leader_when_it_no_longer_waits(shop: Shop) -> None:
    shop.gate.set()
    async with Worker(shop) as worker:
        state = worker.scope.actions[1]
        shop.gate.clear()
        worker.submit(*(worker.invocation("wait", {"n": n}) for n in range(64)))
        for _ in range(5000):
            if state.gets_task:
                break
            await asyncio.sleep(0.001)
        assert state.gets_task
        shop.gate.set()
        await worker.outcomes(64)
        for _ in range(20):
            await worker.run(*(worker.invocation("wait", {"n": n}) for n in range(256)))
        assert not state.gets_task


async def test_a_coroutine_that_goes_on_is_cancelled_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "_CANCEL_AGAIN_SECONDS", 0.02)
    async with Worker(shop) as worker:
        (outcome,) = await worker.run(worker.invocation("cling_twice", {}, remaining_ms=20))
        assert failed(outcome).kind is FailureKind.TIMEOUT
