"""Which functions can be actions, and as what their annotation wants the event."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from flink_actions import Agent, Event, InputEvent, OutputEvent, action
from flink_actions import RunnerContext as Context
from flink_actions.engine.plan import Plan, compile_plan
from flink_actions.sdk.errors import SignatureError
from flink_actions.testing import run_agent

if TYPE_CHECKING:
    from decimal import Decimal

    from flink_actions import RunnerContext


class Rated(Event):
    EVENT_TYPE = "shop.rated"
    score: float


@dataclasses.dataclass
class Review:
    stars: int


def plan_of(function: Callable[..., Any], *triggers: Any) -> Plan:
    return compile_plan(Agent().add_action("act", list(triggers) or ["_input_event"], function), "agent")


def refused(function: Callable[..., Any], message: str, *triggers: Any) -> None:
    with pytest.raises(SignatureError, match=message) as caught:
        plan_of(function, *triggers)
    assert re.match(r".*test_signature\.py:\d+: action 'act' ", str(caught.value)), caught.value


async def _no_context(event: Event) -> None: ...
async def _three(event: Event, ctx: RunnerContext, more: int) -> None: ...
async def _keyword_only(event: Event, ctx: RunnerContext, *, needed: int) -> None: ...
async def _generates(event: Event, ctx: RunnerContext) -> Any:
    yield


@pytest.mark.parametrize("function", [_no_context, _three, _keyword_only])
def test_a_function_that_is_not_event_and_ctx_is_refused(function: Callable[..., Any]) -> None:
    refused(function, r"takes \(event.*called with \(event, ctx\)")


def test_a_generator_is_refused() -> None:
    refused(_generates, "is a generator: .*ctx.send_event")


def test_a_method_that_forgot_self_is_told_so() -> None:
    class Selfless(Agent):
        @action("a")
        async def act(event: Event, ctx: RunnerContext) -> None: ...  # type: ignore[misc]

    with pytest.raises(SignatureError, match="add `self`, or @staticmethod"):
        compile_plan(Selfless(), "x")


async def _swapped(ctx: Context, event: Event) -> None: ...


def test_event_and_ctx_the_other_way_round_are_refused() -> None:
    refused(_swapped, r"takes \(ctx: 'Context', event: 'Event'\), .*\(event, ctx\): write the event first")


async def _optional(
    event: Event, ctx: RunnerContext, more: int = 1, *rest: int, last: int = 2, **others: int
) -> None: ...
async def _anything(*arguments: Any) -> None: ...


@pytest.mark.parametrize("function", [_optional, _anything, functools.partial(_three, more=1)])
def test_functions_that_can_be_called_with_event_and_ctx_are_taken(function: Callable[..., Any]) -> None:
    assert plan_of(function).actions[0].is_coroutine


def test_a_callable_object_is_taken() -> None:
    assert plan_of(_Callable()).actions[0].is_coroutine


def test_an_annotation_that_no_trigger_brings_is_refused() -> None:
    async def act(event: Rated, ctx: RunnerContext) -> None: ...

    refused(act, "takes a Rated, which has the type 'shop.rated'", "other")


def test_each_trigger_arrives_as_the_class_that_the_annotation_names_for_it() -> None:
    async def act(event: Rated | InputEvent[bytes], ctx: RunnerContext) -> None: ...

    classes = plan_of(act, Rated, "_input_event", "other").actions[0].event_classes
    assert classes == {"shop.rated": Rated, "_input_event": InputEvent[bytes]}


class _Callable:
    async def __call__(self, event: InputEvent[Review], ctx: RunnerContext) -> None: ...

    async def method(self, event: InputEvent[Review], ctx: RunnerContext) -> None: ...


async def _partial(event: InputEvent[Review], ctx: RunnerContext, more: Decimal) -> None: ...
@functools.wraps(_partial)
async def _wrapping(*arguments: Any) -> None: ...


@pytest.mark.parametrize(
    "function",
    [_Callable(), _Callable().method, functools.partial(_partial, more=1), functools.partial(_wrapping, more=1)],
)
def test_an_event_s_class_is_found_wherever_other_annotations_lead(function: Callable[..., Any]) -> None:
    # RunnerContext and Decimal are not there when this runs.
    assert plan_of(function).actions[0].event_classes == {"_input_event": InputEvent[Review]}


def test_an_action_gets_the_declared_class_although_only_a_type_checker_knows_its_context() -> None:
    class Stars(Agent):
        @action(InputEvent)
        def tell(self, event: InputEvent[Review], ctx: RunnerContext) -> None:
            ctx.send_event(OutputEvent(event.input.stars))

    assert run_agent(Stars(), [{"stars": 3}]).outputs == [3]


def test_a_class_that_triggers_an_action_may_be_made_inside_a_function() -> None:
    class Local(Event):
        stars: int

    async def act(event: Local, ctx: RunnerContext) -> None: ...

    assert plan_of(act, Local).actions[0].event_classes == {"Local": Local}


async def _unknown_input(event: InputEvent[Decimal], ctx: RunnerContext) -> None: ...
async def _no_expression(event: "the event", ctx: RunnerContext) -> None: ...  # type: ignore  # noqa


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            _unknown_input,
            r"declares `event: 'InputEvent\[Decimal\]'`.*name 'Decimal' is not defined.*import .* when the",
        ),
        (_no_expression, "declares `event: .*the event.*cannot be resolved"),
    ],
)
def test_an_event_whose_class_cannot_be_resolved_is_refused(function: Callable[..., Any], message: str) -> None:
    refused(function, message)
