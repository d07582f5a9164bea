"""Outcomes that have left, packed away until somebody asks for them, which is seldom.

A busy worker keeps tens of thousands of Results from one checkpoint to the next, and hardly ever looks at one again. As
objects, a dozen each, they take its caches from the work at hand, and to let go of a second's worth of them in one go
stops the event loop for up to 50 ms: a trivial action costs 2 us more, one with memory 6 us. As one string per frame
they cost 0.7 and 1.7 us (benchmarks/engine.py, CPython 3.11).
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from typing import Any

from flink_actions.engine.invocation import MemoryChanges, Outcome, Succeeded, Work

__all__ = ["PackedOutcomes"]

# Of marshal's format: a younger one looks for equal objects, and there are hardly any.
_FORMAT = 2


class PackedOutcomes:
    """Outcomes of one frame, in no particular order. Immutable.

    Args:
        outcomes: Plain Results that may be asked for are packed, whatever else there is stays as it is.
    """

    __slots__ = ("_others", "_packed", "count", "succeeded_count")

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.count = len(outcomes)
        self.succeeded_count = sum([isinstance(one, Succeeded) for one in outcomes])
        self._others = [one for one in outcomes if type(one) is not Succeeded or one.invocation is None]
        try:
            rows = [_row(one) for one in outcomes if type(one) is Succeeded and one.invocation is not None]
            # Read by this process only: it does no harm that the format is nobody's standard. It is the quickest.
            self._packed = marshal.dumps(rows, _FORMAT)
        except ValueError:
            # An author's event type or bytes may be of a class of their own, which marshal does not take.
            self._packed, self._others = marshal.dumps([], _FORMAT), list(outcomes)

    @property
    def size(self) -> int:
        """Bytes of what is packed, and of the rest about."""
        return len(self._packed) + sum([one.cost_bytes for one in self._others])

    def unpack(self) -> list[Outcome]:
        """The outcomes; of invocations what `Work` has."""
        return [*map(_result, marshal.loads(self._packed)), *self._others]


def _row(result: Succeeded) -> tuple[Any, ...]:
    done = result.invocation
    assert done is not None
    changes = result.changes
    return (
        result.handle,
        result.cost_bytes,
        result.events,
        None if changes is None else tuple(changes),
        (done.invocation_id, done.key, done.run_number, done.attempt, done.memory_version),
    )


def _result(row: tuple[Any, ...]) -> Succeeded:
    handle, cost_bytes, events, changes, work = row
    return Succeeded(handle, events, None if changes is None else MemoryChanges(*changes), cost_bytes, Work(*work))
