"""What an operator reads of an agent's plan."""

from __future__ import annotations

from flink_actions import Agent, Backoff, Event, RunnerContext
from flink_actions.engine.plan import compile_plan
from flink_actions.wire.plans import encode_plan
from flink_actions.wire.v1 import plan_pb2


async def _act(event: Event, ctx: RunnerContext) -> None: ...


def test_policies_travel_as_milliseconds_and_thousandths() -> None:
    agent = Agent().add_action(
        "act",
        "_input_event",
        _act,
        timeout_seconds=2.5,
        max_attempts=5,
        backoff=Backoff(0.25, multiplier=1.5, max_seconds=8, jitter=0.2),
        on_failure="dead_letter",
        durability="none",
        on_mismatch="truncate",
    )
    sent = encode_plan(compile_plan(agent, "shop")).actions[0]
    assert sent.on_failure == plan_pb2.FailurePolicy(
        decision=plan_pb2.FailurePolicy.DEAD_LETTER,
        max_attempts=5,
        initial_backoff_ms=250,
        max_backoff_ms=8000,
        multiplier_permille=1500,
        jitter_permille=200,
    )
    assert (sent.timeout_ms, sent.durability, sent.on_mismatch) == (2500, plan_pb2.NONE, plan_pb2.MISMATCH_TRUNCATE)


def test_another_policy_makes_another_plan() -> None:
    digests = {
        encode_plan(compile_plan(Agent().add_action("act", "a", _act, **options), "shop")).digest
        for options in (
            {},
            {"on_failure": "fail"},
            {"max_attempts": 2},
            {"on_failure": "ignore"},
            {"durability": "none"},
        )
    }
    assert len(digests) == 5


def test_an_action_that_states_no_policy_sends_none_and_a_part_of_one_is_a_whole_one() -> None:
    unset = encode_plan(compile_plan(Agent().add_action("act", "a", _act), "shop")).actions[0]
    assert not unset.HasField("on_failure")
    for options in ({"on_failure": "fail"}, {"max_attempts": 1}, {"backoff": 1.0}):
        stated = encode_plan(compile_plan(Agent().add_action("act", "a", _act, **options), "shop")).actions[0]
        assert stated.on_failure == plan_pb2.FailurePolicy(
            decision=plan_pb2.FailurePolicy.FAIL,
            max_attempts=1,
            initial_backoff_ms=1000,
            max_backoff_ms=60_000,
            multiplier_permille=2000,
            jitter_permille=100,
        )
