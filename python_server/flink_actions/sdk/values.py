"""Values and their wire form, JSON.

Any JSON value travels as it is. bytes (base64), datetime, date and time (ISO 8601), Decimal, UUID (text), Enum (its
value), tuples (arrays), dataclasses, pydantic models and Rows (objects; a Row without names an array) have a JSON form
too; they arrive as such where a type is declared, and in their JSON form where none is. What has no form that can be
read back is an error when it is sent, not when it is missed.

An integer beyond 64 bits is refused when it is sent, to memory and to durable calls as well. One that comes from
elsewhere, in an input's JSON, is exact where `int` is declared and a float where a float would do, as where nothing is
declared: to look for it would cost more than all of the reading.
"""

from __future__ import annotations

import base64
import dataclasses
import decimal
import json
import math
import re
from typing import Any

import orjson

from flink_actions.sdk.declared import converter_to, is_pydantic_model, models
from flink_actions.sdk.errors import NotDecodableError, NotEncodableError
from flink_actions.sdk.rows import Row, plain_form

# orjson would leave out a dataclass's fields that begin with "_"; `_json_form` does not.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS

# Perhaps of an integer that orjson rounds, which the standard library does not.
_LARGE_INTEGER = re.compile(rb"[0-9]{19}")
_DIGITS_TO_0 = bytes(ord("0") if 48 <= byte < 58 else byte for byte in range(256))

_NEVER_NULL = frozenset((int, bool, str))

_dumps = orjson.dumps
_loads = orjson.loads


def encode(value: Any, where: str) -> bytes:
    """The JSON text of a value.

    Args:
        value: What to encode.
        where: What the value is called, for the error.

    Raises:
        NotEncodableError: Names the path to the part that has no JSON form.
    """
    try:
        encoded = _dumps(value, _json_form, _OPTIONS)
    except TypeError as error:
        raise _explained(value, where, error) from error
    # orjson writes NaN and the infinities as null. Few texts hold a null at all, so looking for one is cheap.
    if type(value) not in _NEVER_NULL and encoded.find(b"null") >= 0:
        _refuse_not_finite(value, where)
    return encoded


def encode_canonical(value: Any, where: str) -> bytes:
    """As `encode`, with objects' keys sorted: equal values have one text."""
    try:
        encoded = _dumps(value, _json_form, _OPTIONS | orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise _explained(value, where, error) from error
    if encoded.find(b"null") >= 0:
        _refuse_not_finite(value, where)
    return encoded


def decode(encoded: bytes, declared: Any, where: str) -> Any:
    """The value of a JSON text, as the declared type.

    Args:
        encoded: JSON text.
        declared: A type, or None or Any for the plain JSON value.
        where: What the value is called, for the error.

    Raises:
        NotDecodableError: It is no JSON, or not of that type.
    """
    try:
        value = _loads(encoded)
    except ValueError as error:
        raise NotDecodableError(where, f"this is no JSON: {error}") from error
    if declared is None or declared is Any:
        return value
    convert = converter_to(declared)
    if convert is None:
        return value
    try:
        # A model takes a rounded number for an integer, and nobody would know.
        if models and _may_hold_large_integer(encoded):
            value = _read_exactly(encoded, where)
        return convert(value, where)
    except NotDecodableError:
        if not _LARGE_INTEGER.search(encoded):
            raise
        return convert(_read_exactly(encoded, where), where)
    except RecursionError as error:
        raise NotDecodableError(where, "it is nested too deep to be made into the declared types") from error


def _may_hold_large_integer(encoded: bytes) -> bool:
    # Of so many digits in a row, three in a row are seen by whoever looks at each sixth byte.
    return b"000" in encoded[::6].translate(_DIGITS_TO_0) and _LARGE_INTEGER.search(encoded) is not None


def _read_exactly(encoded: bytes, where: str) -> Any:
    try:
        return json.loads(encoded)
    except RecursionError as error:
        raise NotDecodableError(where, "it is nested too deep to be read without rounding its integers") from error


def _json_form(value: Any) -> Any:
    """What orjson does not write by itself. A TypeError here becomes its error."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            raise TypeError
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Row):
        return plain_form(value)
    if is_pydantic_model(type(value)):
        # A model says itself what its JSON is, and reads that back.
        return value.model_dump(mode="json")
    raise TypeError


def _children(value: Any, where: str) -> list[tuple[Any, str]]:
    if isinstance(value, Row):
        return _children(plain_form(value), where)
    if isinstance(value, dict):
        return [(item, f"{where}[{name!r}]") for name, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(getattr(value, field.name), f"{where}.{field.name}") for field in dataclasses.fields(value)]
    if is_pydantic_model(type(value)):
        names = [*type(value).model_fields, *(value.model_extra or ())]
        return [(getattr(value, name), f"{where}.{name}") for name in names]
    return []


def _explained(value: Any, where: str, error: Exception) -> NotEncodableError:
    try:
        return _explain(value, where, error)
    except RecursionError:
        return NotEncodableError(where, "it holds itself, or is nested too deep: send what refers to it by name")


def _explain(value: Any, where: str, error: Exception) -> NotEncodableError:
    """Go down to the part that cannot be encoded."""
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                return NotEncodableError(where, f"the key {name!r} is a {type(name).__name__}: keys must be text")
    for child, path in _children(value, where):
        try:
            _dumps(child, _json_form, _OPTIONS)
        except TypeError as child_error:
            return _explain(child, path, child_error)
    if isinstance(value, int) and not isinstance(value, bool):
        return NotEncodableError(where, f"{value} exceeds 64 bits: send it as text or as a Decimal")
    if isinstance(value, str):
        return NotEncodableError(where, "this text holds a lone surrogate and has no UTF-8 form")
    if isinstance(value, decimal.Decimal):
        return NotEncodableError(where, f"{value} has no JSON form: send None or text")
    if isinstance(value, (set, frozenset)):
        return NotEncodableError(where, "a set has no order to repeat: send sorted(...)")
    reason = str(error.__cause__ or error) if _children(value, where) else ""
    return NotEncodableError(
        where,
        f"a {type(value).__module__}.{type(value).__qualname__} has no JSON form{': ' + reason if reason else ''}; "
        "send JSON values, bytes, datetime, Decimal, UUID, tuples, Rows, dataclasses or pydantic models",
    )


def _refuse_not_finite(value: Any, where: str) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotEncodableError(where, f"{value} has no JSON form: send None or text")
        return
    for child, path in _children(value, where):
        _refuse_not_finite(child, path)
