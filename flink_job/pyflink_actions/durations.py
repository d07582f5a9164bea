"""Spans of time as users give them."""

from __future__ import annotations

import math
from datetime import timedelta

from pyflink_actions.errors import OptionError

Duration = timedelta | float | str
"""A timedelta, seconds, or Flink's text ("30 s")."""


def duration_text(name: str, value: Duration | None) -> str | None:
    """As Flink reads it."""
    if value is None or isinstance(value, str):
        return value
    return f"{milliseconds(name, value)} ms"


def milliseconds(name: str, value: timedelta | float) -> int:
    """Raises: OptionError: It is no span of time."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not math.isfinite(seconds) or seconds < 0:
        raise OptionError(f"{name} is {value!r}; it is a timedelta, or seconds, not below 0")
    return round(seconds * 1000)
