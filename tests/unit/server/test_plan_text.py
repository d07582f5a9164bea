"""A plan as people read it."""

from __future__ import annotations

from flink_actions import (
    Agent,
    Backoff,
    Event,
    EventType,
    Rate,
    Resource,
    ResourceDescriptor,
    ResourceType,
    RunnerContext,
    action,
    chat_model_connection,
    chat_model_setup,
)
from flink_actions.engine.plan import compile_plan
from flink_actions.server.plan_text import agent_in_short, plan_lines, resource_lines
from flink_actions.wire.plans import encode_plan


class Llm(Resource):
    @classmethod
    def resource_type(cls) -> ResourceType:
        return ResourceType.CHAT_MODEL_CONNECTION


class Support(Resource):
    references = {"connection": ResourceType.CHAT_MODEL_CONNECTION}  # noqa: RUF012

    def __init__(self, connection: str) -> None:
        self.connection = connection

    @classmethod
    def resource_type(cls) -> ResourceType:
        return ResourceType.CHAT_MODEL


class Shop(Agent):
    @chat_model_connection
    def llm(self) -> ResourceDescriptor:
        return ResourceDescriptor(clazz=Llm)

    @chat_model_setup
    def support(self) -> Resource:
        return Support("llm")

    @action(EventType.InputEvent)
    async def plain(self, event: Event, ctx: RunnerContext) -> None: ...

    @action(
        "sold",
        "returned",
        timeout_seconds=2.5,
        concurrency=8,
        max_attempts=5,
        backoff=Backoff(0.5, multiplier=3, max_seconds=30, jitter=0.2),
        on_failure="dead_letter",
        durability="synchronous",
        on_mismatch="truncate",
        limit=3,
    )
    async def ask(self, event: Event, ctx: RunnerContext) -> None: ...


PLAN = compile_plan(Shop(), "shop")


def test_an_action_is_shown_with_all_that_is_not_the_default() -> None:
    head, plain, ask = plan_lines(encode_plan(PLAN))
    assert head.startswith("agent shop   plan ")
    assert plain == "  plain  on _input_event  on failure the job's default"
    assert ask.removeprefix("  ask    ").strip().split("  ") == [
        "on sold | returned",
        "timeout 2.5 s",
        "at most 8 at a time",
        "5 attempts, waits from 0.5 s, times 3, to 30 s (jitter 20 %)",
        "then dead_letter",
        "durability synchronous",
        "on_mismatch truncate",
        'config {"limit":3}',
    ]


def test_an_action_that_fails_the_job_whatever_the_job_says_is_told_from_one_that_leaves_it_to_the_job() -> None:
    async def act(event: Event, ctx: RunnerContext) -> None: ...

    agent = Agent().add_action("stated", "a", act, max_attempts=2, backoff=1).add_action("unstated", "a", act)
    _, stated, unstated, _ = plan_lines(encode_plan(compile_plan(agent, "shop")))
    assert stated.endswith("2 attempts, waits from 1 s, times 2, to 60 s (jitter 10 %)  then fail")
    assert unstated.endswith("on a  on failure the job's default")


def test_an_agent_that_no_input_starts_is_shown_as_such() -> None:
    async def act(event: Event, ctx: RunnerContext) -> None: ...

    deaf = encode_plan(compile_plan(Agent().add_action("act", "input_event", act), "shop"))
    said = "no action is triggered by _input_event: a job's inputs start none of them"
    assert list(plan_lines(deaf))[-1] == f"  {said}"
    assert agent_in_short(deaf) == f"'shop' (1 actions; {said})"
    assert agent_in_short(encode_plan(PLAN)) == "'shop' (2 actions)"


def test_resources_are_shown_with_what_they_are_and_need() -> None:
    assert list(resource_lines(PLAN)) == [
        f"  resource chat_model_connection llm  {Llm.__module__}.Llm",
        "  resource chat_model support  Support  needs chat_model_connection llm",
    ]


def test_rates_are_shown_behind_the_actions() -> None:
    agent = Shop().add_resource("slow", ResourceType.CHAT_MODEL_CONNECTION, Llm(), rate=Rate(90, per=60, burst=3))
    *_, last = plan_lines(encode_plan(compile_plan(agent, "shop")))
    assert last == "  rate of chat_model_connection slow  90 uses every 60 s, 3 at once, in each worker"


def test_former_names_and_a_hop_limit_are_shown_where_an_agent_has_them() -> None:
    async def act(event: Event, ctx: RunnerContext) -> None: ...

    agent = Agent(hop_limit=5).add_action("answer", "rated", act, formerly="reply")
    head, answer, _ = plan_lines(encode_plan(compile_plan(agent, "shop")))
    assert head.endswith("   hop limit 5")
    assert "formerly reply" in answer
    assert "hop limit" not in next(plan_lines(encode_plan(PLAN)))
