"""User metrics: what an action counts and measures, in Flink's metric system.

A change of a metric leaves with the outcome of the attempt that made it, also when that has failed, and the operator
applies it to Flink's own counter, meter, gauge or histogram. At least once: an attempt that is repeated counts again,
and one that dies with its worker does not count. The values are in Flink; they cannot be read here.
"""

from __future__ import annotations

import enum
import math
from typing import Protocol

_LONGEST_NAME = 255
_DEEPEST = 16


class MetricKind(enum.Enum):
    """What a metric is. Values are those of the wire."""

    COUNTER = 1
    METER = 2
    GAUGE = 3
    HISTOGRAM = 4


class MetricRecorder(Protocol):
    """Whoever takes the changes."""

    def record(self, path: tuple[str, ...], kind: MetricKind, value: float) -> None: ...


class _Metric:
    __slots__ = ("_path", "_recorder")

    def __init__(self, recorder: MetricRecorder, path: tuple[str, ...]) -> None:
        self._recorder = recorder
        self._path = path


class Counter(_Metric):
    """A count that goes up and down."""

    __slots__ = ()

    def inc(self, count: int = 1) -> None:
        """Add to it."""
        self._recorder.record(self._path, MetricKind.COUNTER, _whole(count, self._path))

    def dec(self, count: int = 1) -> None:
        """Take from it."""
        self._recorder.record(self._path, MetricKind.COUNTER, -_whole(count, self._path))


class Meter(_Metric):
    """Events, of which Flink shows count and rate."""

    __slots__ = ()

    def mark(self, count: int = 1) -> None:
        """So many have happened."""
        self._recorder.record(self._path, MetricKind.METER, _whole(count, self._path))


class Gauge(_Metric):
    """A number as it is now."""

    __slots__ = ()

    def update(self, value: float) -> None:
        """It is this."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"gauge {'.'.join(self._path)!r} takes a finite number, not {value!r}")
        self._recorder.record(self._path, MetricKind.GAUGE, float(value))


class Histogram(_Metric):
    """Observed whole numbers, of which Flink shows quantiles."""

    __slots__ = ()

    def update(self, value: int) -> None:
        """One was this."""
        self._recorder.record(self._path, MetricKind.HISTOGRAM, _whole(value, self._path))


class MetricGroup:
    """Metrics by name, and groups within it. What one name stands for is one kind of metric.

    Example:
        >>> ctx.action_metric_group.counter("tokens").inc(42)  # doctest: +SKIP
        >>> ctx.agent_metric_group.group("model", "large").histogram("millis").update(310)  # doctest: +SKIP
    """

    __slots__ = ("_path", "_recorder")

    def __init__(self, recorder: MetricRecorder, path: tuple[str, ...] = ()) -> None:
        self._recorder = recorder
        self._path = path

    def group(self, *names: str) -> MetricGroup:
        """A group within this one, or one within that."""
        path = self._path
        for name in names:
            path = self._below(name, path)
        return MetricGroup(self._recorder, path)

    def counter(self, name: str) -> Counter:
        """The counter of that name."""
        return Counter(self._recorder, self._below(name, self._path))

    def meter(self, name: str) -> Meter:
        """The meter of that name."""
        return Meter(self._recorder, self._below(name, self._path))

    def gauge(self, name: str) -> Gauge:
        """The gauge of that name."""
        return Gauge(self._recorder, self._below(name, self._path))

    def histogram(self, name: str) -> Histogram:
        """The histogram of that name."""
        return Histogram(self._recorder, self._below(name, self._path))

    # As flink-agents names them.
    get_sub_group = group
    get_counter = counter
    get_meter = meter
    get_gauge = gauge
    get_histogram = histogram

    @staticmethod
    def _below(name: str, path: tuple[str, ...]) -> tuple[str, ...]:
        if not isinstance(name, str) or not name or len(name) > _LONGEST_NAME or not name.isprintable():
            raise ValueError(f"a metric's name is printable text of 1 to {_LONGEST_NAME} characters, not {name!r}")
        if len(path) >= _DEEPEST:
            raise ValueError(f"metric {name!r} is more than {_DEEPEST} groups deep: {'.'.join(path)}")
        return (*path, name)


def _whole(value: int, path: tuple[str, ...]) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 53:
        raise ValueError(f"metric {'.'.join(path)!r} takes a whole number of up to 53 bits, not {value!r}")
    return value
