"""Errors that authors raise."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest
from flink_actions import RetryableError


@pytest.mark.parametrize(("after", "seconds"), [(None, None), (2, 2), (1.5, 1.5), (datetime.timedelta(minutes=1), 60)])
def test_the_time_to_wait_is_seconds_or_a_timedelta(after: Any, seconds: float | None) -> None:
    assert RetryableError("busy", after=after).after_seconds == seconds


@pytest.mark.parametrize("after", [math.inf, math.nan])
def test_a_time_to_wait_that_is_not_finite_is_refused(after: float) -> None:
    with pytest.raises(ValueError, match="give a finite time"):
        RetryableError("busy", after=after)


@pytest.mark.parametrize("after", ["5", True, [1]])
def test_a_time_to_wait_that_is_no_time_is_refused(after: Any) -> None:
    with pytest.raises(TypeError, match="give seconds or a timedelta"):
        RetryableError("busy", after=after)
