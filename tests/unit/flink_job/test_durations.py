from __future__ import annotations

import importlib
from datetime import timedelta
from typing import Any

import pytest


def durations() -> Any:
    return importlib.import_module("pyflink_actions.durations")


def test_a_span_of_time_is_a_timedelta_or_seconds_or_flinks_text() -> None:
    given = [timedelta(seconds=1), 1.5, 2, "30 s", None]
    assert [durations().duration_text("run_timeout", one) for one in given] == [
        "1000 ms",
        "1500 ms",
        "2000 ms",
        "30 s",
        None,
    ]


@pytest.mark.parametrize("value", [-1, True, [], float("nan"), float("inf")])
def test_what_is_no_span_of_time_is_an_error_that_names_it(value: Any) -> None:
    with pytest.raises(ValueError, match=r"run_timeout is .*; it is a timedelta, or seconds, not below 0") as raised:
        durations().duration_text("run_timeout", value)
    assert type(raised.value).__name__ == "OptionError"
