"""What an action counts leaves with its outcome, whatever that is."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from flink_actions import Agent, ContextEndedError, InputEvent, MetricGroup, RunnerContext, action
from flink_actions.engine.invocation import Failed, Outcome, Succeeded
from flink_actions.engine.metrics import AttemptMetrics, MetricDelta
from flink_actions.sdk.metrics import MetricKind

from tests.unit.engine.worker import Worker


def counted(outcome: Outcome) -> dict[tuple[str, bool], float]:
    assert isinstance(outcome, (Succeeded, Failed))
    return {(".".join(delta.path), delta.is_of_action): delta.value for delta in outcome.metrics}


class Counting(Agent):
    def __init__(self) -> None:
        super().__init__()
        self.kept: list[MetricGroup] = []
        self.contexts: list[RunnerContext] = []

    @action(InputEvent)
    async def plain(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        self.contexts.append(ctx)

    @action(InputEvent)
    async def count(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        self.kept.append(ctx.action_metric_group)
        tokens = ctx.action_metric_group.counter("tokens")
        tokens.inc(40)
        tokens.inc()
        tokens.dec(2)
        model = ctx.agent_metric_group.group("model", "large")
        model.meter("calls").mark()
        model.gauge("load").update(0.5)
        model.gauge("load").update(0.25)
        model.histogram("millis").update(310)
        model.histogram("millis").update(290)
        if event.input == "fails":
            raise ValueError
        if event.input == "waits":
            await asyncio.sleep(60)

    @action(InputEvent)
    async def count_after_a_wait(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        await asyncio.sleep(0)
        ctx.action_metric_group.get_counter("n").inc(3)

    @action(InputEvent)
    def count_in_threads(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        def work() -> None:
            for _ in range(1000):
                ctx.action_metric_group.counter("n").inc()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


ALL = {
    ("tokens", True): 39,
    ("model.large.calls", False): 1,
    ("model.large.load", False): 0.25,
}


def expect_all(outcome: Outcome) -> None:
    assert isinstance(outcome, (Succeeded, Failed))
    observed = [delta.value for delta in outcome.metrics if delta.kind is MetricKind.HISTOGRAM]
    assert observed == [310, 290]
    others = counted(outcome)
    assert others.pop(("model.large.millis", False)) in observed
    assert others == ALL


async def test_an_action_that_counts_nothing_carries_nothing() -> None:
    async with Worker(Counting()) as worker:
        (outcome,) = await worker.run(worker.invocation("plain"))
        assert type(outcome) is Succeeded
        assert not outcome.metrics


@pytest.mark.parametrize("keeps_work", [True, False])
async def test_changes_of_an_attempt_are_summed_up_and_leave_with_its_result(keeps_work: bool) -> None:
    async with Worker(Counting()) as worker:
        if not keeps_work:
            worker.scope.kept = None
        (outcome,) = await worker.run(worker.invocation("count"))
        assert isinstance(outcome, Succeeded)
        expect_all(outcome)


async def test_a_failure_carries_what_was_paid_for() -> None:
    async with Worker(Counting()) as worker:
        (outcome,) = await worker.run(worker.invocation("count", "fails"))
        assert isinstance(outcome, Failed)
        assert outcome.exception == "ValueError"
        expect_all(outcome)


async def test_an_attempt_over_its_time_carries_them_too() -> None:
    async with Worker(Counting()) as worker:
        (outcome,) = await worker.run(worker.invocation("count", "waits", remaining_ms=50))
        assert isinstance(outcome, Failed)
        assert outcome.exception == "TimeoutError"
        expect_all(outcome)


async def test_an_attempt_that_waits_counts_as_well() -> None:
    async with Worker(Counting()) as worker:
        (outcome,) = await worker.run(worker.invocation("count_after_a_wait"))
        assert counted(outcome) == {("n", True): 3}


async def test_threads_of_one_action_lose_no_count() -> None:
    async with Worker(Counting()) as worker:
        (outcome,) = await worker.run(worker.invocation("count_in_threads"))
        assert counted(outcome) == {("n", True): 4000}


async def test_after_the_action_its_metrics_are_an_error() -> None:
    agent = Counting()
    async with Worker(agent) as worker:
        await worker.run(worker.invocation("count"), worker.invocation("plain"))
        with pytest.raises(ContextEndedError, match="'count' had ended"):
            agent.kept[0].counter("tokens").inc()
        with pytest.raises(ContextEndedError, match="'plain' had ended"):
            _ = agent.contexts[0].action_metric_group


def test_observations_without_end_do_not_make_a_result_too_large(caplog: pytest.LogCaptureFixture) -> None:
    metrics = AttemptMetrics(lambda what: None)
    for value in range(100_000):
        metrics.own.histogram("value").update(value)
    metrics.own.counter("late").inc()
    deltas = metrics.deltas()
    assert 500 < len(deltas) < 5000
    assert sum(delta.size for delta in deltas) <= 64 << 10
    assert deltas[-1] == MetricDelta(("value",), True, MetricKind.HISTOGRAM, len(deltas) - 1)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("name", ["", None, "x" * 256, "a\nb"])
def test_a_name_that_cannot_be_one_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="a metric's name is printable text"):
        AttemptMetrics(lambda what: None).own.counter(name)


def test_a_group_too_deep_is_refused() -> None:
    group = AttemptMetrics(lambda what: None).own
    with pytest.raises(ValueError, match="16 groups deep"):
        group.group(*"abcdefghijklmnopq")


def test_a_value_that_a_metric_cannot_take_is_refused() -> None:
    group = AttemptMetrics(lambda what: None).own
    for count in (0.5, True, "1", 1 << 53):
        with pytest.raises(ValueError, match="'n' takes a whole number"):
            group.counter("n").inc(count)  # type: ignore[arg-type]
    for value in (float("nan"), "1", None):
        with pytest.raises(ValueError, match="'g' takes a finite number"):
            group.gauge("g").update(value)  # type: ignore[arg-type]
