"""A standalone Flink cluster from the scripts of the pyflink package: a JobManager and a TaskManager, on free ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import orjson

START_SECONDS = 60.0
STOP_SECONDS = 20.0


class StandaloneCluster:
    """`with StandaloneCluster(python, folder) as cluster:`; no process is left behind."""

    def __init__(self, python: Path, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self._home = next(python.parents[1].glob("lib/python*/site-packages/pyflink"))
        self._python = python
        self._folder = folder
        self._rest_port, rpc_port = _free_ports(2)
        self._settings = {
            "jobmanager.rpc.port": str(rpc_port),
            "rest.port": str(self._rest_port),
            "rest.bind-port": str(self._rest_port),
            "taskmanager.numberOfTaskSlots": "2",
            "jobmanager.memory.process.size": "1g",
            "taskmanager.memory.process.size": "1400m",
            **(settings or {}),
        }

    def __enter__(self) -> StandaloneCluster:
        configuration = self._folder / "conf"
        configuration.mkdir(parents=True)
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
            self._script("jobmanager.sh", "start")
            self._script("taskmanager.sh", "start")
            self._wait_for_slots()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def run(self, job: Path, *arguments: str, options: Mapping[str, str] | None = None, seconds: float = 120.0) -> str:
        """`flink run -py job`, to the job's end; returns what the client printed."""
        dynamic = [f"-D{key}={value}" for key, value in (options or {}).items()]
        python = ["-pyexec", str(self._python), "-pyclientexec", str(self._python)]
        command = [str(self._home / "bin" / "flink"), "run", *dynamic, *python, "-py", str(job), *arguments]
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

    def _script(self, name: str, *arguments: str) -> None:
        command = [str(self._home / "bin" / name), *arguments]
        subprocess.run(command, env=self._environment, check=True, timeout=START_SECONDS, capture_output=True)

    def _wait_for_slots(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with (
                suppress(OSError),
                urllib.request.urlopen(f"http://localhost:{self._rest_port}/overview", timeout=5) as answer,
            ):
                if orjson.loads(answer.read())["slots-available"] > 0:
                    return
            time.sleep(0.2)
        logs = "\n".join(path.read_text(errors="replace")[-2_000:] for path in (self._folder / "log").glob("*.log"))
        raise AssertionError(f"the cluster has no slots after {START_SECONDS:.0f} s\n{logs}")

    def _stop(self) -> None:
        with suppress(subprocess.SubprocessError):
            self._script("taskmanager.sh", "stop")
            self._script("jobmanager.sh", "stop")
        # The scripts return before the processes have ended, and forget the pid.
        deadline = time.monotonic() + STOP_SECONDS
        while pids := self._pids():
            if time.monotonic() > deadline:
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.1)

    def _pids(self) -> list[int]:
        """Processes of this cluster: those that have its configuration folder on their command line."""
        needle = str(self._folder / "conf").encode()
        pids = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if needle in (process / "cmdline").read_bytes():
                    pids.append(int(process.name))
        return pids


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


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
