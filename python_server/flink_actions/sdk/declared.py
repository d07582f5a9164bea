"""Declared types: what turns a plain JSON value into what an annotation says."""

from __future__ import annotations

import base64
import collections.abc
import contextlib
import dataclasses
import datetime
import decimal
import enum
import inspect
import json
import sys
import threading
import types
import typing
import uuid
import weakref
from collections.abc import Callable
from typing import Any

import orjson

from flink_actions.sdk.errors import NotDecodableError
from flink_actions.sdk.rows import Row, row_of

UNIONS = (typing.Union, types.UnionType)

Converter = Callable[[Any, str], Any]


def is_pydantic_model(cls: Any) -> bool:
    """Whether a type is a pydantic model. Imports nothing: while pydantic is not loaded there is none."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(cls, type) and issubclass(cls, pydantic.BaseModel)


# Types that are made while a process runs must not fill it; all that is forgotten is made again.
_MOST_FINISHED = 4096


class _InOrder:
    """Converters of types that typing takes for equal, though a union of theirs tries its members in another order."""

    __slots__ = ("by_text", "last")

    def __init__(self) -> None:
        # The text shows the order.
        self.by_text: dict[str, Converter | None] = {}
        # To make the text takes longer than most conversions, and most such types are declared once.
        self.last: tuple[Any, Converter | None] = (None, None)

    def find(self, declared: Any) -> Converter | None:
        last, converter = self.last
        if last is not declared:
            converter = self.by_text[repr(declared)]
            self.last = (declared, converter)
        return converter

    def add(self, declared: Any, converter: Converter | None) -> None:
        self.by_text[repr(declared)] = converter


def _depends_on_order(declared: Any) -> bool:
    arguments = typing.get_args(declared)
    is_union = typing.get_origin(declared) in UNIONS
    if is_union and sum(argument is not type(None) for argument in arguments) > 1:
        return True
    return any(map(_depends_on_order, arguments))


# Converters that work whole. Read by all threads.
_finished: dict[Any, Converter | _InOrder | None] = {}


# Pydantic models that were declared anywhere, for whoever knows what they do with a number that was rounded.
models: weakref.WeakSet[type] = weakref.WeakSet()


class _Build(threading.local):
    """What this thread is making: the dataclasses in it, and their converters once there are any.

    A dataclass that refers to itself, at whatever distance, meets its own. What was made of it before it is whole is
    seen by nobody else, and forgotten if a part cannot be made.
    """

    dataclasses: dict[Any, list[Converter]] | None = None


_build = _Build()


def converter_to(declared: Any) -> Converter | None:
    """What turns a plain JSON value into the declared type; None if the plain value is what was declared."""
    try:
        found = _finished[declared]
        return found.find(declared) if type(found) is _InOrder else found  # type: ignore[return-value]
    except (KeyError, TypeError):  # the metadata of an Annotated may have no hash
        pass
    if _build.dataclasses is not None:
        return _new_converter(declared)
    parts = _build.dataclasses = {}
    try:
        converter = _new_converter(declared)
    finally:
        _build.dataclasses = None
    if len(_finished) >= _MOST_FINISHED:
        _finished.clear()
    _finished.update((cls, made[0]) for cls, made in parts.items())
    with contextlib.suppress(TypeError):
        _remember(declared, converter)
    return converter


def _remember(declared: Any, converter: Converter | None) -> None:
    if not _depends_on_order(declared):
        _finished[declared] = converter
        return
    in_order = _finished.setdefault(declared, _InOrder())
    assert isinstance(in_order, _InOrder)
    in_order.add(declared, converter)


def _new_converter(declared: Any) -> Converter | None:
    if declared in (Any, object) or isinstance(declared, typing.TypeVar):
        return None
    if declared is None or declared is type(None):
        return _exactly((type(None),), "null")
    origin = typing.get_origin(declared)
    if origin is not None:
        return _generic_converter(declared, origin, typing.get_args(declared))
    supertype = getattr(declared, "__supertype__", None)
    if supertype is not None:
        return converter_to(supertype)
    if declared in _SCALARS:
        return _SCALARS[declared]
    if not isinstance(declared, type):
        return None
    if is_pydantic_model(declared):
        return _model_converter(declared)
    if dataclasses.is_dataclass(declared):
        return _dataclass_converter(declared)
    if issubclass(declared, enum.Enum):
        # true is no 1, unless a member's value is.
        rare = {type(member.value) for member in declared} & {bool, type(None)}
        return _parsed(declared, (str, int, float, *rare), declared.__name__)
    if declared in (list, dict):
        return _exactly((declared,), declared.__name__)
    if declared is Row:
        return _row
    if declared is tuple:
        return _tuple_converter((Any, ...))
    # Any other class (a TypedDict, a Protocol) says how to look at plain values, not how to make new ones.
    return None


def _expected(where: str, wanted: str, value: Any) -> NotDecodableError:
    text = repr(value)
    return NotDecodableError(where, f"expected {wanted}, found {text if len(text) <= 100 else text[:97] + '...'}")


def _row(value: Any, where: str) -> Any:
    if type(value) is list:
        return Row(*map(row_of, value))
    if type(value) is not dict:
        raise _expected(where, "the fields of a Row", value)
    return row_of(value)


def _exactly(accepted: tuple[type, ...], wanted: str) -> Converter:
    def check(value: Any, where: str) -> Any:
        if type(value) not in accepted:
            raise _expected(where, wanted, value)
        return value

    return check


def _parsed(parse: Callable[[Any], Any], accepted: tuple[type, ...], wanted: str) -> Converter:
    def convert(value: Any, where: str) -> Any:
        if type(value) not in accepted:
            raise _expected(where, wanted, value)
        try:
            return parse(value)
        except (ValueError, ArithmeticError, LookupError) as error:
            raise _expected(where, wanted, value) from error

    return convert


def _instant(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)


_SCALAR_NAMES = {int: "an integer", float: "a number"}

_SCALARS: dict[Any, Converter] = {
    bool: _exactly((bool,), "true or false"),
    int: _exactly((int,), "an integer"),
    float: _parsed(float, (int, float), "a number"),
    str: _exactly((str,), "text"),
    bytes: _parsed(lambda text: base64.b64decode(text, validate=True), (str,), "base64 text"),
    decimal.Decimal: _parsed(decimal.Decimal, (str, int), "a decimal number as text"),
    uuid.UUID: _parsed(uuid.UUID, (str,), "a UUID"),
    datetime.datetime: _parsed(_instant, (str,), "a date and time in ISO 8601"),
    datetime.date: _parsed(datetime.date.fromisoformat, (str,), "a date in ISO 8601"),
    datetime.time: _parsed(datetime.time.fromisoformat, (str,), "a time in ISO 8601"),
}


def _generic_converter(declared: Any, origin: Any, arguments: tuple[Any, ...]) -> Converter | None:
    if origin is typing.Annotated:
        return converter_to(arguments[0])
    if origin is typing.Literal:
        return _parsed(
            lambda value: value if value in arguments else _fail(), (str, int, bool, type(None)), f"one of {arguments}"
        )
    if origin in UNIONS:
        return _union_converter(arguments)
    if origin is tuple:
        return _tuple_converter(arguments)
    if origin in (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.MutableSequence):
        return _list_converter(arguments[0])
    if origin in (set, frozenset, collections.abc.Set, collections.abc.MutableSet):
        convert_list = _list_converter(arguments[0])
        make = frozenset if origin is frozenset else set
        return lambda value, where: _hashed(make, convert_list(value, where), where)
    if origin in (dict, collections.abc.Mapping, collections.abc.MutableMapping):
        return _dict_converter(*arguments)
    if is_pydantic_model(declared):
        return _model_converter(declared)
    if dataclasses.is_dataclass(origin):
        return _dataclass_converter(origin)
    return None


def _fail() -> Any:
    raise ValueError


def _union_converter(arguments: tuple[Any, ...]) -> Converter | None:
    converters = [converter_to(argument) for argument in arguments]
    if all(converter is None for converter in converters):
        return None

    def convert(value: Any, where: str) -> Any:
        if value is None and type(None) in arguments:
            return None
        errors = []
        for converter in converters:
            if converter is None:
                return value
            try:
                return converter(value, where)
            except NotDecodableError as error:
                errors.append(error)
        raise (
            errors[0]
            if len(errors) == 1 or (type(None) in arguments and len(errors) == 2)
            else _expected(where, " or ".join(map(str, arguments)), value)
        )

    return convert


def _list_converter(item: Any) -> Converter:
    convert_item = converter_to(item)

    def convert(value: Any, where: str) -> Any:
        if type(value) is not list:
            raise _expected(where, "an array", value)
        if convert_item is None:
            return value
        return [convert_item(element, f"{where}[{index}]") for index, element in enumerate(value)]

    return convert


def _tuple_converter(items: tuple[Any, ...]) -> Converter:
    if len(items) == 2 and items[1] is Ellipsis:
        convert_list = _list_converter(items[0])
        return lambda value, where: tuple(convert_list(value, where))
    converters = [converter_to(item) for item in items if item != ()]

    def convert(value: Any, where: str) -> Any:
        if type(value) is not list or len(value) != len(converters):
            raise _expected(where, f"an array of {len(converters)}", value)
        return tuple(
            element if converter is None else converter(element, f"{where}[{index}]")
            for index, (element, converter) in enumerate(zip(value, converters, strict=True))
        )

    return convert


def _hashed(make: Callable[[Any], Any], elements: list[Any], where: str) -> Any:
    try:
        return make(elements)
    except TypeError as error:
        raise NotDecodableError(where, f"its elements cannot be those of a set: {error}") from error


def _dict_converter(key: Any, item: Any) -> Converter:
    convert_key, convert_item = _key_converter(key), converter_to(item)

    def convert(value: Any, where: str) -> Any:
        if type(value) is not dict:
            raise _expected(where, "an object", value)
        if convert_item is None and convert_key is None:
            return value
        converted = {}
        for name, element in value.items():
            place = f"{where}[{name!r}]"
            found = name if convert_key is None else convert_key(name, f"key of {place}")
            converted[found] = element if convert_item is None else convert_item(element, place)
        return converted

    return convert


def _key_converter(declared: Any) -> Converter | None:
    """JSON's keys are text; what else is declared is read from it."""
    if declared in (int, float):
        return _parsed(declared, (str,), f"{_SCALAR_NAMES[declared]} as text")
    if declared is bool:
        return _parsed({"true": True, "false": False}.__getitem__, (str,), "true or false as text")
    convert = converter_to(declared)
    return None if declared is str else convert


def _model_converter(model: Any) -> Converter:
    models.add(model)
    # Models are sent by the names of their fields, and what comes from elsewhere may have aliases. Pydantic before 2.11
    # cannot take both.
    takes_names = "by_name" in inspect.signature(model.model_validate_json).parameters
    options = {"by_name": True} if takes_names else {}

    def convert(value: Any, where: str) -> Any:
        try:
            # From JSON, not from the decoded value: only there do the model's JSON rules (bytes, strict mode) hold.
            return model.model_validate_json(_text_of(value), **options)
        except ValueError as error:
            raise NotDecodableError(where, f"this is no {model.__name__}: {error}") from error

    return convert


def _text_of(value: Any) -> bytes | str:
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer beyond 64 bits
        return json.dumps(value)


def _dataclass_converter(cls: Any) -> Converter:
    parts = _build.dataclasses
    assert parts is not None
    if cls in parts:
        made = parts[cls]
        return lambda value, where: made[0](value, where)
    parts[cls] = []
    parts[cls].append(_fields_converter(cls))
    return parts[cls][0]


def _fields_converter(cls: Any) -> Converter:
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    converters = {name: converter_to(hints.get(name, Any)) for name in fields}
    required = {
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }

    def convert(value: Any, where: str) -> Any:
        if type(value) is not dict:
            raise _expected(where, f"the fields of {cls.__name__}", value)
        missing = required - value.keys()
        if missing:
            raise NotDecodableError(
                where, f"{cls.__name__} needs {', '.join(sorted(missing))}; found {', '.join(value) or 'nothing'}"
            )
        arguments = {}
        # Attributes that the class does not have are left alone: a newer sender may know more.
        for name, convert_field in converters.items():
            if name in value:
                arguments[name] = (
                    value[name] if convert_field is None else convert_field(value[name], f"{where}.{name}")
                )
        return cls(**arguments)

    return convert
