"""What is hurt: a cluster, a server, a proxy between them, a job on the cluster, and whoever feeds it.

All of them are real processes, and every one is ended with the world. The world knows what was put in and when
something of it died; whether the job kept its promises is judged in verdict.py, from the files alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.chaos.broker import KafkaBroker
from tests.chaos.evidence import Evidence, Input
from tests.chaos.logs import complaints
from tests.chaos.proxy import HOST, SERVER_HOST, Proxy, listening_ports
from tests.e2e.running_job import RunningJob
from tests.e2e.standalone_cluster import StandaloneCluster, TaskManager
from tests.support.free_ports import free_port
from tests.support.running_server import RunningServer

HERE = Path(__file__).parent
JOB_PYTHON = HERE.parents[1] / ".venv-job" / "bin" / "python"

# Flink notices a TaskManager that says nothing after this; the default is 50 s.
HEARTBEAT_SECONDS = 5.0
# What a stalled connection or a stopped process is given before a worker gives up on its job.
LINGER_SECONDS = 10.0
# And what the job gives it on top of that before it goes elsewhere.
GRACE_SECONDS = 2.0

_CLUSTER = {
    "heartbeat.interval": "400 ms",
    "heartbeat.timeout": f"{HEARTBEAT_SECONDS:g} s",
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "1000",
    "restart-strategy.fixed-delay.delay": "200 ms",
    "execution.checkpointing.interval": "1 s",
    "execution.checkpointing.tolerable-failed-checkpoints": "1000",
    # A checkpoint that was under way when its TaskManager died must not hold up all that come after it.
    "execution.checkpointing.timeout": "10 s",
    "web.checkpoints.history": "10000",
    "web.exception-history-size": "1000",
    "web.refresh-interval": "200 ms",
    "metrics.fetcher.update-interval": "500 ms",
    "jobmanager.memory.process.size": "800m",
    "taskmanager.memory.process.size": "1200m",
}
_KEYS = 100
_FEED_SECONDS = 0.25
_LINES_PER_FEED = 9
_WATCH_SECONDS = 0.1
# Within this time after it was stopped a worker has noticed, and ended what is its own no more.
_NOTICED_SECONDS = 3.0
_SETTLE_SECONDS = 120.0
# Folders, and after how many feeds a file is written. One partition has few large files and the other many small ones:
# read again at full speed, they come interleaved otherwise than when they were written.
_PARTITIONS = {"left": 1, "right": 4}


@dataclass(frozen=True)
class Death:
    """A worker process that is there no more, whatever ended it: a fault, or it left."""

    pid: int
    at: float


@dataclass
class World:
    """`with World(folder, workers=2) as world:`; the job runs and is fed from then on.

    Args:
        folder: Empty; ledger, inputs, outputs, checkpoints and logs lie in it afterwards.
        workers: Processes that run actions.
        task_managers: One has the job, the others are spare.
        durability: Level of the agent's calls, "checkpoint" or "synchronous"; the latter's records are in a broker.
        seed: Of what the feeder writes.
        linger_seconds: How long a worker goes on without its job.
        settings: Of Flink, over those that chaos wants.
    """

    folder: Path
    workers: int = 2
    task_managers: int = 2
    durability: str = "checkpoint"
    seed: int = 0
    linger_seconds: float = LINGER_SECONDS
    settings: Mapping[str, str] = field(default_factory=dict)
    inputs: list[Input] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    """When tasks ended because a TaskManager was killed, or was stopped for so long that it counts as lost."""
    given_up: list[tuple[int, float, float]] = field(default_factory=list)
    """As in the evidence."""
    broker: KafkaBroker | None = field(default=None, init=False)
    """At level synchronous."""
    _failures: int = field(default=0, init=False)
    _killed: set[int] = field(default_factory=set, init=False)
    """Workers that a fault was the end of."""
    _orphaned: set[int] = field(default_factory=set, init=False)
    """Workers that a fault left without a supervisor: they finish what they do, and leave."""
    _seen_workers: set[int] = field(default_factory=set, init=False)
    _lives: list[_Life] = field(default_factory=list, init=False)
    _killed_task_managers: set[str] = field(default_factory=set, init=False)

    def __enter__(self) -> World:
        self._stack = contextlib.ExitStack()
        self._ended = threading.Event()
        self._fed = threading.Event()
        self._lock = threading.Lock()
        self._outputs = CommittedLines(self.folder / "outputs")
        with contextlib.ExitStack() as stack:
            self._build(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _build(self, stack: contextlib.ExitStack) -> None:
        for name in (*_PARTITIONS, "server"):
            (self.folder / name).mkdir(parents=True)
        checkpoints = {"execution.checkpointing.dir": (self.folder / "checkpoints").as_uri()}
        settings = {**_CLUSTER, **checkpoints, **self.settings}
        self.cluster = StandaloneCluster(
            JOB_PYTHON, self.folder / "cluster", settings, task_managers=self.task_managers
        )
        store: list[str] = []
        if self.durability == "synchronous":
            self.broker = stack.enter_context(KafkaBroker(self.folder / "broker"))
            store.append(self.broker.address)
        self._port = free_port(SERVER_HOST, HOST)
        stack.callback(self._end_server)
        self._start_server()
        self.proxy = stack.enter_context(Proxy(self._port, self.server_pids))
        stack.enter_context(self.cluster)
        folders = [str(self.folder / name) for name in (*_PARTITIONS, "outputs", "dead_letters")]
        self.job: RunningJob = self.cluster.submit(HERE / "job.py", self.proxy.address, *folders, *store)
        self.job.await_running()
        self._feeder = threading.Thread(target=self._feed, name="feeder")
        for thread in (self._feeder, threading.Thread(target=self._watch_workers, name="watch")):
            thread.start()
            stack.callback(thread.join)
        # Called first: threads end before what they look at does.
        stack.callback(self._ended.set)

    # ---- the server ----

    def _start_server(self) -> None:
        log = self.folder / "server" / f"life-{len(self._lives)}.log"
        flags = ["--workers", str(self.workers), "--spares", "1", "--linger-seconds", f"{self.linger_seconds:g}"]
        server = RunningServer(
            f"{HERE / 'agent.py'}:{self.durability}", listen=f"127.0.0.1:{self._port}", flags=flags, cwd=self.folder
        )
        self._lives.append(_Life(server, log))

    @property
    def _server(self) -> RunningServer:
        return self._lives[-1].running

    def _end_server(self) -> None:
        # They hold the pipe of their server's log.
        for pid in set(self._orphans()) - set(self._server.worker_pids()):
            _signal(pid, signal.SIGKILL)
        for life in self._lives:
            life.close()

    def start_server(self) -> None:
        """After it was killed; returns when it serves. Orphans of the last one may still be there."""
        self._start_server()
        self._server.until_logged("serving 'hurt'")

    def kill_server(self) -> None:
        """SIGKILL to the supervisor and all its workers."""
        pids = self.server_pids()
        self._killed.update(pids)
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        self._server.process.wait()

    def kill_supervisor(self) -> None:
        """SIGKILL to the supervisor alone; its workers finish what they do, and leave."""
        self._orphaned.update(self._server.worker_pids())
        self._server.process.kill()
        self._server.process.wait()

    def kill_worker(self, pid: int) -> None:
        self._killed.add(pid)
        _signal(pid, signal.SIGKILL)

    def abort_worker(self) -> None:
        """The next call that is made anywhere ends its process by `os.abort()`."""
        (self.folder / "abort").touch()

    @contextlib.contextmanager
    def out_of_reach(self, pids: list[int]) -> Iterator[None]:
        """While the job cannot reach these workers, which live."""
        since = time.time()
        yield
        if (until := time.time()) - since > self.linger_seconds:
            last = until + _NOTICED_SECONDS
            self.given_up += [(pid, since + self.linger_seconds, last) for pid in pids]

    def reload_server(self) -> None:
        self._server.process.send_signal(signal.SIGHUP)

    def worker_pids(self) -> list[int]:
        """Those that serve: a spare process listens nowhere yet."""
        return sorted(pid for pid in self._server.worker_pids() if listening_ports([pid]))

    def server_pids(self) -> list[int]:
        """Workers that a killed supervisor has left behind are of it, too, while they live."""
        return [self._server.process.pid, *self._server.worker_pids(), *self._orphans()]

    def has_lost_more_workers_than(self, count: int) -> bool:
        return len(self.deaths) > count

    def _orphans(self) -> list[int]:
        with self._lock:
            return [pid for pid in self._seen_workers if _is_alive(pid)]

    def _watch_workers(self) -> None:
        """Notes when each worker process ended."""
        while not self._ended.wait(_WATCH_SECONDS):
            with contextlib.suppress(OSError):
                found = set(self.worker_pids())
                with self._lock:
                    gone = [pid for pid in self._seen_workers if not _is_alive(pid)]
                    self.deaths += [Death(pid, time.time()) for pid in gone]
                    self._seen_workers = (self._seen_workers | found) - set(gone)

    # ---- the cluster ----

    def busy_task_manager(self) -> TaskManager | None:
        """One that tasks run on, if the job runs."""
        busy = self.job.task_managers()
        alive = [one for one in self.cluster.task_managers if one.is_alive and one.name in busy]
        return alive[0] if alive else None

    def kill_task_manager(self, victim: TaskManager) -> None:
        """SIGKILL; a spare one takes over, if there is one."""
        self.losses.append(time.time())
        self._killed_task_managers.add(victim.name)
        victim.kill()

    def await_recovery(self, seconds: float) -> None:
        """Until the job has restarted after the last loss and all its tasks run; then there is a spare one again."""
        deadline = time.monotonic() + seconds
        failed_before = self._failures
        while len(self.job.failures()) == failed_before or not self.job.is_running():
            assert time.monotonic() < deadline, f"the job has not recovered {seconds:g} s after it lost a TaskManager"
            time.sleep(0.1)
        self._failures = len(self.job.failures())
        # Not before: it would take a core from those that recover.
        for _ in range(self.task_managers - sum(one.is_alive for one in self.cluster.task_managers)):
            self.cluster.start_task_manager()

    # ---- what goes in and comes out ----

    def _feed(self) -> None:
        rng = random.Random(self.seed)
        for number in range(10**9):
            if self._fed.is_set() or self._ended.wait(_FEED_SECONDS):
                return
            for partition, feeds in _PARTITIONS.items():
                if number % feeds == 0:
                    self._write(partition, number, feeds * _LINES_PER_FEED, rng)

    def _write(self, partition: str, number: int, lines: int, rng: random.Random) -> None:
        given = [
            Input(f"{partition}-{number}-{line}", f"k{rng.randrange(_KEYS)}", f"{partition}-{number}", line)
            for line in range(lines)
        ]
        text = "".join(json.dumps({"name": one.name, "key": one.key}) + "\n" for one in given)
        # Hidden until whole: Flink passes over files that begin with a dot.
        hidden = self.folder / partition / f".{number}"
        hidden.write_text(text)
        self.inputs += given
        hidden.rename(self.folder / partition / f"{number}.jsonl")

    def await_answers(self, count: int, seconds: float = 60.0) -> None:
        """Until so many more inputs are answered in committed files than now."""
        wanted, deadline = self.answered() + count, time.monotonic() + seconds
        while (now := self.answered()) < wanted:
            assert time.monotonic() < deadline, f"{wanted - now} of {count} answers are missing after {seconds:g} s"
            time.sleep(0.1)

    def answered(self) -> int:
        """Inputs whose last output is committed, at least once."""
        return len({output["name"] for output in self._outputs.read() if output["kind"] == "answer"})

    def settle(self, seconds: float = _SETTLE_SECONDS) -> None:
        """Stop feeding and wait until all inputs are answered, or no answer has come for so long.

        Once all are answered, what is too much may still be under way: it is committed two checkpoints later.
        """
        self._fed.set()
        self._feeder.join()
        answered, deadline = -1, 0.0
        while (now := self.answered()) < len(self.inputs):
            if now > answered:
                answered, deadline = now, time.monotonic() + seconds
            elif time.monotonic() > deadline:
                return
            time.sleep(0.2)
        began, deadline = time.time(), time.monotonic() + seconds
        while sum(one.triggered_at > began for one in self.job.checkpoints()) < 2:
            assert time.monotonic() < deadline, f"no two checkpoints in {seconds:g} s after all inputs were answered"
            time.sleep(0.2)

    def open_calls(self, pid: int) -> int:
        """Calls that this worker has begun, and whose answers no action of it has got."""
        whats = Counter(line["what"] for line in self._ledger() if line["pid"] == pid)
        return whats["begin"] - whats["returned"]

    def _ledger(self) -> list[Mapping[str, Any]]:
        path = self.folder / "ledger"
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def evidence(self) -> Evidence:
        """What the verdict needs to know; the world must have settled."""
        # They left word themselves.
        aborted = {int(path.name.removeprefix("aborted-")) for path in self.folder.glob("aborted-*")}
        killed = self._killed | aborted
        orphaned = self._orphaned - killed
        gone = [(death.pid, death.at) for death in self.deaths]
        return Evidence(
            inputs=list(self.inputs),
            outputs=self._outputs.read(),
            dead_letters=CommittedLines(self.folder / "dead_letters").read(),
            ledger=self._ledger(),
            worker_deaths=[one for one in gone if one[0] in killed],
            orphan_exits=[one for one in gone if one[0] in orphaned],
            worker_exits=[one for one in gone if one[0] not in killed | orphaned],
            given_up=list(self.given_up),
            complaints=self._complaints(killed),
            job_failures=[(failure.at, failure.stack) for failure in self.job.failures()],
            losses=list(self.losses),
            has_store=self.durability == "synchronous",
            checkpoints=[(one.triggered_at, one.completed_at) for one in self.job.checkpoints()],
        )

    def _complaints(self, killed: set[int]) -> list[str]:
        logs = [life.running.log for life in self._lives]
        logs += [path.read_text(errors="replace") for path in (self.folder / "cluster" / "log").glob("tm*.out")]
        ended = [
            f"TaskManager {one.name} has ended with exit code {one.process.returncode}"
            for one in self.cluster.task_managers
            if not one.is_alive and one.name not in self._killed_task_managers
        ]
        return [*(line for log in logs for line in complaints(log, killed)), *ended]


class _Life:
    """A server from start to end, and its log in a file."""

    def __init__(self, running: RunningServer, log: Path) -> None:
        self.running = running.__enter__()
        self._log = log

    def close(self) -> None:
        self.running.__exit__(None, None, None)
        self._log.write_text(self.running.log)


class CommittedLines:
    """Lines of a sink's committed files; each file is read once, because it never changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: set[Path] = set()
        self.commits: list[float] = []
        """When the files appeared that have been read; seconds of the wall clock."""
        self._lines: list[Mapping[str, object]] = []

    def read(self) -> list[Mapping[str, object]]:
        for path in sorted(set(self._folder.rglob("part-*")) - self._read):
            self._read.add(path)
            self.commits.append(path.stat().st_ctime)
            self._lines += [json.loads(line) for line in path.read_bytes().splitlines()]
        return self._lines


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _is_alive(pid: int) -> bool:
    """Not a zombie either: a supervisor that was stopped reaps its children late."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """SIGSTOP, and SIGCONT at the end."""
    _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pid, signal.SIGCONT)
