"""Ends workers whose event loop is blocked for good: they take sessions, and answer nobody.

A worker is not ready long before (see `health`); here it is given up. What is counted are looks of the supervisor's own
loop at which nothing had come since the last, not seconds: a machine that is stopped, or so busy that nobody moves,
stops the count too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from flink_actions.server.worker_process import WorkerProcess

__all__ = ["LOOK_SECONDS", "Watchdog"]

_log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often to look; workers send a heartbeat as often."""


class Watchdog:
    """Of one supervisor.

    Args:
        limit_seconds: How long a worker may say nothing; 0: for ever.
    """

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        # Incarnation → when its last heartbeat came, and looks since then.
        self._silent: dict[bytes, tuple[float, int]] = {}

    def look(self, workers: Iterable[WorkerProcess]) -> None:
        """Called every `LOOK_SECONDS`, with those that live."""
        if not self._limit_seconds:
            return
        before, self._silent = self._silent, {}
        for worker in workers:
            if not worker.has_served:
                continue
            incarnation, heartbeat = worker.status.incarnation, worker.last_heartbeat
            known_heartbeat, looks = before.get(incarnation, (heartbeat, -1))
            looks = looks + 1 if heartbeat == known_heartbeat else 0
            self._silent[incarnation] = (heartbeat, looks)
            if looks * LOOK_SECONDS >= self._limit_seconds:
                self._end(worker)

    def _end(self, worker: WorkerProcess) -> None:
        _log.error(
            "worker %s (pid %d): its event loop has not moved for %g s, as when an action computes or waits without "
            "`await`: it is killed and replaced (--blocked-limit-seconds)",
            worker.name,
            worker.pid,
            self._limit_seconds,
        )
        worker.end_blocked(self._limit_seconds)
