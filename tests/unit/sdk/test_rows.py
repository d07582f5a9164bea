from __future__ import annotations

import copy
import datetime
import pickle
from dataclasses import dataclass
from decimal import Decimal

import pytest
from flink_actions import NotDecodableError, NotEncodableError, Row
from flink_actions.sdk import values


def test_fields_are_reached_by_index_by_name_and_as_attributes() -> None:
    row = Row(name="ann", age=11)
    assert (row[0], row["name"], row.name, row[-1]) == ("ann", "ann", "ann", 11)
    assert list(row) == ["ann", 11]
    assert (len(row), "ann" in row, "bob" in row) == (2, True, False)
    assert dict(row) == row.as_dict() == {"name": "ann", "age": 11}


def test_fields_can_be_set_but_none_added() -> None:
    row = Row(name="ann", age=11)
    row.name, row["age"] = "bob", 12
    row[1] += 1
    assert row == Row(name="bob", age=13)
    with pytest.raises(AttributeError, match="'size'; this Row has name, age"):
        row.size = 1
    with pytest.raises(KeyError, match="this Row has name, age"):
        row["size"] = 1


def test_names_may_come_first_as_in_pyflink() -> None:
    person = Row("name", "age")
    assert person("ann", 11) == Row(name="ann", age=11)
    for values_ in [("ann",), ("ann", 11, 12)]:
        with pytest.raises(ValueError, match="2 names"):
            person(*values_)
    with pytest.raises(ValueError, match="each there once"):
        Row("name", "name")(1, 2)


def test_values_and_named_fields_do_not_mix() -> None:
    with pytest.raises(ValueError, match="1 values and age"):
        Row("ann", age=11)


def test_what_is_not_there_is_named_with_what_is() -> None:
    row = Row(name="ann")
    with pytest.raises(AttributeError, match="'nme'; this Row has name"):
        _ = row.nme
    with pytest.raises(KeyError, match="'nme'; this Row has name"):
        row["nme"]
    with pytest.raises(TypeError, match="without names"):
        Row(1).as_dict()


@pytest.mark.parametrize("row", [Row(), Row(1, None), Row(self=1, _names=2, a=[Row(b=1)])], ids=repr)
def test_a_row_survives_copies_and_pickles(row: Row) -> None:
    assert copy.deepcopy(row) == row == pickle.loads(pickle.dumps(row))
    assert copy.copy(row) == row


def test_as_dict_goes_down_when_it_is_told_to() -> None:
    row = Row(a=Row(b=1), c=[Row(d=2)], e={"f": Row(g=3)})
    assert row.as_dict(recursive=True) == {"a": {"b": 1}, "c": [{"d": 2}], "e": {"f": {"g": 3}}}
    assert row.as_dict()["a"] == Row(b=1)


def test_a_row_travels_as_an_object_or_without_names_as_an_array() -> None:
    row = Row(at=datetime.date(2024, 2, 29), sums=[Row(Decimal("1.50"), b"\x00")], none=None)
    assert values.encode(row, "output") == b'{"at":"2024-02-29","sums":[["1.50","AA=="]],"none":null}'


def test_a_declared_row_has_rows_within() -> None:
    row = values.decode(b'{"a": {"b": null}, "c": [{"d": 2}], "self": 1}', Row, "input")
    assert row == Row(a=Row(b=None), c=[Row(d=2)], self=1)
    assert values.decode(b'[1, {"b": 2}]', Row, "input") == Row(1, Row(b=2))
    with pytest.raises(NotDecodableError, match="expected the fields of a Row, found 'ann'"):
        values.decode(b'"ann"', Row, "input")


def test_an_object_without_fields_comes_back_as_one() -> None:
    row = values.decode(b'{"map": {}, "list": []}', Row, "input")
    assert dict(row.map) == {}
    assert values.encode(row, "output") == b'{"map":{},"list":[]}'
    assert values.encode(Row(), "output") == b"[]"


def test_a_row_may_be_part_of_a_declared_type() -> None:
    @dataclass
    class Order:
        lines: list[Row]
        customer: Row | None

    order = Order([Row(n=1), Row(n=2)], None)
    assert values.decode(values.encode(order, "output"), list[Row] | Order, "input") == order


def test_what_a_row_holds_and_cannot_travel_is_named_with_its_path() -> None:
    with pytest.raises(NotEncodableError, match=r"output\['a'\]\['b'\]"):
        values.encode(Row(a=Row(b=object())), "output")
    with pytest.raises(NotEncodableError, match=r"output\['a'\]\[0\]"):
        values.encode(Row(a=Row(float("nan"))), "output")
