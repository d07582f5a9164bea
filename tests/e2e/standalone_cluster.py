"""A standalone Flink cluster from the scripts of the pyflink package: a JobManager and TaskManagers, on free ports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.error import URLError

from tests.e2e.running_job import Rest, RunningJob
from tests.support.free_ports import free_port

START_SECONDS = 60.0
STOP_SECONDS = 20.0

# A better compiler would cost these more than it gains.
_SHORT_LIVED = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
_SUBMITTED = re.compile(r"JobID ([0-9a-f]{32})")


@dataclass(frozen=True)
class TaskManager:
    """A process of the cluster. `name` is what Flink calls it too."""

    name: str
    process: subprocess.Popen[bytes]

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def thread_names(self) -> list[str]:
        """Of its JVM, now."""
        command = ["jcmd", str(self.process.pid), "Thread.print"]
        dump = subprocess.run(command, check=True, capture_output=True, text=True, timeout=STOP_SECONDS).stdout
        return re.findall(r'^"([^"]+)"', dump, re.MULTILINE)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(STOP_SECONDS)


class StandaloneCluster:
    """`with StandaloneCluster(python, folder) as cluster:`; no process is left behind.

    Args:
        python: Of the environment that has PyFlink in it.
        folder: For configuration and logs; `folder/log` is worth a look when something failed.
        settings: Of Flink, over those that let it fit beside others.
        task_managers: How many begin; each has two slots.
    """

    def __init__(
        self, python: Path, folder: Path, settings: Mapping[str, str] | None = None, *, task_managers: int = 1
    ) -> None:
        self._home = next(python.parents[1].glob("lib/python*/site-packages/pyflink"))
        self._python = python
        self._folder = folder
        rest_port, rpc_port = free_port(), free_port()
        self._rest = Rest(f"http://localhost:{rest_port}")
        self._settings = {
            "jobmanager.rpc.port": str(rpc_port),
            "rest.port": str(rest_port),
            "rest.bind-port": str(rest_port),
            "taskmanager.numberOfTaskSlots": "2",
            "jobmanager.memory.process.size": "1g",
            "taskmanager.memory.process.size": "1400m",
            # What a killed process leaves behind is ours to remove.
            "io.tmp.dirs": str(folder / "tmp"),
            **dict.fromkeys(
                [f"env.java.opts.{which}" for which in ("jobmanager", "taskmanager", "client")], _SHORT_LIVED
            ),
            **(settings or {}),
        }
        self._first_task_managers = task_managers
        self._processes: list[subprocess.Popen[bytes]] = []
        self.task_managers: list[TaskManager] = []

    def __enter__(self) -> StandaloneCluster:
        configuration = self._folder / "conf"
        configuration.mkdir(parents=True)
        (self._folder / "tmp").mkdir()
        (self._folder / "log").mkdir()  # without it the scripts start nothing, and do not say so
        for file in (self._home / "conf").iterdir():
            if file.suffix in (".properties", ".xml"):
                (configuration / file.name).write_bytes(file.read_bytes())
        shipped = (self._home / "conf" / "config.yaml").read_text()
        (configuration / "config.yaml").write_text(_with_settings(shipped, self._settings))
        self._environment = {
            **os.environ,
            "FLINK_CONF_DIR": str(configuration),
            "FLINK_LOG_DIR": str(self._folder / "log"),
            "FLINK_PID_DIR": str(self._folder),
        }
        try:
            self._start("jobmanager")
            for _ in range(self._first_task_managers):
                self.start_task_manager()
            self.wait_for_task_managers(self._first_task_managers)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    # ---- its TaskManagers ----

    def start_task_manager(self) -> TaskManager:
        """Start one more; it offers its slots a few seconds later."""
        name = f"tm{len(self.task_managers)}"
        started = TaskManager(name, self._start("taskmanager", f"-Dtaskmanager.resource-id={name}", name=name))
        self.task_managers.append(started)
        return started

    def wait_for_task_managers(self, count: int) -> None:
        """Until the JobManager knows of so many."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(URLError, OSError):
                if self._rest.get("/overview")["taskmanagers"] >= count:
                    return
            time.sleep(0.2)
        raise AssertionError(f"not {count} TaskManagers after {START_SECONDS:.0f} s\n{self.last_words()}")

    def log(self) -> str:
        """What all processes have logged until now."""
        return "".join(path.read_text(errors="replace") for path in (self._folder / "log").glob("*.out"))

    def last_words(self) -> str:
        """The end of each process's log."""
        logs = sorted((self._folder / "log").glob("*.out"))
        return "\n".join(f"---- {path.name}\n{path.read_text(errors='replace')[-2_000:]}" for path in logs)

    # ---- its jobs ----

    def run(self, job: Path, *arguments: str, options: Mapping[str, str] | None = None, seconds: float = 120.0) -> str:
        """`flink run -py job`, to the job's end; returns what the client printed."""
        return self._flink_run([], job, arguments, options, seconds)

    def submit(
        self, job: Path, *arguments: str, options: Mapping[str, str] | None = None, seconds: float = 60.0
    ) -> RunningJob:
        """`flink run --detached -py job`; returns when the job was accepted."""
        said = self._flink_run(["--detached"], job, arguments, options, seconds)
        submitted = _SUBMITTED.search(said)
        if submitted is None:
            raise JobFailed(f"the client names no job:\n{said}")
        return RunningJob(self._rest, submitted.group(1))

    def _flink_run(
        self,
        flags: list[str],
        job: Path,
        arguments: tuple[str, ...],
        options: Mapping[str, str] | None,
        seconds: float,
    ) -> str:
        dynamic = [f"-D{key}={value}" for key, value in (options or {}).items()]
        python = ["-pyexec", str(self._python), "-pyclientexec", str(self._python)]
        command = [str(self._home / "bin" / "flink"), "run", *flags, *dynamic, *python, "-py", str(job), *arguments]
        done = subprocess.run(
            command,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0:
            raise JobFailed(f"{done.stdout}\n{done.stderr}")
        return done.stdout

    # ---- its processes ----

    def _start(self, script: str, *arguments: str, name: str | None = None) -> subprocess.Popen[bytes]:
        """In the foreground, so that the process is our child: nobody else can end, or keep, it unnoticed."""
        command = [str(self._home / "bin" / f"{script}.sh"), "start-foreground", *arguments]
        with (self._folder / "log" / f"{name or script}.out").open("wb") as output:
            process = subprocess.Popen(command, env=self._environment, stdout=output, stderr=subprocess.STDOUT)
        self._processes.append(process)
        return process

    def _stop(self) -> None:
        for process in reversed(self._processes):
            # One that was stopped by SIGSTOP would not hear of it.
            process.send_signal(signal.SIGCONT)
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class JobFailed(Exception):
    """`flink run` ended with an error; its whole output."""


def _with_settings(shipped: str, settings: Mapping[str, str]) -> str:
    """The shipped JVM options, which JDK 17 needs, and our settings as flat keys."""
    lines = shipped.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("env:"))
    jvm_options = []
    for line in lines[start:]:
        if jvm_options and line and not line.startswith((" ", "#")):
            break
        jvm_options.append(line)
    hosts = ["jobmanager.rpc.address", "jobmanager.bind-host", "rest.address", "rest.bind-address"]
    hosts += ["taskmanager.bind-host", "taskmanager.host"]
    always = dict.fromkeys(hosts, "localhost")
    flat = [f"{key}: {value}" for key, value in {**always, **settings}.items()]
    return "\n".join([*jvm_options, *flat, ""])
