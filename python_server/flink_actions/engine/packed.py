"""Outcomes that have left, packed away until somebody asks for them, which is seldom.

A busy worker keeps tens of thousands of Results from one checkpoint to the next, and hardly ever looks at one again. As
objects, a dozen each, they take its caches from the work at hand, and to let go of a second's worth of them in one go
stops the event loop for up to 50 ms: a trivial action costs 2 us more, one with memory 6 us. As two strings per frame
they cost 0.7 and 1.7 us (benchmarks/engine.py, CPython 3.11).

One string has whose the Results are, the other what they say: a checkpoint that completes asks of each whose it is.
Both have a list for each field, which marshal writes and reads faster than a tuple for each Result.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flink_actions.engine.invocation import Failed, HandedBack, Measured, MemoryChanges, Outcome, Succeeded, Work
from flink_actions.engine.metrics import MetricDelta
from flink_actions.sdk.metrics import MetricKind

__all__ = ["PackedOutcomes", "size_of"]

# Of marshal's format: a younger one looks for equal objects, and there are hardly any.
_FORMAT = 2


class PackedOutcomes:
    """Outcomes of one frame, in no particular order. Immutable.

    Args:
        outcomes: Results that may be asked for are packed, whatever else there is stays as it is.
    """

    __slots__ = ("_said", "_whose", "count", "others", "size", "succeeded_count")

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        results = [one for one in outcomes if isinstance(one, Succeeded) and one.invocation is not None]
        self.count = len(outcomes)
        # What is not packed.
        self.others: list[Outcome] = []
        if len(results) < len(outcomes):
            self.others = [one for one in outcomes if not isinstance(one, Succeeded) or one.invocation is None]
        self.succeeded_count = len(results) + sum([isinstance(one, Succeeded) for one in self.others])
        # Read by this process only: it does no harm that the format is nobody's standard. It is the quickest.
        self._whose = marshal.dumps(_whose(results), _FORMAT)
        said = _said(results)
        try:
            self._said = marshal.dumps(said, _FORMAT)
        except ValueError:
            # An author's event type, path or number may be of a class of their own, which marshal does not take.
            self._said = marshal.dumps(_plain(said), _FORMAT)
        # Bytes of what is packed, and of the rest about.
        self.size = len(self._whose) + len(self._said) + sum([size_of(one) for one in self.others])

    def handles(self) -> list[int]:
        """Of all outcomes, without unpacking them."""
        handles: list[int] = marshal.loads(self._whose)[0]
        return [*handles, *[one.handle for one in self.others]]

    def invocations(self) -> Iterator[tuple[bytes, bytes, int, int]]:
        """Id, key, run number and attempt of each Result that is packed, without unpacking it."""
        _, ids, keys, run_numbers, attempts, _ = marshal.loads(self._whose)
        return zip(ids, keys, run_numbers, attempts, strict=True)

    def unpack(self) -> list[Outcome]:
        """The outcomes; of invocations what `Work` has."""
        handles, *work = marshal.loads(self._whose)
        costs, events, changes, measured = marshal.loads(self._said)
        results = [
            Succeeded(handle, sent, None if changed is None else MemoryChanges(*changed), cost, done)
            for handle, sent, changed, cost, done in zip(handles, events, changes, costs, map(Work, *work), strict=True)
        ]
        for place, is_handed_back, ran_ms, metrics in measured:
            one = results[place]
            form = HandedBack if is_handed_back else Measured
            deltas = [MetricDelta(path, of_action, MetricKind(kind), *rest) for path, of_action, kind, *rest in metrics]
            results[place] = form(one.handle, one.events, one.changes, one.cost_bytes, one.invocation, deltas, ran_ms)
        return [*results, *self.others]


def size_of(outcome: Outcome) -> int:
    """Bytes of what an outcome says, about."""
    if isinstance(outcome, Failed):
        size = len(outcome.exception) + len(outcome.message) + len(outcome.stack)
    elif isinstance(outcome, Succeeded):
        size = sum([len(event_type) + len(payload) for event_type, payload, _ in outcome.events])
        if outcome.changes is not None:
            for entries in (outcome.changes.sensory, outcome.changes.short_term):
                size += sum([len(path) + len(value) for path, value in entries.items()])
    else:
        return 0
    return size + sum([delta.size for delta in outcome.metrics])


def _whose(results: Sequence[Succeeded]) -> tuple[list[Any], ...]:
    done = [one.invocation for one in results if one.invocation is not None]
    return (
        [one.handle for one in results],
        [one.invocation_id for one in done],
        [one.key for one in done],
        [one.run_number for one in done],
        [one.attempt for one in done],
        [one.memory_version for one in done],
    )


def _said(results: Sequence[Succeeded]) -> tuple[list[Any], ...]:
    return (
        [one.cost_bytes for one in results],
        [one.events for one in results],
        [None if (changes := one.changes) is None else tuple(changes) for one in results],
        # Of few, or of all: with their places.
        [
            (
                place,
                isinstance(one, HandedBack),
                one.ran_ms,
                [(path, of_action, kind.value, *rest) for path, of_action, kind, *rest in one.metrics],
            )
            for place, one in enumerate(results)
            if type(one) is not Succeeded
        ],
    )


def _plain(value: Any) -> Any:
    """The same in classes of Python's own."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, Mapping):
        return {_plain(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    return value
