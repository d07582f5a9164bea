"""The plan: what an agent offers, compiled from what its author declared and checked as far as it can be without
running it."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from flink_actions.engine.references import ResourceKey, check_resources
from flink_actions.engine.signature import event_annotation
from flink_actions.sdk import declared as declared_types
from flink_actions.sdk import values
from flink_actions.sdk.agent import ActionDeclaration, Agent
from flink_actions.sdk.errors import (
    AgentLoadError,
    DuplicateNameError,
    EmptyAgentError,
    Location,
    NotEncodableError,
    SignatureError,
    TriggerError,
)
from flink_actions.sdk.events import INPUT_EVENT, OUTPUT_EVENT, Event
from flink_actions.sdk.policies import Backoff, Durability, OnFailure, OnMismatch
from flink_actions.sdk.resources import ResourceDeclaration

_EVENT_TYPE = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]*\Z")
# What an event type never holds and an expression nearly always does.
_EXPRESSION = re.compile(r"[\s()<>=!&|'\"\[\]?+*,]")
_MOST_ATTEMPTS = 1_000_000
_MOST_AT_A_TIME = 1_000_000
_MOST_HOPS = 1_000_000
# How like an option's name a key of the configuration must be to be taken for a misspelt one.
_TYPO_LIKENESS = 0.9
_LONGEST_WAIT_SECONDS = 30 * 24 * 3600

# What 32 bits of milliseconds hold.
_LONGEST_TIMEOUT_SECONDS = 4_294_967

_C = TypeVar("_C", bound=Enum)


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """What follows when an action fails; the operator keeps to it.

    Args:
        on_failure: When no attempt is left.
        max_attempts: Attempts in all.
        backoff: The waits between them.
    """

    on_failure: OnFailure = OnFailure.FAIL
    max_attempts: int = 1
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(frozen=True, slots=True)
class Action:
    """One action of a plan, ready to run.

    Args:
        index: Its place in the plan, by which an invocation names it.
        name: Unique within the agent.
        function: What runs, called with `(event, ctx)`.
        is_coroutine: It is an `async def`; otherwise it runs in a thread.
        triggers: Event types, each once.
        timeout_ms: Longest time that one attempt may run; 0: no limit.
        concurrency: Most attempts that one worker runs at a time; 0: no limit of its own.
        failure_policy: What follows when it fails; None: it states none, and the job decides.
        durability: Where its durable calls are recorded.
        on_mismatch: What a replay does when the code makes other calls than the records say.
        config: The action's configuration.
        event_classes: Event type → how the declared annotation wants it: a class of typed events, or `InputEvent[T]`.
        location: Where it was declared.
        former_names: By which open runs of older code may wait for it.
    """

    index: int
    name: str
    function: Callable[..., Any]
    is_coroutine: bool
    triggers: tuple[str, ...]
    timeout_ms: int
    concurrency: int
    failure_policy: FailurePolicy | None
    durability: Durability
    on_mismatch: OnMismatch
    config: Mapping[str, Any]
    event_classes: Mapping[str, Any]
    location: Location
    former_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one agent offers. Immutable; equal code makes an equal plan.

    Args:
        agent: The agent's name, as a job asks for it.
        actions: In declaration order.
        resources: By type and name.
        code_digest: SHA-256 over the source files of the agent's own modules; empty if they are not known.
        hop_limit: How many events deep one input may chain; 0: as many as the job says.
    """

    agent: str
    actions: tuple[Action, ...]
    resources: Mapping[ResourceKey, ResourceDeclaration] = field(default_factory=dict)
    code_digest: bytes = b""
    hop_limit: int = 0

    def actions_for(self, event_type: str) -> list[Action]:
        """The actions that an event of that type triggers, in declaration order."""
        return [action for action in self.actions if event_type in action.triggers]


def compile_plan(agent: Agent, name: str, *, code_digest: bytes = b"") -> Plan:
    """Check an agent and make its plan.

    Args:
        agent: As its author made it.
        name: What it is called if it does not name itself.
        code_digest: See `Plan`.

    Raises:
        AgentLoadError: One of its kinds, naming file and line.
    """
    name = agent.name or name
    if not isinstance(name, str):
        raise AgentLoadError(f"an agent has name={name!r}: it is text", _location_of_class(type(agent)))
    declared = agent.declared_actions()
    if not declared:
        raise EmptyAgentError(
            f"agent {name!r} has no action, so no input could do anything: mark a method with "
            "@action(EventType.InputEvent) "
            "or call add_action",
            _location_of_class(type(agent)),
        )
    _refuse_duplicates(name, declared)
    actions = tuple(_compile_action(index, declaration) for index, declaration in enumerate(declared))
    return Plan(name, actions, check_resources(agent.declared_resources()), code_digest, _hop_limit(agent, name))


def _hop_limit(agent: Agent, name: str) -> int:
    limit = agent.hop_limit
    if limit is None:
        return 0
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MOST_HOPS:
        raise AgentLoadError(
            f"agent {name!r} has hop_limit={limit!r}: it is how many events deep one input may chain, from 1 to "
            f"{_MOST_HOPS}; None is as many as the job says",
            _location_of_class(type(agent)),
        )
    return limit


def _refuse_duplicates(agent: str, declared: Sequence[ActionDeclaration]) -> None:
    seen: dict[str, ActionDeclaration] = {}
    for declaration in declared:
        other = seen.setdefault(declaration.name, declaration)
        if other is not declaration:
            raise DuplicateNameError(
                f"agent {agent!r} has two actions named {declaration.name!r} (the other one: "
                f"{other.location}): rename one",
                declaration.location,
            )
    for declaration in declared:
        for former in _former_names(declaration):
            if former in seen:
                raise DuplicateNameError(
                    f"action {declaration.name!r} of agent {agent!r} is declared with formerly={former!r}, which "
                    f"action {seen[former].name!r} is or was named too ({seen[former].location}): an open run can go "
                    "to one of them only",
                    declaration.location,
                )
            seen[former] = declaration


def _former_names(declared: ActionDeclaration) -> tuple[str, ...]:
    given: Any = declared.policies.formerly
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) and name for name in names):
        raise AgentLoadError(
            f"action {declared.name!r} has formerly={given!r}: it is the action's former name, or a tuple of them",
            declared.location,
        )
    return tuple(names)


def _compile_action(index: int, declared: ActionDeclaration) -> Action:
    annotation = event_annotation(declared)
    triggers = tuple(dict.fromkeys(_event_type(declared, trigger) for trigger in declared.triggers))
    if not triggers:
        raise TriggerError(
            f"action {declared.name!r} has no trigger: write @action(EventType.InputEvent)", declared.location
        )
    _refuse_misspelt_options(declared)
    try:
        values.encode(declared.config, "config")
    except NotEncodableError as error:
        raise AgentLoadError(
            f"configuration of action {declared.name!r} is no JSON: {error}", declared.location
        ) from error
    policies = declared.policies
    timeout: Any = policies.timeout_seconds
    if isinstance(timeout, datetime.timedelta):
        timeout = timeout.total_seconds()
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float, type(None))):
        raise AgentLoadError(
            f"action {declared.name!r} has timeout_seconds={timeout!r}: give seconds or a timedelta", declared.location
        )
    if timeout is not None and not 0 < timeout <= _LONGEST_TIMEOUT_SECONDS:
        raise AgentLoadError(
            f"action {declared.name!r} has timeout_seconds={timeout!r}: it must be above 0, and at most "
            f"{_LONGEST_TIMEOUT_SECONDS} (49 days); None is no limit",
            declared.location,
        )
    return Action(
        index=index,
        name=declared.name,
        function=declared.function,
        is_coroutine=_is_coroutine(declared.function),
        triggers=triggers,
        timeout_ms=0 if timeout is None else max(1, round(timeout * 1000)),
        concurrency=_concurrency(declared),
        failure_policy=_failure_policy(declared),
        durability=_choice(declared, "durability", policies.durability, Durability),
        on_mismatch=_choice(declared, "on_mismatch", policies.on_mismatch, OnMismatch),
        config=dict(declared.config),
        event_classes=_event_classes(declared, annotation, triggers),
        location=declared.location,
        former_names=_former_names(declared),
    )


def _refuse_misspelt_options(declared: ActionDeclaration) -> None:
    """What is no option is configuration of the action's own; so a slip would pass, and set nothing."""
    options = [option.name for option in dataclasses.fields(declared.policies)]
    for name in declared.config:
        meant = difflib.get_close_matches(name, options, n=1, cutoff=_TYPO_LIKENESS)
        if meant:
            raise AgentLoadError(
                f"action {declared.name!r} has no option {name!r}; did you mean {meant[0]}? If it is configuration of "
                "your own, give it a name that is less alike",
                declared.location,
            )


def _concurrency(declared: ActionDeclaration) -> int:
    limit = declared.policies.concurrency
    if limit is None:
        return 0
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MOST_AT_A_TIME:
        raise AgentLoadError(
            f"action {declared.name!r} has concurrency={limit!r}: it is how many of it a worker runs at a time, from 1 "
            f"to {_MOST_AT_A_TIME}; None is as many as come",
            declared.location,
        )
    return limit


def _failure_policy(declared: ActionDeclaration) -> FailurePolicy | None:
    policies = declared.policies
    if policies.on_failure is None and policies.max_attempts is None and policies.backoff is None:
        return None
    if policies.on_failure == "retry":
        raise AgentLoadError(
            f"action {declared.name!r} has on_failure='retry': max_attempts says how often it is tried, and on_failure "
            "what follows the last attempt ('fail', 'dead_letter' or 'ignore')",
            declared.location,
        )
    attempts = 1 if policies.max_attempts is None else policies.max_attempts
    if isinstance(attempts, bool) or not isinstance(attempts, int) or not 1 <= attempts <= _MOST_ATTEMPTS:
        raise AgentLoadError(
            f"action {declared.name!r} has max_attempts={attempts!r}: it counts the first attempt too, and is from 1 "
            f"to {_MOST_ATTEMPTS}",
            declared.location,
        )
    given = Backoff() if policies.backoff is None else policies.backoff
    backoff = given if isinstance(given, Backoff) or not _is_number(given) else Backoff(given)
    if not isinstance(backoff, Backoff) or not _is_possible(backoff):
        raise AgentLoadError(
            f"action {declared.name!r} has backoff={backoff!r}: it is seconds, or a Backoff with waits not below 0, a "
            "multiplier from 1 to 1000 and a jitter from 0 to 1",
            declared.location,
        )
    on_failure = OnFailure.FAIL if policies.on_failure is None else policies.on_failure
    return FailurePolicy(_choice(declared, "on_failure", on_failure, OnFailure), attempts, backoff)


def _is_possible(backoff: Backoff) -> bool:
    fields = (backoff.initial_seconds, backoff.multiplier, backoff.max_seconds, backoff.jitter)
    return (
        all(_is_number(value) for value in fields)
        and 0 <= backoff.initial_seconds <= _LONGEST_WAIT_SECONDS
        and 0 < backoff.max_seconds <= _LONGEST_WAIT_SECONDS
        and 1 <= backoff.multiplier <= 1000
        and 0 <= backoff.jitter <= 1
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _choice(declared: ActionDeclaration, option: str, value: Any, choices: type[_C]) -> _C:
    try:
        return choices(value)
    except ValueError:
        known = ", ".join(repr(choice.value) for choice in choices)
        raise AgentLoadError(
            f"action {declared.name!r} has {option}={value!r}: it is one of {known}", declared.location
        ) from None


def _is_coroutine(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _event_type(declared: ActionDeclaration, trigger: Any) -> str:
    what = f"action {declared.name!r}"
    is_class = isinstance(trigger, type) and issubclass(trigger, Event) and trigger is not Event
    event_type: Any = trigger.EVENT_TYPE if is_class else trigger
    if event_type == OUTPUT_EVENT:
        raise TriggerError(
            f"{what} has the trigger {OUTPUT_EVENT!r}: an output leaves its run for the stream behind the agent and "
            "triggers nothing; send an event of a type of your own beside the output, and trigger the action by that",
            declared.location,
        )
    if is_class:
        return str(event_type)
    if not isinstance(trigger, str):
        raise TriggerError(
            f"{what} has the trigger {trigger!r}: a trigger is an event type (text) or a subclass of Event",
            declared.location,
        )
    if _EVENT_TYPE.match(trigger):
        if trigger.startswith("_") and trigger != INPUT_EVENT:
            raise TriggerError(
                f"{what} has the unknown trigger {trigger!r}: types that begin with '_' are built in, and of those "
                f"{INPUT_EVENT!r} alone triggers actions",
                declared.location,
            )
        return trigger
    if _EXPRESSION.search(trigger):
        raise TriggerError(
            f"{what} has the trigger {trigger!r}, an expression: this version matches event types only; "
            "trigger on the type and test the rest inside the action",
            declared.location,
        )
    raise TriggerError(
        f"{what} has the trigger {trigger!r}, which is no event type: letters, digits and _.:/- after a letter or '_'",
        declared.location,
    )


def _event_classes(declared: ActionDeclaration, annotation: Any, triggers: tuple[str, ...]) -> dict[str, Any]:
    """Which class each trigger's event arrives as, from the annotation and from triggers that are classes."""
    wanted = {t.EVENT_TYPE: t for t in declared.triggers if isinstance(t, type) and issubclass(t, Event)}
    alternatives = (
        typing.get_args(annotation) if typing.get_origin(annotation) in declared_types.UNIONS else (annotation,)
    )
    for alternative in alternatives:
        cls = typing.get_origin(alternative) or alternative
        if not (isinstance(cls, type) and issubclass(cls, Event)) or cls is Event:
            continue
        if cls.EVENT_TYPE not in triggers:
            raise SignatureError(
                f"action {declared.name!r} takes a {cls.__name__}, which has the type {cls.EVENT_TYPE!r}, "
                f"but is triggered by {', '.join(map(repr, triggers))}",
                declared.location,
            )
        wanted[cls.EVENT_TYPE] = alternative
    for event_class in wanted.values():
        _refuse_unknown_names(declared, event_class)
    return wanted


def _refuse_unknown_names(declared: ActionDeclaration, event_class: Any) -> None:
    """Of what a value is read into: else each event would fail, and none at load."""
    value_type = next(iter(typing.get_args(event_class)), event_class)
    try:
        declared_types.converter_to(value_type)
    except NameError as error:
        raise SignatureError(
            f"action {declared.name!r} takes {getattr(value_type, '__qualname__', value_type)}, and an annotation of "
            f"its fields cannot be resolved ({error}): import what it names when the program runs, not only under "
            "TYPE_CHECKING, and define it at the top of its module",
            declared.location,
        ) from error


def _location_of_class(cls: type) -> Location | None:
    try:
        return Location(inspect.getsourcefile(cls) or "?", inspect.getsourcelines(cls)[1])
    except (OSError, TypeError):
        return None
