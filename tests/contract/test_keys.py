"""Keys as they travel, against the cases that JUnit reads too (KeyCasesTest).

The operator makes the text, the SDK reads it for `ctx.key`; what stands here is the rule once more, in the plainest
Python, so that two readings of it have to agree.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flink_actions.engine.identity import key_value

CASES = json.loads((Path(__file__).parent / "cases" / "keys.json").read_text())
TEXTS = {"STRING", "CHAR"}
INTEGERS = {"BYTE", "SHORT", "INT", "LONG", "BIG_INT"}
MOST_DIGITS = 1000


def text_of(of: dict[str, Any]) -> str:
    """Canonical text of one field.

    Raises:
        ValueError: It cannot be part of a key.
    """
    kind, value = of["type"], of["value"]
    if value is None:
        raise ValueError("is null")
    if kind in TEXTS:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError("surrogate") from error
        return json.dumps(value, ensure_ascii=False)
    if kind == "BOOLEAN":
        assert value in ("true", "false")
        return str(value)
    if kind in INTEGERS:
        return str(int(value))
    if kind == "BIG_DEC":
        return decimal_text(Decimal(value))
    raise ValueError("cannot be a key")


def decimal_text(value: Decimal) -> str:
    if value == 0:
        return "0"
    if not -MOST_DIGITS <= value.adjusted() < MOST_DIGITS:
        raise ValueError("digits")
    plain = format(value, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def key_text(values: list[dict[str, Any]]) -> str:
    texts = [text_of(one) for one in values]
    return texts[0] if len(texts) == 1 else f"[{','.join(texts)}]"


@pytest.mark.parametrize("case", CASES["fields"], ids=lambda case: case["name"])
def test_field_values_have_one_canonical_text(case: dict[str, Any]) -> None:
    assert key_text(case["values"]) == case["key"]


@pytest.mark.parametrize("case", CASES["fields"], ids=lambda case: case["name"])
def test_an_action_sees_the_value_of_the_key(case: dict[str, Any]) -> None:
    value = key_value(case["key"].encode())
    assert value == case["python"]
    assert repr(value) == repr(case["python"])  # 1 is not 1.0, nor True


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["name"])
def test_what_cannot_be_a_key_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=case["error"]):
        key_text(case["values"])


@pytest.mark.parametrize("case", CASES["json"], ids=lambda case: case["record"])
def test_a_json_records_key_is_that_of_its_fields(case: dict[str, Any]) -> None:
    def first_of_a_name_counts(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(reversed(pairs))

    record = json.loads(case["record"], parse_float=Decimal, object_pairs_hook=first_of_a_name_counts)
    kinds = {str: "STRING", bool: "BOOLEAN", int: "BIG_INT", Decimal: "BIG_DEC"}
    values = [record[name] for name in case["fields"]]
    typed = [{"type": kinds[type(one)], "value": str(one).lower() if type(one) is bool else str(one)} for one in values]
    assert key_text(typed) == case["key"]


def test_equal_texts_are_equal_keys_and_no_others_are() -> None:
    texts: dict[str, set[str]] = {}
    for case in CASES["fields"]:
        texts.setdefault(case["key"], set()).add(repr(case["python"]))
    assert all(len(values) == 1 for values in texts.values()), texts
    assert len(set(map(repr, (case["python"] for case in CASES["fields"])))) == len(texts)
