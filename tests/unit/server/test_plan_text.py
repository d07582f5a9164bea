"""Plans as `check` and `describe` print them."""

from __future__ import annotations

from flink_actions import Agent, Event, RunnerContext
from flink_actions.engine.plan import compile_plan
from flink_actions.server.plan_text import plan_lines
from flink_actions.wire.plans import encode_plan


async def _act(event: Event, ctx: RunnerContext) -> None: ...


def _lines(agent: Agent) -> list[str]:
    return list(plan_lines(encode_plan(compile_plan(agent, "shop"))))


def test_an_action_has_a_line_with_its_triggers_and_what_was_decided_about_it() -> None:
    agent = Agent().add_action("rate", ["_input_event", "again"], _act)
    agent.add_action("answer", "rated", _act, formerly="reply", timeout_seconds=2, concurrency=8, limit=3)
    assert _lines(agent)[1:] == [
        "  rate    on _input_event | again  then fail",
        '  answer  on rated  formerly reply  timeout 2 s  at most 8 at a time  then fail  config {"limit":3}',
    ]


def test_a_hop_limit_is_told_where_the_agent_names_one() -> None:
    assert "hop limit" not in _lines(Agent().add_action("rate", "_input_event", _act))[0]
    assert _lines(Agent(hop_limit=5).add_action("rate", "_input_event", _act))[0].endswith("   hop limit 5")
