"""The JSON form of values, both ways."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import decimal
import enum
import math
import re
import threading
import typing
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal, NewType, Optional

import orjson
import pydantic
import pytest
from flink_actions import NotDecodableError, NotEncodableError
from flink_actions.sdk import declared as declared_types
from flink_actions.sdk import values


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Answer(enum.Enum):
    YES = True
    NONE = None


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0
    _hidden: str = "h"


@dataclasses.dataclass(frozen=True)
class Order:
    id: uuid.UUID
    price: decimal.Decimal
    at: datetime.datetime
    day: datetime.date
    image: bytes
    colour: Colour
    points: tuple[Point, ...]
    pair: tuple[int, str]
    by_name: dict[str, Point]
    note: str | None = None


class Model(pydantic.BaseModel):
    name: str
    price: decimal.Decimal
    points: list[Point] = []


class StrictModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, ser_json_bytes="base64", val_json_bytes="base64")
    at: datetime.datetime
    image: bytes


class Extra(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


class Aliased(pydantic.BaseModel):
    user_id: int = pydantic.Field(alias="userId")
    inner: list[Aliased] = pydantic.Field(default=[], validation_alias=pydantic.AliasChoices("inside", "within"))


Cents = NewType("Cents", int)

ORDER = Order(
    id=uuid.UUID(int=5),
    price=decimal.Decimal("12.340"),
    at=datetime.datetime(2024, 2, 3, 4, 5, 6, 789, tzinfo=datetime.timezone.utc),
    day=datetime.date(2024, 2, 3),
    image=b"\x00\xff",
    colour=Colour.BLUE,
    points=(Point(1, 2.5), Point(2, _hidden="seen")),
    pair=(1, "one"),
    by_name={"a": Point(3)},
)


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        (None, Any),
        (True, bool),
        (7, int),
        (1.5, float),
        ("ä\n", str),
        ([1, [2]], list),
        ({"a": {"b": None}}, dict[str, Any]),
        (b"\x00\xff", bytes),
        (decimal.Decimal("0.10"), decimal.Decimal),
        (uuid.UUID(int=1), uuid.UUID),
        (datetime.datetime(2024, 1, 2, 3, 4, 5), datetime.datetime),
        (datetime.time(1, 2, 3), datetime.time),
        (Colour.RED, Colour),
        (Level.LOW, Level),
        (Answer.YES, Answer),
        (Answer.NONE, Answer),
        ((1, 2), tuple[int, ...]),
        ((), tuple[()]),
        ((b"a", None), tuple[bytes, Optional[int]]),  # noqa: UP045
        ([decimal.Decimal(1)], list[decimal.Decimal]),
        ({"a": (1,)}, dict[str, tuple[int]]),
        (ORDER, Order),
        ([ORDER], list[Order]),
        (Model(name="m", price=decimal.Decimal("1.50"), points=[Point(1)]), Model),
        (StrictModel(at=datetime.datetime(2024, 1, 1), image=b"\x00\xff"), StrictModel),
        (Aliased(userId=1, inside=[Aliased(userId=2)]), Aliased),
        ([StrictModel(at=datetime.datetime(2024, 1, 1), image=b"\x00\xff")], list[StrictModel]),
        (5, Cents),
        (b"x", Annotated[bytes, "an image"]),
        ("a", Literal["a", "b"]),
        (None, Literal["a", None]),
        (None, int | None),
        (b"x", bytes | None),
        (Point(1), Point | None),
        (Point(1), int | Point),
    ],
    ids=repr,
)
def test_a_value_arrives_as_it_was_where_its_type_is_declared(value: Any, declared: Any) -> None:
    assert values.decode(values.encode(value, "v"), declared, "v") == value


def test_a_model_is_read_by_its_aliases_too() -> None:
    wanted = Aliased(userId=1, inside=[Aliased(userId=2)])
    assert values.decode(b'{"userId":1,"within":[{"user_id":2}]}', Aliased, "v") == wanted


def test_without_a_declared_type_the_json_form_arrives() -> None:
    assert values.decode(values.encode({"a": (1, b"x", decimal.Decimal("1.0"))}, "v"), None, "v") == {
        "a": [1, "eA==", "1.0"]
    }


def test_a_number_without_a_fraction_is_a_float_where_one_is_declared() -> None:
    decoded = values.decode(b"5", float, "v")
    assert (decoded, type(decoded)) == (5.0, float)


def test_fields_that_a_class_does_not_have_are_left_alone() -> None:
    assert values.decode(b'{"x": 1, "new": 2}', Point, "v") == Point(1)


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        (object(), "v", "a builtins.object has no JSON form"),
        ({"a": [1, {"b": {2}}]}, "v['a'][1]['b']", "a set has no order"),
        ({"a": {1: 2}}, "v['a']", "the key 1 is a int"),
        ([math.nan], "v[0]", "nan has no JSON form"),
        ({"a": None, "b": (1, -math.inf)}, "v['b'][1]", "-inf has no JSON form"),
        (math.inf, "v", "inf has no JSON form"),
        (Point(1, math.nan), "v.y", "nan has no JSON form"),
        (Extra(more=[math.nan]), "v.more[0]", "nan has no JSON form"),  # type: ignore[call-arg]
        (decimal.Decimal("NaN"), "v", "NaN has no JSON form"),
        ([2**70], "v[0]", "exceeds 64 bits"),
        ("\ud800", "v", "lone surrogate"),
        (Point(x=object()), "v.x", "a builtins.object has no JSON form"),  # type: ignore[arg-type]
        (Order, "v", "has no JSON form"),
        (1j, "v", "a builtins.complex has no JSON form"),
    ],
    # Without addresses: a test has one name in all processes.
    ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", repr(value)),
)
def test_a_value_without_a_json_form_is_refused_and_its_place_named(value: Any, path: str, reason: str) -> None:
    with pytest.raises(NotEncodableError) as caught:
        values.encode(value, "v")
    assert caught.value.path == path
    assert reason in str(caught.value)


def test_texts_with_the_word_null_are_no_reason_for_suspicion() -> None:
    assert values.encode({"a": "null", "b": None, "c": [1.5, None]}, "v") == b'{"a":"null","b":null,"c":[1.5,null]}'


@pytest.mark.parametrize(
    ("encoded", "declared", "message"),
    [
        (b"{", None, "v: this is no JSON"),
        (b"", int, "v: this is no JSON"),
        (b'"1"', int, "v: expected an integer, found '1'"),
        (b"true", int, "v: expected an integer, found True"),
        (b"1.5", int, "v: expected an integer"),
        (b'"x"', float, "v: expected a number"),
        (b"1", str, "v: expected text"),
        (b'"%"', bytes, "v: expected base64 text"),
        (b'"1.x"', decimal.Decimal, "v: expected a decimal number"),
        (b'"yesterday"', datetime.datetime, "v: expected a date and time in ISO 8601, found 'yesterday'"),
        (b'"green"', Colour, "v: expected Colour, found 'green'"),
        (b"[1]", tuple[int, int], r"v: expected an array of 2, found \[1\]"),
        (b'[1,"2"]', list[int], r"v\[1\]: expected an integer"),
        (b'{"a":[1,"x"]}', dict[str, list[int]], r"v\['a'\]\[1\]: expected an integer"),
        (b'{"y":1}', Point, "v: Point needs x; found y"),
        (b'{"x":"1"}', Point, r"v\.x: expected an integer"),
        (b"[]", Point, "v: expected the fields of Point"),
        (b'{"name":"m"}', Model, "v: this is no Model"),
        (b'"c"', Literal["a", "b"], "v: expected one of"),
        (b'"x"', int | None, "v: expected an integer"),
        (b"[]", int | Point, "v: expected .*int.* or .*Point"),
        (b"null", int, "v: expected an integer, found None"),
    ],
)
def test_what_is_not_of_the_declared_type_is_refused_and_its_place_named(
    encoded: bytes, declared: Any, message: str
) -> None:
    with pytest.raises(NotDecodableError, match=message):
        values.decode(encoded, declared, "v")


def test_a_long_value_is_not_repeated_whole_in_the_message() -> None:
    with pytest.raises(NotDecodableError) as caught:
        values.decode(b'"' + b"x" * 10_000 + b'"', int, "v")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("encode", [values.encode, values.encode_canonical])
def test_a_value_that_holds_itself_is_refused(encode: Callable[[Any, str], bytes]) -> None:
    value: list[Any] = []
    value.append({"again": value})
    with pytest.raises(NotEncodableError, match="it holds itself"):
        encode(value, "output")


@dataclasses.dataclass
class Tree:
    name: str
    children: list[Tree] = dataclasses.field(default_factory=list)
    above: Tree | None = None
    by_number: dict[int, Tree] = dataclasses.field(default_factory=dict)


def test_a_dataclass_may_refer_to_itself() -> None:
    encoded = b'{"name":"a","children":[{"name":"b"}],"above":{"name":"c"},"by_number":{"7":{"name":"d"}}}'
    tree = values.decode(encoded, Tree, "tree")
    assert tree == Tree("a", [Tree("b")], Tree("c"), {7: Tree("d")})
    with pytest.raises(NotDecodableError, match=r"tree\.children\[0\]\.name: expected text, found 5"):
        values.decode(b'{"name":"a","children":[{"name":5}]}', Tree, "tree")


@dataclasses.dataclass
class Branch:
    """Refers to itself before it refers to what takes long to look at."""

    above: Branch | None = None
    leaf: Leaf | None = None


@dataclasses.dataclass
class Leaf:
    number: int = 0


def test_a_dataclass_that_refers_to_itself_is_whole_for_every_thread_that_decodes_it_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = typing.get_type_hints
    begun, may_end = threading.Event(), threading.Event()

    def held_up(cls: Any) -> dict[str, Any]:
        if cls is Leaf and not begun.is_set():
            begun.set()
            assert may_end.wait(10)
        return original(cls)

    monkeypatch.setattr(typing, "get_type_hints", held_up)
    encoded = b'{"above":{"leaf":{"number":1}}}'
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(values.decode, encoded, Branch, "branch")
        assert begun.wait(10)
        # It has to wait for the first, or to do without it.
        second = pool.submit(values.decode, encoded, Branch, "branch")
        concurrent.futures.wait([second], timeout=0.2)
        may_end.set()
        assert first.result(10) == second.result(10) == Branch(Branch(None, Leaf(1)))


@dataclasses.dataclass
class Broken:
    above: Broken | None = None
    part: BrokenPart | None = None


@dataclasses.dataclass
class BrokenPart:
    unknown: Unknown  # type: ignore[name-defined]  # noqa: F821


def test_a_type_that_cannot_be_resolved_is_named_each_time() -> None:
    for declared in (Broken, Broken, list[Broken], BrokenPart, Broken):
        with pytest.raises(NameError, match="Unknown"):
            values.decode(b'{"above":{}}', declared, "broken")


@pytest.mark.parametrize("declared", [Annotated[int, {"least": 1}], list[Annotated[int, {"least": 1}]]])
def test_metadata_of_a_type_needs_no_hash(declared: Any) -> None:
    value = 1 if typing.get_origin(declared) is Annotated else [1]
    for _ in range(2):
        assert values.decode(orjson.dumps(value), declared, "value") == value
        with pytest.raises(NotDecodableError, match="expected an integer, found 'a'"):
            values.decode(orjson.dumps("a" if value == 1 else ["a"]), declared, "value")


def test_types_without_end_do_not_fill_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared_types, "_finished", {})
    monkeypatch.setattr(declared_types, "_MOST_FINISHED", 10)
    for number in range(30):
        made = dataclasses.make_dataclass(f"Made{number}", [("number", int)])
        assert values.decode(b'{"number":1}', made, "made") == made(1)
        assert 0 < len(declared_types._finished) <= 10


def test_what_is_nested_too_deep_is_a_typed_error() -> None:
    encoded = b'{"name":"a","children":[' * 400 + b"]}" * 400
    with pytest.raises(NotDecodableError, match="too deep"):
        values.decode(encoded, Tree, "tree")


@pytest.mark.parametrize(
    ("encoded", "declared", "value"),
    [
        (b'{"1":"a","-20":"b"}', dict[int, str], {1: "a", -20: "b"}),
        (b'{"1.5":1}', dict[float, int], {1.5: 1}),
        (b'{"true":1}', dict[bool, int], {True: 1}),
        (b'{"a":1}', dict[str, int], {"a": 1}),
        (b"[3,1,3]", set[int], {1, 3}),
        (b'["a"]', frozenset[str], frozenset("a")),
        (b"[[1,2]]", set[tuple[int, int]], {(1, 2)}),
    ],
)
def test_keys_and_sets_arrive_as_declared(encoded: bytes, declared: Any, value: Any) -> None:
    decoded = values.decode(encoded, declared, "value")
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    ("encoded", "declared", "part"),
    [
        (b'{"a":1}', dict[int, int], r"key of value\['a'\]: expected an integer as text, found 'a'"),
        (b'{"yes":1}', dict[bool, int], "true or false"),
        (b"[1]", set[str], r"value\[0\]: expected text"),
        (b"[[1]]", set[Any], "cannot be those of a set"),
        (b"{}", set[int], "expected an array"),
    ],
)
def test_wrong_keys_and_elements_are_named(encoded: bytes, declared: Any, part: str) -> None:
    with pytest.raises(NotDecodableError, match=part):
        values.decode(encoded, declared, "value")


class Amount(pydantic.BaseModel):
    cents: int


@dataclasses.dataclass
class Purse:
    amounts: list[Amount]


LARGE = 2**64 + 1


@pytest.mark.parametrize(
    ("encoded", "declared", "value"),
    [
        ("%d", int, LARGE),
        ("%d", decimal.Decimal, decimal.Decimal(LARGE)),
        ('{"a":[1,-%d]}', dict[str, list[int]], {"a": [1, -LARGE]}),
        ('{"cents":%d}', Amount, Amount(cents=LARGE)),
        ('{"amounts":[{"cents":1},{"cents":%d}]}', Purse, Purse([Amount(cents=1), Amount(cents=LARGE)])),
        ("%d", float, float(LARGE)),
        ("%d", None, float(LARGE)),
    ],
    ids=str,
)
def test_an_integer_beyond_64_bits_is_exact_where_one_is_declared(encoded: str, declared: Any, value: Any) -> None:
    found = values.decode((encoded % LARGE).encode(), declared, "value")
    assert found == value
    assert type(found) is type(value)


def test_what_is_no_integer_is_refused_where_one_is_declared_however_many_digits_it_has() -> None:
    with pytest.raises(NotDecodableError, match=r"expected an integer, found 1\.5"):
        values.decode(b"1.50000000000000000000000000", int, "value")
    assert values.decode(b"18446744073709551615", int, "value") == 2**64 - 1


@pytest.mark.parametrize("nested", [lambda union: union, lambda union: list[union]], ids=["itself", "in a list"])
def test_the_order_of_a_union_is_that_of_its_own_declaration(nested: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared_types, "_finished", {})
    one_way, other_way = nested(int | float), nested(float | int)
    text = b"1" if one_way == int | float else b"[1]"
    for _ in range(2):
        for declared, number_class in ((one_way, int), (other_way, float), (nested(int | float), int)):
            found = values.decode(text, declared, "value")
            assert type(found[0] if isinstance(found, list) else found) is number_class
