"""Forms of a durable call's parts: how its function is named, its arguments digested, its value and exception kept."""

from __future__ import annotations

import base64
import builtins
import functools
import inspect
import sys
import typing
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType
from typing import Any

from flink_actions.engine.failures import message_of, name_of, shortened
from flink_actions.engine.identity import arguments_digest
from flink_actions.engine.invocation import CallFailure
from flink_actions.sdk import values
from flink_actions.sdk.errors import DurableCallError, NotEncodableError, TerminalError

# Resolving an annotation takes longer than all the rest of a call. By code, not by function: a closure is another one
# each time, and must not be held here. Kept beside what an annotation means: what it was, for the same code may have
# another one, and its module, for code of two modules may be equal.
_declared_values: weakref.WeakKeyDictionary[CodeType, tuple[Any, str, Any]] = weakref.WeakKeyDictionary()


# Arguments of a recorded exception that take more are left out: a record must fit into a frame, whatever was raised.
_MOST_ARGUMENT_BYTES = 16_384

# Python 3.10 has none.
_ExceptionGroup: Any = getattr(builtins, "ExceptionGroup", ())


def _partials_of(function: Callable[..., Any]) -> Iterator[functools.partial[Any]]:
    """A function's partials, the outermost first."""
    while isinstance(function, functools.partial):
        yield function
        function = function.func


def _without_partials(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def function_id_of(function: Callable[..., Any]) -> str:
    """ "module:qualname"; a partial's is that of its function, an object's that of its class."""
    function = _without_partials(function)
    named: Any = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"


def arguments_text(
    function: Callable[..., Any], arguments: Sequence[Any], named: Mapping[str, Any], function_id: str
) -> bytes:
    """Canonical JSON of a call's arguments, those that a partial has bound among them.

    Raises:
        NotEncodableError: Names the path to the argument, and the way out.
    """
    positional, keywords = list(arguments), dict(named)
    for partial in _partials_of(function):
        positional = [*partial.args, *positional]
        keywords = {**partial.keywords, **keywords}
    try:
        return values.encode_canonical({"args": positional, "kwargs": keywords}, "arguments")
    except NotEncodableError as error:
        path = error.path.removeprefix("arguments['args']").removeprefix("arguments['kwargs']")
        raise NotEncodableError(
            f"argument {path} of the durable call of {function_id}",
            f"{error.reason}; what has no such form (a client, a connection) is not an argument: let the function take "
            "it from a closure, from its object (a method), or from a resource",
        ) from error


def digest_of(text: bytes) -> bytes:
    """What tells calls of one function apart."""
    return arguments_digest(text)


def is_coroutine_function(function: Any) -> bool:
    """Whether it is `async def`, or a partial or a decorated form of such."""
    code = getattr(function, "__code__", None)
    if code is not None and code.co_flags & inspect.CO_COROUTINE:
        return True  # nearly all are; to ask `inspect` takes as long as the rest of a call
    return inspect.iscoroutinefunction(inspect.unwrap(_without_partials(function)))


def declared_value(function: Callable[..., Any]) -> Any:
    """The return annotation; None if there is none that can be read."""
    function = _without_partials(function)
    annotations = getattr(function, "__annotations__", None)
    if not annotations or "return" not in annotations:
        return None
    declared = annotations["return"]
    if isinstance(declared, type):
        return declared
    code = getattr(function, "__code__", None)
    if code is None:
        return _resolved(function)
    module = function.__module__
    known, known_module, resolved = _declared_values.get(code, (None, "", None))
    if known is not declared or known_module != module:
        resolved = _resolved(function)
        _declared_values[code] = (declared, module, resolved)
    return resolved


def _resolved(function: Any) -> Any:
    try:
        return typing.get_type_hints(getattr(function, "__func__", function)).get("return")
    except Exception:  # an annotation that only a type checker can resolve
        return None


def failure_record(error: Exception) -> CallFailure:
    """An exception as it is recorded."""
    try:
        arguments = values.encode(_arguments_of(error), "arguments")
    except NotEncodableError:
        arguments = b""
    if len(arguments) > _MOST_ARGUMENT_BYTES:
        arguments = b""
    name, message = shortened(name_of(type(error))), shortened(message_of(error))
    return CallFailure(name, message, isinstance(error, TerminalError), arguments)


def _arguments_of(error: Exception) -> list[Any]:
    if not isinstance(error, _ExceptionGroup):
        return list(error.args)
    # Its members as records: `except*` looks at them.
    members = [failure_record(member) for member in error.exceptions]
    return [error.message, [list(member) for member in members]]


def recorded_exception(failure: CallFailure) -> Exception:
    """An exception of the class that was recorded, so that the author's `except` finds it again.

    Only classes that are loaded already are looked at: a record must not be able to import anything.
    """
    cls = _loaded_class(failure.exception)
    if cls is None:
        return _stand_in(failure)
    arguments = values.decode(failure.arguments, None, "arguments") if failure.arguments else [failure.message]
    try:
        if failure.arguments and issubclass(cls, _ExceptionGroup):
            message, members = arguments
            return cls(message, [_recorded_member(*member) for member in members])
        error = cls(*arguments)
    except Exception:
        return _made_without_constructor(cls, failure)
    if arguments == [failure.message] and message_of(error) != failure.message:
        # Its constructor makes a text of something else than a text.
        error.args = (failure.message,)
    return error


def _recorded_member(exception: str, message: str, is_terminal: bool, arguments: str) -> Exception:
    return recorded_exception(CallFailure(exception, message, is_terminal, base64.b64decode(arguments)))


def _made_without_constructor(cls: type[Exception], failure: CallFailure) -> Exception:
    """For a class whose constructor wants more than `args`. The class and the text are what an `except` looks at."""
    try:
        error = cls.__new__(cls)
        error.args = (failure.message,)
    except Exception:
        pydantic_core: Any = sys.modules.get("pydantic_core")
        if pydantic_core is None or cls is not pydantic_core.ValidationError:
            return _stand_in(failure)
        # It has no constructor at all.
        text = pydantic_core.PydanticCustomError("recorded", "{text}", {"text": failure.message})
        validation_error: Any = cls
        error = validation_error.from_exception_data("a durable call", [{"type": text, "input": None}])
    return error


def _stand_in(failure: CallFailure) -> Exception:
    if failure.is_terminal:
        return TerminalError(f"{failure.exception}: {failure.message}")
    return DurableCallError(failure.message, failure.exception)


def _loaded_class(name: str) -> type[Exception] | None:
    parts = name.split(".")
    found: Any = None
    for split in range(len(parts) - 1, -1, -1):
        module = sys.modules.get(".".join(parts[:split]) if split else "builtins")
        if module is None:
            continue
        found = module
        for part in parts[split:]:
            found = getattr(found, part, None)
        break
    return found if isinstance(found, type) and issubclass(found, Exception) else None
