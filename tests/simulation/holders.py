"""Which workers hold work of earlier starts, as they tell a subtask after Welcome. A model of the operator's holders.

Until all that may hold something have told, or have had their time, nothing is sent. Then an invocation goes to the one
that was the last to work on it, and waits for that one while its stream is broken and it is not given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flink_actions.wire.v1 import session_pb2

if TYPE_CHECKING:
    from tests.simulation.workers import Worker

__all__ = ["Holders"]


class Holders:
    """Of one start of one subtask."""

    def __init__(self) -> None:
        self.told: set[Worker] = set()
        self._awaited_until: dict[Worker, float] = {}
        self._held: dict[Worker, dict[bytes, tuple[int, int]]] = {}

    def wait_for(self, worker: Worker, until: float) -> None:
        """It was there before this start: it may hold something."""
        self._awaited_until[worker] = until

    def are_awaited(self, now: float) -> bool:
        """Whether nobody can know yet where an invocation is held."""
        return bool(self.awaited(now))

    def awaited(self, now: float) -> set[Worker]:
        """Who may yet tell."""
        return {worker for worker, until in self._awaited_until.items() if now < until and worker not in self.told}

    def on_welcome(self, worker: Worker, welcome: session_pb2.Welcome) -> None:
        """A session has begun."""
        if not welcome.tells_holdings:
            self._held.pop(worker, None)
            self.told.add(worker)

    def on_page(self, worker: Worker, page: session_pb2.Holdings) -> None:
        """A part of what it holds."""
        held = self._held.setdefault(worker, {})
        for at, (epoch, attempt) in enumerate(zip(page.epoch, page.attempt, strict=True)):
            name = page.invocations[8 * at : 8 * at + 8]
            held[name] = max(held.get(name, (0, 0)), (epoch, attempt))
        if page.is_last:
            self.told.add(worker)

    def on_given_up(self, worker: Worker) -> None:
        """It is dead, or was away for too long, or takes nothing any more."""
        self._held.pop(worker, None)
        self._awaited_until.pop(worker, None)
        self.told.discard(worker)

    def of(self, invocation_id: bytes) -> Worker | None:
        """Who was the last to work on it."""
        name = invocation_id[:8]
        holders = [(held[name], worker) for worker, held in self._held.items() if name in held]
        return max(holders, key=lambda one: one[0])[1] if holders else None

    def on_asked(self, worker: Worker, invocation_id: bytes) -> None:
        """It is sent there; should it come back, another one may be asked."""
        self._held.get(worker, {}).pop(invocation_id[:8], None)

    def on_answered(self, invocation_id: bytes) -> None:
        """What others have of it is behind that."""
        for held in self._held.values():
            held.pop(invocation_id[:8], None)
