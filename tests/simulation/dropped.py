"""What the limits of kept work have dropped in one worker, by id: that may be done and paid again, and nothing else."""

from __future__ import annotations

from typing import Any

from flink_actions.engine.dispatcher import Dispatcher
from flink_actions.engine.invocation import Succeeded
from flink_actions.engine.kept import KeptWork

__all__ = ["DroppedWork", "WatchedDispatcher"]


class DroppedWork:
    """Grows while things happen."""

    def __init__(self) -> None:
        # Of Results: invocation id, and the memory that they were computed on.
        self.results: set[tuple[str, bytes]] = set()
        # Invocations that have lost call records.
        self.calls: set[str] = set()

    def watch(self, kept: KeptWork) -> None:
        """See what this drops from now on."""
        drop_oldest = kept._drop_oldest

        def drop_and_note() -> bool:
            results, calls = _results_of(kept), set(kept._calls)
            has_dropped = drop_oldest()
            self.results |= {(name.hex(), version) for name, version in results - _results_of(kept)}
            self.calls |= {name.hex() for name in calls - set(kept._calls)}
            return has_dropped

        kept._drop_oldest = drop_and_note  # type: ignore[method-assign]


class WatchedDispatcher(Dispatcher):
    """Whose kept work is watched."""

    def __init__(self, dropped: DroppedWork, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._dropped = dropped

    def _kept_work(self, namespace: str, operator_uid: str) -> KeptWork:
        known = self._kept.get((namespace, operator_uid))
        kept = super()._kept_work(namespace, operator_uid)
        if kept is not known:
            self._dropped.watch(kept)
        return kept


def _results_of(kept: KeptWork) -> set[tuple[bytes, bytes]]:
    sent = [outcome for frames in kept._frames.values() for frame in frames for outcome in frame.outcomes]
    invocations = [one.invocation for one in sent if isinstance(one, Succeeded) and one.invocation is not None]
    return {(one.invocation_id, one.memory_version) for one in invocations} | set(kept._results)
