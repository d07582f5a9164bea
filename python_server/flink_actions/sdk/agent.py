"""Agents and their actions, as an author writes them.

Nothing is checked against the outside here: an `Agent` only remembers what was declared and where, and `engine.plan`
compiles that.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from flink_actions.sdk.errors import DuplicateNameError, Location, ResourceDeclarationError, TriggerError
from flink_actions.sdk.events import Event
from flink_actions.sdk.policies import ActionPolicies, Backoff, Durability, OnFailure, OnMismatch
from flink_actions.sdk.rates import Rate
from flink_actions.sdk.resources import Resource, ResourceDeclaration, ResourceDescriptor, ResourceType, declaration_of

Trigger = str | type[Event]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ActionDeclaration:
    """An action as it was declared; nothing of it is checked yet.

    Args:
        name: Unique within the agent.
        function: What runs; bound if it is a method.
        triggers: Event types, or classes of typed events.
        location: Where it was declared.
        policies: What happens when it fails, takes long, or is repeated.
        config: The action's own configuration.
    """

    name: str
    function: Callable[..., Any]
    triggers: tuple[Any, ...]
    location: Location
    policies: ActionPolicies = field(default_factory=ActionPolicies)
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ActionMark:
    """What `@action` leaves on a function."""

    triggers: tuple[Any, ...]
    policies: ActionPolicies
    config: dict[str, Any]


# Marked functions whose class has not been made yet: (module, qualified name) → the lines they stand on. A class body
# forgets the first of two functions of one name; this remembers.
_marked_lines: dict[tuple[str, str], list[Location]] = {}


def action(
    *triggers: Trigger,
    timeout_seconds: float | None = None,
    on_failure: OnFailure | str | None = None,
    max_attempts: int | None = None,
    backoff: Backoff | float | None = None,
    durability: Durability | str = Durability.CHECKPOINT,
    on_mismatch: OnMismatch | str = OnMismatch.FAIL,
    concurrency: int | None = None,
    formerly: Sequence[str] | str = (),
    **config: Any,
) -> Callable[[F], F]:
    """Mark a function as an action of its agent.

    The function takes `(event, ctx)` (a method: `(self, event, ctx)`), is `async def` or `def`, and runs once per event
    that any of the triggers matches. A `def` runs in a bounded pool of threads.

    `on_failure`, `max_attempts` and `backoff` are its failure policy. With none of them the job's default holds
    (`agent.default-failure-policy.*`), and without that a failure fails the job. With one of them the policy is the
    action's own, and those left out are `"fail"`, 1 and `Backoff()`, whatever the job says.

    Args:
        triggers: Event types such as `"rated"` or `EventType.InputEvent`, or classes of typed events.
        timeout_seconds: Longest time that one attempt may run. Then an `async def` is cancelled, and the attempt has
            failed.
        on_failure: What follows when no attempt is left: `"fail"` the job, `"dead_letter"` or `"ignore"`.
        max_attempts: How often it may be tried in all. After a `TerminalError` it is not tried again. Only failures of
            the action count: a worker that dies or is stopped under it costs no attempt.
        backoff: The wait before another attempt, or its first length in seconds.
        durability: Where its durable calls are recorded: `"none"`, `"checkpoint"` or `"synchronous"`.
        on_mismatch: What a repeated attempt does that makes other calls than were recorded: `"fail"` or `"truncate"`.
        concurrency: Most of it that one worker runs at a time, of all jobs; the others wait in the worker, in order of
            arrival, which is no part of their time limit. None: as many as come.
        formerly: The names that it had in earlier code: open runs that wait for one of them go on here.
        config: The action's configuration, JSON values: `ctx.action_config`.

    Example:
        >>> class Sentiment(Agent):
        ...     @action(EventType.InputEvent)
        ...     async def rate(self, event: InputEvent, ctx: RunnerContext) -> None:
        ...         ctx.send_event(OutputEvent(output=len(event.input)))
        ...
        ...     @action("ask", max_attempts=5, backoff=0.5, on_failure="dead_letter", timeout_seconds=30)
        ...     async def ask(self, event: Event, ctx: RunnerContext) -> None: ...

    Raises:
        TriggerError: It stands without parentheses.
    """
    if len(triggers) == 1 and inspect.isroutine(triggers[0]):
        # A decorator that was not called: `function` would be lost here, and the agent served without it.
        raise TriggerError(
            "@action stands without its triggers: write @action(EventType.InputEvent)", location_of(triggers[0])
        )
    policies = ActionPolicies(
        timeout_seconds, on_failure, max_attempts, backoff, durability, on_mismatch, concurrency, formerly
    )

    def mark(function: F) -> F:
        plain: Any = function.__func__ if isinstance(function, (staticmethod, classmethod)) else function
        plain.__action_mark__ = ActionMark(triggers, policies, config)
        place = (getattr(plain, "__module__", ""), getattr(plain, "__qualname__", ""))
        _marked_lines.setdefault(place, []).append(location_of(plain))
        return function

    return mark


class Agent:
    """A set of actions and resources that a server offers to jobs under one name.

    Declare actions with `@action` in a subclass (inherited ones work, a method of the same name replaces them), or add
    them to an instance with `add_action`.

    Args:
        name: The agent's name; a subclass may set `name` as a class attribute instead. Without one the server takes the
            name of the attribute that it loaded the agent from.
        hop_limit: How many events deep one input may chain before its run fails; a subclass may set `hop_limit` as a
            class attribute instead. None: as many as the job's `agent.hop-limit` says (1,000).

    Example:
        >>> async def rate(event, ctx): ...
        >>> agent = Agent().add_action("rate", ["_input_event"], rate)
    """

    name: str | None = None
    hop_limit: int | None = None
    __marks__: ClassVar[tuple[tuple[str, ActionMark], ...]] = ()

    def __init__(self, name: str | None = None, *, hop_limit: int | None = None) -> None:
        if name is not None:
            self.name = name
        if hop_limit is not None:
            self.hop_limit = hop_limit
        self._added_actions: dict[str, ActionDeclaration] = {}
        self._added_resources: dict[tuple[ResourceType, str], ResourceDeclaration] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for attribute, value in vars(cls).items():
            plain = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
            if not hasattr(plain, "__action_mark__"):
                continue
            lines = _marked_lines.pop((plain.__module__, plain.__qualname__), [])
            if len(lines) > 1:
                raise DuplicateNameError(
                    f"agent {cls.__name__} has two actions named {attribute!r} (the other one: {lines[0]}): rename one",
                    lines[-1],
                )

    def add_action(
        self,
        name: str,
        trigger_conditions: Sequence[Trigger] | Trigger,
        func: Callable[..., Any],
        *,
        timeout_seconds: float | None = None,
        on_failure: OnFailure | str | None = None,
        max_attempts: int | None = None,
        backoff: Backoff | float | None = None,
        durability: Durability | str = Durability.CHECKPOINT,
        on_mismatch: OnMismatch | str = OnMismatch.FAIL,
        concurrency: int | None = None,
        formerly: Sequence[str] | str = (),
        **config: Any,
    ) -> Agent:
        """Add an action to this instance.

        Args:
            name: Unique within the agent.
            trigger_conditions: As the arguments of `@action`.
            func: The function `(event, ctx)`.
            timeout_seconds: As for `@action`, like the following.
            on_failure: What follows when no attempt is left.
            max_attempts: How often it may be tried.
            backoff: The wait before another attempt.
            durability: Where its durable calls are recorded.
            on_mismatch: What a repeated attempt does that makes other calls.
            concurrency: Most of it that one worker runs at a time.
            formerly: The names that it had in earlier code.
            config: The action's configuration.

        Returns:
            This agent, so that calls chain.

        Raises:
            DuplicateNameError: The agent has an action of that name.
        """
        triggers = trigger_conditions if isinstance(trigger_conditions, (list, tuple)) else (trigger_conditions,)
        location = location_of(func)
        known = {declared.name: declared for declared in self.declared_actions()}
        if name in known:
            raise DuplicateNameError(
                f"agent {self.name or type(self).__name__} has two actions named {name!r} (the other one: "
                f"{known[name].location}): "
                "rename one",
                location,
            )
        policies = ActionPolicies(
            timeout_seconds, on_failure, max_attempts, backoff, durability, on_mismatch, concurrency, formerly
        )
        self._actions_added()[name] = ActionDeclaration(name, func, tuple(triggers), location, policies, config)
        return self

    def add_resource(
        self,
        name: str,
        resource_type: ResourceType,
        instance: Resource | ResourceDescriptor,
        *,
        rate: Rate | float | None = None,
    ) -> Agent:
        """Add a resource to this instance.

        Args:
            name: Unique among the agent's resources of its type.
            resource_type: Its type.
            instance: The resource itself, or the descriptor that it is made from when it is first asked for.
            rate: How often a worker may use it, see `Rate`; a number is so many times a second.

        Returns:
            This agent, so that calls chain.

        Raises:
            DuplicateNameError: The agent has such a resource.
            ResourceDeclarationError: `instance` is neither.
        """
        location = caller_location()
        if any((declared.type, declared.name) == (resource_type, name) for declared in self.declared_resources()):
            raise DuplicateNameError(
                f"the agent has two {resource_type.value} resources named {name!r}: rename one", location
            )
        if not isinstance(instance, (Resource, ResourceDescriptor)):
            raise ResourceDeclarationError(
                f"resource {name!r} is a {type(instance).__name__}: pass a Resource or a ResourceDescriptor", location
            )
        declared = ResourceDeclaration(resource_type, name, instance, location, rate)
        self._resources_added()[resource_type, name] = declared
        return self

    def declared_actions(self) -> list[ActionDeclaration]:
        """All actions: those of the classes from the root down in declaration order, then the added ones."""
        found: dict[str, ActionDeclaration] = {}
        for attribute in self._class_attributes():
            value = getattr(type(self), attribute, None)
            mark: ActionMark | None = getattr(value, "__action_mark__", None)
            if mark is not None:
                bound = getattr(self, attribute)
                found[attribute] = ActionDeclaration(
                    attribute, bound, mark.triggers, location_of(bound), mark.policies, mark.config
                )
        return [*found.values(), *self._actions_added().values()]

    def declared_resources(self) -> list[ResourceDeclaration]:
        """All resources, in the same order as actions. Methods that declare one are called here."""
        found = [declaration_of(self, attribute) for attribute in self._class_attributes()]
        return [*(declared for declared in found if declared is not None), *self._resources_added().values()]

    def _class_attributes(self) -> dict[str, None]:
        return {attribute: None for cls in reversed(type(self).__mro__) for attribute in vars(cls)}

    # A subclass may define __init__ and not call ours: these make what is missing.
    def _actions_added(self) -> dict[str, ActionDeclaration]:
        added: dict[str, ActionDeclaration] = self.__dict__.setdefault("_added_actions", {})
        return added

    def _resources_added(self) -> dict[tuple[ResourceType, str], ResourceDeclaration]:
        added: dict[tuple[ResourceType, str], ResourceDeclaration] = self.__dict__.setdefault("_added_resources", {})
        return added


def location_of(function: Any) -> Location:
    """Where a callable was written."""
    plain = getattr(function, "__func__", function)
    plain = getattr(plain, "__wrapped__", plain)
    called = getattr(type(plain), "__call__", None)  # noqa: B004
    code = getattr(plain, "__code__", None) or getattr(called, "__code__", None)
    return Location(code.co_filename, code.co_firstlineno) if code is not None else Location(repr(function))


def caller_location() -> Location:
    """The line outside this package that called into it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("flink_actions.sdk"):
        frame = frame.f_back
    return Location(frame.f_code.co_filename, frame.f_lineno)
