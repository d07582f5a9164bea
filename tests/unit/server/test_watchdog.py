"""When a worker that says nothing is given up."""

from __future__ import annotations

import itertools
from typing import Any

from flink_actions.server.directory import WorkerStatus
from flink_actions.server.watchdog import Watchdog
from flink_actions.wire.v1 import directory_pb2


class Worker:
    """What the watchdog sees of one, and does to it."""

    name, pid, has_served = "w0", 1, True

    def __init__(self) -> None:
        self.status = WorkerStatus("w0", b"i" * 16, directory_pb2.WorkerEntry.SERVING)
        self.last_heartbeat = 0.0
        self.ended = 0

    def end_blocked(self, blocked_seconds: float) -> None:
        self.ended += 1


def test_a_worker_has_as_many_looks_as_the_limit_has_seconds_and_is_ended_until_it_is_gone() -> None:
    worker: Any = Worker()
    watchdog = Watchdog(3.0)
    ended = [(watchdog.look([worker]), worker.ended)[1] for _ in range(6)]
    # The first look only learns what there is.
    assert ended == [0, 0, 0, 1, 2, 3]


def test_each_heartbeat_gives_it_all_of_that_time_again() -> None:
    worker: Any = Worker()
    watchdog = Watchdog(3.0)
    for beat in itertools.count(1.0):
        worker.last_heartbeat = beat
        for _ in range(3):
            watchdog.look([worker])
        if beat == 5.0:
            break
    assert not worker.ended


def test_time_in_which_the_supervisor_itself_did_not_move_does_not_count() -> None:
    worker: Any = Worker()
    watchdog = Watchdog(300.0)
    watchdog.look([worker])
    # An hour later: the last heartbeat is as old as that.
    watchdog.look([worker])
    assert not worker.ended


def test_one_that_has_not_served_yet_is_somebody_elses_to_watch_and_without_a_limit_nobody_is_ended() -> None:
    worker: Any = Worker()
    worker.has_served = False
    watchdog, without_limit = Watchdog(1.0), Watchdog(0.0)
    for _ in range(10):
        watchdog.look([worker])
    worker.has_served = True
    for _ in range(10):
        without_limit.look([worker])
    assert not worker.ended
