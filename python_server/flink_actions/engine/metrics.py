"""What one attempt has counted and measured, until it leaves with the attempt's outcome."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from flink_actions.engine.references import ResourceKey
from flink_actions.sdk.metrics import MetricGroup, MetricKind

_log = logging.getLogger(__name__)

# Bounds of one attempt, about what it takes on the wire: observations in a loop must not make a Result too large.
_MOST_BYTES = 64 << 10
# Of one delta beside its names.
DELTA_BYTES = 32


class MetricDelta(NamedTuple):
    """A change of one metric.

    Args:
        path: Names of groups, then of the metric.
        is_of_action: It belongs to the action's group, not to the agent's.
        kind: What it is.
        value: Added, marked, set or observed.
        is_of_server: Not one of the author's.
    """

    path: tuple[str, ...]
    is_of_action: bool
    kind: MetricKind
    value: float
    is_of_server: bool = False

    @property
    def size(self) -> int:
        """Never less than its bytes on the wire."""
        return DELTA_BYTES + sum(4 + 4 * len(name) for name in self.path)


class AttemptMetrics:
    """Changes of one attempt. Used from any thread of it.

    Args:
        refuse: Raises, and says why: the attempt has ended.
    """

    __slots__ = ("_deltas", "_is_ended", "_lock", "_observed", "_refuse", "_size", "agent", "own")

    def __init__(self, refuse: Callable[[str], None]) -> None:
        self._refuse = refuse
        self._lock = threading.Lock()
        # Counters, meters and gauges have one each; observations are kept apart.
        self._deltas: dict[tuple[tuple[str, ...], bool, MetricKind, bool], float] = {}
        self._observed: list[MetricDelta] = []
        self._size = 0
        self._is_ended = False
        self.agent = MetricGroup(_Side(self, is_of_action=False))
        self.own = MetricGroup(_Side(self, is_of_action=True))

    def record(self, delta: MetricDelta) -> None:
        """Take a change; one beyond the bounds is dropped."""
        with self._lock:
            if self._is_ended:
                self._refuse("its metrics")
            name = (delta.path, delta.is_of_action, delta.kind, delta.is_of_server)
            known = self._deltas.get(name)
            if known is not None:
                self._deltas[name] = delta.value if delta.kind is MetricKind.GAUGE else known + delta.value
                return
            size = delta.size
            if self._size + size > _MOST_BYTES:
                if self._size <= _MOST_BYTES:
                    _log.warning("more metrics than one attempt may send; dropped from %s on", ".".join(delta.path))
                self._size = _MOST_BYTES + 1
                return
            self._size += size
            if delta.kind is MetricKind.HISTOGRAM:
                self._observed.append(delta)
            else:
                self._deltas[name] = delta.value

    def count_wait(self, resource: ResourceKey, seconds: float) -> None:
        """Code of the attempt has waited so long for a permit of a resource."""
        kind, name = resource
        path = ("resource", kind.value, name)
        micros = round(seconds * 1e6)
        self.record(MetricDelta((*path, "permitWaits"), False, MetricKind.COUNTER, 1, is_of_server=True))
        self.record(MetricDelta((*path, "permitWaitMicros"), False, MetricKind.COUNTER, micros, is_of_server=True))

    def end(self) -> None:
        """The attempt has ended: from now on a change is an error."""
        with self._lock:
            self._is_ended = True

    def deltas(self) -> Sequence[MetricDelta]:
        """All changes."""
        with self._lock:
            changes = [
                MetricDelta(path, is_of_action, kind, value, is_of_server)
                for (path, is_of_action, kind, is_of_server), value in self._deltas.items()
            ]
            return [*changes, *self._observed]


class _Side:
    """The agent's or the action's."""

    __slots__ = ("_is_of_action", "_metrics")

    def __init__(self, metrics: AttemptMetrics, is_of_action: bool) -> None:
        self._metrics = metrics
        self._is_of_action = is_of_action

    def record(self, path: tuple[str, ...], kind: MetricKind, value: float) -> None:
        self._metrics.record(MetricDelta(path, self._is_of_action, kind, value))
