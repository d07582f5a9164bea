"""What a world hands over to be judged: what went in, what came out, the ledger, and what was done to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Input:
    """A line of a file: its name, its key, and where it stands."""

    name: str
    key: str
    file: str
    line: int


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Times are seconds of the wall clock."""

    inputs: Sequence[Input]
    outputs: Sequence[Mapping[str, Any]]
    dead_letters: Sequence[Mapping[str, Any]] = ()
    ledger: Sequence[Mapping[str, Any]] = ()
    worker_deaths: Sequence[tuple[int, float]] = ()
    """Of a fault: process id, and when it was seen to be gone."""
    orphan_exits: Sequence[tuple[int, float]] = ()
    """Those that left in good order because a fault had killed their supervisor."""
    worker_exits: Sequence[tuple[int, float]] = ()
    """All others: they left as they were told, which is no reason to make anything again."""
    given_up: Sequence[tuple[int, float, float]] = ()
    """Workers that live and were out of their job's reach for longer than the linger time: process id, when the job may
    have gone elsewhere with what they had, and when they must have ended that themselves."""
    complaints: Sequence[str] = ()
    """What logs and processes say that no fault accounts for."""
    job_failures: Sequence[tuple[float, str]] = ()
    """When Flink failed the job over, and the stack trace of why."""
    losses: Sequence[float] = ()
    """When tasks ended because a TaskManager was killed, or was stopped for so long that it counts as lost."""
    checkpoints: Sequence[tuple[float, float]] = ()
    """Triggered, completed."""
    has_store: bool = False
    """Calls are recorded outside of all that dies."""

    @property
    def task_ends(self) -> list[float]:
        """When tasks of the job ended, whatever the reason."""
        return [*self.losses, *(at for at, _ in self.job_failures)]

    @property
    def record_holders_gone(self) -> list[tuple[int, float]]:
        """Workers that cannot be asked for their records any more although no checkpoint may have had them."""
        return [*self.worker_deaths, *self.orphan_exits]
