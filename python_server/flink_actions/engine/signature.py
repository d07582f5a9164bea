"""What an action's function takes: that it can be called with `(event, ctx)`, and as what it wants its event."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from flink_actions.sdk.agent import ActionDeclaration
from flink_actions.sdk.context import RunnerContext
from flink_actions.sdk.errors import SignatureError


def event_annotation(declared: ActionDeclaration) -> Any:
    """Refuse what is not `(event, ctx)`; give back the annotation of `event`, Any if it has none.

    Raises:
        SignatureError: The function cannot be called so, is a generator, wants the two the other way round, or the
            annotation of `event` cannot be resolved.
    """
    function = declared.function
    what = f"action {declared.name!r}"
    if not callable(function):
        raise SignatureError(f"{what} is a {type(function).__name__}, not a function", declared.location)
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise SignatureError(
            f"{what} is a generator: send events with ctx.send_event and use `await`, not `yield`", declared.location
        )
    parameters = list(inspect.signature(function).parameters.values())
    signature = f"({', '.join(str(p) for p in parameters)})"
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    required = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    takes_two = len(positional) >= 2 or any(p.kind is p.VAR_POSITIONAL for p in positional)
    if not takes_two or len(required) > 2 or any(p.kind is p.KEYWORD_ONLY for p in required):
        hint = ": add `self`, or @staticmethod" if inspect.ismethod(function) and len(positional) == 1 else ""
        raise SignatureError(f"{what} takes {signature}, but it is called with (event, ctx){hint}", declared.location)
    annotation = _resolve(declared, positional[0])
    if isinstance(annotation, type) and issubclass(annotation, RunnerContext):
        raise SignatureError(
            f"{what} takes {signature}, but it is called with (event, ctx): write the event first", declared.location
        )
    return annotation


def _resolve(declared: ActionDeclaration, parameter: inspect.Parameter) -> Any:
    """What the annotation of this one parameter means; those of others may mean something to a type checker only."""
    if parameter.annotation is parameter.empty:
        return Any
    alone = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    # A class that triggers the action is known, wherever it was made.
    classes = {trigger.__name__: trigger for trigger in declared.triggers if isinstance(trigger, type)}
    try:
        return typing.get_type_hints(alone, _globals_of(declared.function), classes)[parameter.name]
    except Exception as error:  # an annotation is any expression
        raise SignatureError(
            f"action {declared.name!r} declares `{parameter}`, and that cannot be resolved ({error}), so that nobody "
            "knows what the event is to arrive as: import what it names when the program runs, not only under "
            "TYPE_CHECKING, and define it at the top of its module",
            declared.location,
        ) from error


def _globals_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Names of the module that the code behind a method, a partial or a callable object was written in."""
    while isinstance(function, functools.partial):
        function = function.func
    plain = inspect.unwrap(getattr(function, "__func__", function))
    if not hasattr(plain, "__globals__"):
        plain = getattr(type(plain), "__call__", plain)  # noqa: B004
    found: dict[str, Any] = getattr(plain, "__globals__", {})
    return found
