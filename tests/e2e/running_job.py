"""A job that runs on a cluster, as the JobManager's REST interface shows it."""

from __future__ import annotations

import time
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

_REQUEST_SECONDS = 10.0
_TERMINAL = ("FINISHED", "FAILED", "CANCELED")


class Rest:
    """The JobManager's answers, as JSON."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get(self, path: str) -> Any:
        """Raises `URLError` if the JobManager does not answer."""
        return self._ask(urllib.request.Request(self._address + path))

    def patch(self, path: str) -> Any:
        return self._ask(urllib.request.Request(self._address + path, method="PATCH"))

    def _ask(self, request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, timeout=_REQUEST_SECONDS) as answer:
            content = answer.read()
        return orjson.loads(content) if content else {}


@dataclass(frozen=True)
class Checkpoint:
    """One that was completed; seconds of the wall clock."""

    number: int
    triggered_at: float
    completed_at: float


@dataclass(frozen=True)
class Failure:
    """What made the job restart; seconds of the wall clock."""

    at: float
    stack: str

    @property
    def message(self) -> str:
        """The stack's first line."""
        return self.stack.splitlines()[0]


class RunningJob:
    """Asks anew each time; Flink's answers are as old as its `web.refresh-interval`."""

    def __init__(self, rest: Rest, job_id: str) -> None:
        self._rest = rest
        self.id = job_id

    def state(self) -> str:
        return str(self._rest.get(f"/jobs/{self.id}")["state"])

    def await_running(self, seconds: float = 60.0) -> None:
        """Until every task runs."""
        deadline = time.monotonic() + seconds
        while not self.is_running():
            assert time.monotonic() < deadline, f"the job does not run after {seconds:g} s: {self.failures()}"
            time.sleep(0.1)

    def is_running(self) -> bool:
        """Whether every task runs; raises `AssertionError` if the job has ended."""
        job = self._rest.get(f"/jobs/{self.id}")
        assert job["state"] not in _TERMINAL, f"the job is {job['state']}: {self.failures()}"
        return job["state"] == "RUNNING" and all(vertex["status"] == "RUNNING" for vertex in job["vertices"])

    def restarts(self) -> int:
        """How often it has been restarted. Flink counts in a metric, which lags by its update interval."""
        metrics = self._rest.get(f"/jobs/{self.id}/metrics?get=numRestarts")
        return max([int(metric["value"]) for metric in metrics], default=0)

    def counter(self, name: str) -> int:
        """The sum of a counter of ours over the subtasks since they started last; 0 until Flink has asked for it."""
        total = 0.0
        for vertex in self._rest.get(f"/jobs/{self.id}")["vertices"]:
            path = f"/jobs/{self.id}/vertices/{vertex['id']}/subtasks/metrics"
            for metric in [one["id"] for one in self._rest.get(path) if one["id"].endswith(f".{name}")]:
                total += sum(one["sum"] for one in self._rest.get(f"{path}?get={quote(metric)}&agg=sum"))
        return round(total)

    def task_managers(self) -> set[str]:
        """Names of those that tasks run on."""
        return {
            str(host["taskmanager-id"])
            for vertex in self._rest.get(f"/jobs/{self.id}")["vertices"]
            for host in self._rest.get(f"/jobs/{self.id}/vertices/{vertex['id']}/taskmanagers")["taskmanagers"]
            if host["status"] == "RUNNING"
        }

    def checkpoints(self) -> list[Checkpoint]:
        """Those completed, the oldest first; Flink keeps `web.checkpoints.history` of them."""
        history = self._rest.get(f"/jobs/{self.id}/checkpoints")["history"]
        completed = [
            Checkpoint(one["id"], one["trigger_timestamp"] / 1e3, one["latest_ack_timestamp"] / 1e3)
            for one in history
            if one["status"] == "COMPLETED" and not one["is_savepoint"]
        ]
        return sorted(completed, key=lambda one: one.number)

    def failures(self) -> list[Failure]:
        """What made it restart, the oldest first."""
        entries = self._rest.get(f"/jobs/{self.id}/exceptions?maxExceptions=1000")["exceptionHistory"]["entries"]
        found = [Failure(one["timestamp"] / 1e3, str(one["stacktrace"])) for one in entries]
        return sorted(found, key=lambda one: one.at)

    def cancel(self, seconds: float = 30.0) -> None:
        """And wait until it has gone."""
        self._rest.patch(f"/jobs/{self.id}?mode=cancel")
        deadline = time.monotonic() + seconds
        while self.state() not in _TERMINAL:
            assert time.monotonic() < deadline, f"the job is not gone {seconds:g} s after it was cancelled"
            time.sleep(0.1)
