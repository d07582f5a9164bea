"""What a plan is made from, and what is refused when an agent is loaded: each naming file and line."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from flink_actions import (
    Agent,
    AgentLoadError,
    Backoff,
    Durability,
    Event,
    EventType,
    InputEvent,
    OnFailure,
    OnMismatch,
    OutputEvent,
    Resource,
    ResourceDescriptor,
    ResourceType,
    RunnerContext,
    action,
    chat_model_connection,
    chat_model_setup,
    tool,
)
from flink_actions.engine.plan import FailurePolicy, Plan, compile_plan
from flink_actions.sdk.errors import (
    DuplicateNameError,
    EmptyAgentError,
    ResourceDeclarationError,
    SignatureError,
    TriggerError,
)


class Rated(Event):
    EVENT_TYPE = "shop.rated"
    score: float


class Unresolved(Event):
    where: Nowhere  # type: ignore[name-defined]  # noqa: F821


class Base(Agent):
    @action(EventType.InputEvent)
    async def first(self, event: InputEvent, ctx: RunnerContext) -> None: ...

    @action("second", timeout_seconds=1.5, limit=3)
    @staticmethod
    def second(event: Event, ctx: RunnerContext) -> None: ...


class Derived(Base):
    @action("third", "fourth", "third")
    def third(self, event: Event, ctx: RunnerContext) -> None: ...

    @staticmethod
    @action(Rated)
    async def first(event: Rated, ctx: RunnerContext) -> None: ...  # type: ignore[override]


def refused(make: Callable[[], Any], kind: type[AgentLoadError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        make()
    assert re.match(r".*test_plan\.py:\d+: ", str(caught.value)), caught.value


def plan_of(function: Callable[..., Any], *triggers: Any, **config: Any) -> Plan:
    return compile_plan(Agent().add_action("act", list(triggers) or ["_input_event"], function, **config), "agent")


def test_actions_are_those_of_the_class_its_bases_and_the_instance() -> None:
    def added(event: Event, ctx: RunnerContext) -> None: ...

    plan = compile_plan(Derived().add_action("added", "_input_event", added), "shop")
    assert [(a.index, a.name, a.triggers, a.is_coroutine) for a in plan.actions] == [
        (0, "first", ("shop.rated",), True),
        (1, "second", ("second",), False),
        (2, "third", ("third", "fourth"), False),
        (3, "added", ("_input_event",), False),
    ]
    assert (plan.actions[1].timeout_ms, plan.actions[1].config) == (1500, {"limit": 3})
    assert plan.agent == "shop"
    assert [a.name for a in plan.actions_for("fourth")] == ["third"]


def test_an_agent_names_itself_if_it_wants_to() -> None:
    class Named(Base):
        name = "the shop"

    assert compile_plan(Named(), "other").agent == "the shop"
    assert compile_plan(Base("mine"), "other").agent == "mine"


def test_a_subclass_may_forget_to_call_the_constructor() -> None:
    class Forgetful(Base):
        def __init__(self) -> None:
            self.x = 1

    assert len(compile_plan(Forgetful(), "shop").actions) == 2


def test_two_added_actions_of_one_name_are_refused() -> None:
    async def act(event: Event, ctx: RunnerContext) -> None: ...

    refused(
        lambda: Base().add_action("first", ["x"], act),
        DuplicateNameError,
        r"two actions named 'first' .*:\d+\): rename",
    )


def test_two_methods_of_one_name_are_refused_although_python_forgets_the_first() -> None:
    def make() -> None:
        class Twice(Agent):
            @action("a")
            async def act(self, event: Event, ctx: RunnerContext) -> None: ...

            @action("b")  # type: ignore[no-redef]
            async def act(self, event: Event, ctx: RunnerContext) -> None: ...  # noqa: F811

    refused(make, DuplicateNameError, "agent Twice has two actions named 'act'")


def test_the_same_class_may_be_made_again() -> None:
    def make() -> type[Agent]:
        class Once(Agent):
            @action("a")
            async def act(self, event: Event, ctx: RunnerContext) -> None: ...

        return Once

    make()
    assert len(compile_plan(make()(), "once").actions) == 1


def test_an_agent_without_actions_is_refused() -> None:
    class Empty(Agent):
        pass

    refused(lambda: compile_plan(Empty(), "empty"), EmptyAgentError, "agent 'empty' has no action")


async def _act(event: Event, ctx: RunnerContext) -> None: ...


@pytest.mark.parametrize(
    ("trigger", "message"),
    [
        (5, "the trigger 5: a trigger is an event type"),
        (Event, "a subclass of Event"),
        ("", "which is no event type"),
        ("1st", "which is no event type"),
        ("_inptu_event", "unknown trigger '_inptu_event': .*'_input_event' alone triggers actions"),
        (EventType.OutputEvent, "'_output_event': an output leaves its run .*event of a type of your own"),
        (OutputEvent, "'_output_event': an output leaves its run .*event of a type of your own"),
        ("type == 'rated'", "an expression: this version matches event types only"),
        ("score > 0.5 && has(attributes.text)", "an expression: this version matches event types only"),
    ],
)
def test_a_trigger_that_cannot_be_matched_is_refused(trigger: Any, message: str) -> None:
    refused(lambda: plan_of(_act, trigger), TriggerError, message)


def test_an_event_class_whose_fields_name_what_is_not_there_is_refused() -> None:
    refused(lambda: plan_of(_act, Unresolved), SignatureError, "takes Unresolved, .*name 'Nowhere' is not defined")


def test_an_action_without_a_trigger_is_refused() -> None:
    refused(lambda: compile_plan(Agent().add_action("act", [], _act), "x"), TriggerError, "has no trigger")


def test_an_action_that_is_marked_without_parentheses_is_refused_and_not_lost() -> None:
    bare: Any = action
    refused(lambda: bare(_act), TriggerError, r"write @action\(EventType.InputEvent\)")
    refused(lambda: bare(staticmethod(_act)), TriggerError, r"write @action\(EventType.InputEvent\)")


@pytest.mark.parametrize("trigger", ["rated", "shop.rated", "shop:rated/v2", "Rated-2", EventType.InputEvent])
def test_event_types_are_taken_as_they_are(trigger: str) -> None:
    assert plan_of(_act, trigger).actions[0].triggers == (trigger,)


def test_a_configuration_that_is_no_json_is_refused() -> None:
    refused(lambda: plan_of(_act, more=object()), AgentLoadError, r"config\['more'\]")


def test_a_misspelt_option_is_refused_and_not_taken_for_configuration() -> None:
    refused(lambda: plan_of(_act, timeout_second=5), AgentLoadError, "'timeout_second'; did you mean timeout_seconds?")
    assert plan_of(_act, retries=5, model="max").actions[0].config == {"retries": 5, "model": "max"}


def test_a_name_that_is_no_text_is_refused() -> None:
    class Numbered(Base):
        name: Any = 5

    refused(lambda: compile_plan(Numbered(), "x"), AgentLoadError, "name=5: it is text")


def test_a_time_limit_of_nothing_is_refused() -> None:
    refused(lambda: plan_of(_act, timeout_seconds=0), AgentLoadError, "timeout_seconds=0: it must be above 0")


def test_policies_are_checked_when_the_agent_is_loaded_and_waits_may_be_plain_seconds() -> None:
    policy = plan_of(_act, max_attempts=4, backoff=0.5, on_failure="dead_letter").actions[0].failure_policy
    assert policy == FailurePolicy(OnFailure.DEAD_LETTER, 4, Backoff(0.5))
    plain = plan_of(_act).actions[0]
    assert (plain.failure_policy, plain.durability, plain.on_mismatch) == (
        None,
        Durability.CHECKPOINT,
        OnMismatch.FAIL,
    )
    assert plan_of(_act, on_failure="fail").actions[0].failure_policy == FailurePolicy()
    refused(lambda: plan_of(_act, max_attempts=0), AgentLoadError, "max_attempts=0: it counts the first attempt too")
    refused(lambda: plan_of(_act, on_failure="retry"), AgentLoadError, "max_attempts says how often")
    refused(lambda: plan_of(_act, on_failure="drop"), AgentLoadError, "one of 'fail', 'dead_letter', 'ignore'")
    refused(lambda: plan_of(_act, backoff=Backoff(jitter=2)), AgentLoadError, "a jitter from 0 to 1")
    refused(lambda: plan_of(_act, durability="sync"), AgentLoadError, "one of 'none', 'checkpoint', 'synchronous'")
    refused(lambda: plan_of(_act, on_mismatch="skip"), AgentLoadError, "one of 'fail', 'truncate'")


async def _buy(event: Event, ctx: RunnerContext) -> None: ...


def renamed(**actions: Any) -> Agent:
    """Each action with the names that it had."""
    agent = Agent()
    for name, formerly in actions.items():
        agent.add_action(name, "_input_event", _buy, formerly=formerly)
    return agent


def test_an_action_says_which_names_it_had() -> None:
    class Shop(Agent):
        @action("rated", formerly=("rate", "judge"))
        async def review(self, event: Event, ctx: RunnerContext) -> None: ...

    assert compile_plan(Shop(), "shop").actions[0].former_names == ("rate", "judge")
    plan = compile_plan(renamed(buy="purchase", sell=()), "shop")
    assert [a.former_names for a in plan.actions] == [("purchase",), ()]


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        (
            renamed(buy=(), sell="buy"),
            "'sell' of agent 'shop' is declared with formerly='buy', which action 'buy' is or",
        ),
        (
            renamed(buy="sell", sell=()),
            "'buy' of agent 'shop' is declared with formerly='sell', which action 'sell' is",
        ),
        (renamed(buy="trade", sell=["trade"]), "'sell' .*formerly='trade', which action 'buy' is or was named too"),
        (renamed(buy="buy"), "'buy' .*formerly='buy', which action 'buy' is"),
    ],
)
def test_a_former_name_that_would_lead_to_two_actions_is_refused(agent: Agent, message: str) -> None:
    refused(lambda: compile_plan(agent, "shop"), DuplicateNameError, message)


@pytest.mark.parametrize("formerly", [5, [5], "", ("buy", "")])
def test_what_is_no_name_is_no_former_name(formerly: Any) -> None:
    refused(lambda: compile_plan(renamed(sell=formerly), "shop"), AgentLoadError, "'sell' has formerly=")


def test_an_agent_says_how_deep_an_input_may_chain() -> None:
    class Deep(Base):
        hop_limit = 5

    assert compile_plan(Deep(), "deep").hop_limit == 5
    assert compile_plan(Deep(hop_limit=7), "deep").hop_limit == 7
    assert compile_plan(Base(), "base").hop_limit == 0


@pytest.mark.parametrize("limit", [0, -1, True, 2.5, "5", 1_000_001])
def test_a_hop_limit_that_is_none_is_refused(limit: Any) -> None:
    refused(
        lambda: compile_plan(Base(hop_limit=limit), "x"), AgentLoadError, f"'x' has hop_limit={limit!r}: .*from 1 to"
    )


class Connection(Resource):
    def __init__(self, url: str = "") -> None:
        self.url = url

    @classmethod
    def resource_type(cls) -> ResourceType:
        return ResourceType.CHAT_MODEL_CONNECTION


class Model(Resource):
    references: ClassVar = {
        "connection": ResourceType.CHAT_MODEL_CONNECTION,
        "tools": ResourceType.TOOL,
        "fallback": ResourceType.CHAT_MODEL,
    }

    def __init__(self, connection: str, tools: tuple[str, ...] = (), fallback: str | None = None) -> None:
        self.connection, self.tools, self.fallback = connection, tools, fallback

    @classmethod
    def resource_type(cls) -> ResourceType:
        return ResourceType.CHAT_MODEL


class Typeless(Resource): ...


class Mistyped(Resource):
    @classmethod
    def resource_type(cls) -> Any:
        return "chat"


class Equipped(Base):
    @chat_model_connection
    def local(self) -> ResourceDescriptor:
        return ResourceDescriptor(clazz=f"{__name__}.Connection", url="http://localhost")

    @chat_model_setup
    @staticmethod
    def model() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=Model, connection="local", tools=["add"])

    @tool
    def add(self, a: int, b: int) -> int:
        """Adds."""
        return a + b


def test_resources_are_those_that_methods_and_add_resource_declare() -> None:
    agent = Equipped().add_resource("other", ResourceType.CHAT_MODEL, Model("local"))
    plan = compile_plan(agent, "shop")
    assert [(kind.value, name) for kind, name in plan.resources] == [
        ("chat_model_connection", "local"),
        ("chat_model", "model"),
        ("tool", "add"),
        ("chat_model", "other"),
    ]


@pytest.mark.parametrize(
    ("descriptor", "message"),
    [
        (
            ResourceDescriptor(clazz=Model, connection="remote"),
            "chat_model 'x' refers to the chat_model_connection 'remote', which is not declared; declared are: 'local'",
        ),
        (ResourceDescriptor(clazz="no.such.Class"), "class 'no.such.Class' cannot be imported"),
        (ResourceDescriptor(clazz=f"{__name__}.Nothing"), "has no class 'Nothing'"),
        (ResourceDescriptor(clazz="Nothing"), "'Nothing' names no class"),
        (ResourceDescriptor(clazz="collections.OrderedDict"), "is no subclass of flink_actions.Resource"),
        (ResourceDescriptor(clazz=Connection), "declared as chat_model, but Connection is a chat_model_connection"),
        (ResourceDescriptor(clazz=Model, connection=[3]), r"connection=\[3\] must name a chat_model_connection"),
        (ResourceDescriptor(clazz=Typeless), r"Typeless leaves out resource_type; .* return ResourceType\.CHAT_MODEL$"),
        (ResourceDescriptor(clazz=Mistyped), "declared as chat_model, but Mistyped is a 'chat'"),
    ],
)
def test_a_resource_that_could_not_be_made_is_refused_at_load(descriptor: ResourceDescriptor, message: str) -> None:
    agent = Equipped().add_resource("x", ResourceType.CHAT_MODEL, descriptor)
    refused(lambda: compile_plan(agent, "shop"), ResourceDeclarationError, message)


def test_resources_that_need_each_other_are_refused() -> None:
    agent = Equipped()
    agent.add_resource("a", ResourceType.CHAT_MODEL, ResourceDescriptor(clazz=Model, connection="local", fallback="b"))
    agent.add_resource("b", ResourceType.CHAT_MODEL, ResourceDescriptor(clazz=Model, connection="local", fallback="a"))
    refused(lambda: compile_plan(agent, "shop"), ResourceDeclarationError, "in a circle: a → b → a")


def test_two_resources_of_one_name_and_type_are_refused() -> None:
    refused(
        lambda: Equipped().add_resource("local", ResourceType.CHAT_MODEL_CONNECTION, Connection()),
        DuplicateNameError,
        "two chat_model_connection resources named 'local'",
    )


def test_a_method_that_declares_no_resource_is_refused() -> None:
    class Wrong(Base):
        @chat_model_setup
        def model(self) -> Any:
            return "a model"

    refused(lambda: compile_plan(Wrong(), "x"), ResourceDeclarationError, r"model\(\) returned a str")


@pytest.mark.parametrize("timeout", ["5", True, float("inf"), float("nan"), 0])
def test_a_time_limit_that_is_none_is_refused_where_it_is_declared(timeout: Any) -> None:
    agent = Agent().add_action("slow", ["_input_event"], _slow, timeout_seconds=timeout)
    with pytest.raises(AgentLoadError, match=rf"test_plan\.py:\d+: action 'slow' has timeout_seconds={timeout!r}"):
        compile_plan(agent, "agent")


def test_a_time_limit_may_be_a_timedelta() -> None:
    limit: Any = datetime.timedelta(seconds=5)
    agent = Agent().add_action("slow", ["_input_event"], _slow, timeout_seconds=limit)
    assert compile_plan(agent, "agent").actions[0].timeout_ms == 5000


async def _slow(event: Event, ctx: RunnerContext) -> None:
    pass
