"""The processes under measurement: the server, the JVM with Flink, and what CPU time each side has used."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

__all__ = [
    "ROOT",
    "BenchmarkError",
    "Server",
    "build_java",
    "busy_seconds_of_machine",
    "cold_pyflink_seconds",
    "cpu_seconds_of_tree",
    "run_java",
]

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"
_OPERATOR = ROOT / "flink_job" / "operator"
_CLASSES = "target-bench"
_FLINK_VERSION = "2.3.0"
_TICKS = os.sysconf("SC_CLK_TCK")
_READY_SECONDS = 20.0
_STOP_SECONDS = 40.0


class BenchmarkError(Exception):
    """A process did not do its part; says which and why."""


class Server:
    """A real server on a Unix socket, from start to SIGTERM."""

    def __init__(self, target: str, *, workers: int = 1, command: tuple[str, ...] = ()) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fab-")
        self.endpoint = f"unix:{self._folder.name}/s"
        self._log = open(BUILD / "server.log", "ab")  # noqa: SIM115 - closed in stop()
        self._log_begin = self._log.tell()
        program = ROOT / ".venv-server" / "bin" / "flink-actions"
        started = time.monotonic()
        self.process = subprocess.Popen(
            [*command, str(program), "serve", target, "--listen", self.endpoint, "--workers", str(workers)],
            stderr=self._log,
            stdout=self._log,
        )
        try:
            self._wait_until_serving()
        except BaseException:
            self.stop()
            raise
        self.seconds_to_ready = time.monotonic() - started

    def _wait_until_serving(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        socket = Path(self.endpoint.removeprefix("unix:"))
        while time.monotonic() < deadline and self.process.poll() is None:
            if socket.exists() and self._is_serving():
                return
            time.sleep(0.005)
        raise BenchmarkError(f"the server is not ready after {_READY_SECONDS:g} s: see {BUILD / 'server.log'}")

    def _is_serving(self) -> bool:
        # A channel for each try: one that has failed waits before it connects again.
        with grpc.insecure_channel(self.endpoint) as channel, contextlib.suppress(grpc.RpcError):
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
        return False

    def cpu_seconds(self) -> float:
        """Of the supervisor and its workers, since their start."""
        return cpu_seconds_of_tree(self.process.pid)

    def reload(self) -> None:
        """Ask it to put new workers in the place of those that serve."""
        self.process.send_signal(signal.SIGHUP)

    def reloads(self) -> int:
        """How often new workers have taken over and the old ones have left."""
        with open(BUILD / "server.log", "rb") as log:
            log.seek(self._log_begin)
            return log.read().count(b"has drained")

    def stop(self) -> None:
        """Ask it to leave; insist after a while."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()
        self._folder.cleanup()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def cpu_seconds_of_tree(pid: int) -> float:
    """User and system time of a process, of its children that live, and of those that it has waited for."""
    processes = {int(folder.name): _stat(folder) for folder in Path("/proc").iterdir() if folder.name.isdigit()}
    total, waiting = 0, [pid]
    while waiting:
        current = waiting.pop()
        total += sum(map(int, processes[current][11:15])) if processes.get(current) else 0
        waiting += [child for child, stat in processes.items() if stat and int(stat[1]) == current]
    return total / _TICKS


def busy_seconds_of_machine() -> float:
    """What all processes of the machine have used: that of others is what disturbs a measurement."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS


def yardstick_ms() -> float:
    """What a fixed piece of work takes in this process, at best of a few: how fast the machine is at this moment.

    A virtual machine's cores are shared with strangers; its speed was seen to change by half within minutes, with
    nothing of its own running.
    """

    def once() -> float:
        started = time.process_time()
        total = 0
        for number in range(300_000):
            total += number & 7
        return (time.process_time() - started) * 1e3

    return min(once() for _ in range(5))


def _stat(folder: Path) -> list[str]:
    """Fields of /proc/<pid>/stat from the third on; empty if the process is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        # The name in the second field may hold spaces and parentheses: count from its closing one.
        return (folder / "stat").read_text().rpartition(")")[2].split()
    return []


def build_java(*, only_look: bool = False) -> str:
    """Compile operator and benchmark, or take what was compiled; return the class path, of the Flink that users run."""
    BUILD.mkdir(parents=True, exist_ok=True)
    class_path_file = BUILD / "classpath"
    if not only_look:
        _build(class_path_file)
    own = [_OPERATOR / _CLASSES / "test-classes", _OPERATOR / _CLASSES / "classes"]
    return ":".join([*map(str, own), class_path_file.read_text().strip()])


def _build(class_path_file: Path) -> None:
    maven = ["mvn", "-q", f"-Dbuild.dir={_CLASSES}"]
    _run([*maven, "test-compile"])
    _run(
        [*maven, "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath", "-DincludeScope=test",
         f"-Dflink.version={_FLINK_VERSION}", f"-Dmdep.outputFile={class_path_file}"]
    )  # fmt: skip


def _run(command: list[str]) -> None:
    print("  " + " ".join(command), flush=True)
    done = subprocess.run(command, cwd=_OPERATOR, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def run_java(
    class_path: str, arguments: dict[str, object], *, jvm_options: tuple[str, ...] = ()
) -> Iterator[dict[str, Any]]:
    """Run one case in a JVM of its own; yield what it says, as it says it."""
    with tempfile.TemporaryDirectory(prefix="fab-checkpoints-") as folder, open(BUILD / "flink.log", "wb") as log:
        given = {**arguments, "checkpoint_folder": folder}
        process = subprocess.Popen(
            ["java", *_flink_jvm_options(), "-Xmx2g", f"-Dlog4j2.configurationFile={ROOT}/benchmarks/log4j2.properties",
             *jvm_options, "-cp", class_path, "io.flinkactions.operator.bench.BenchMain",
             *(f"{name}={value}" for name, value in given.items())],
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("BENCH "):
                    yield json.loads(line.removeprefix("BENCH "))
            code = process.wait(60)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if code:
        causes = re.findall(r"^(?:Caused by: )?(\S+(?:Exception|Error): .*)$", (BUILD / "flink.log").read_text(), re.M)
        raise BenchmarkError(f"the job failed: {causes[-1] if causes else code}; see {BUILD / 'flink.log'}")


def _flink_jvm_options() -> list[str]:
    """Flink's list for JDK 17; the pom has it for the tests."""
    options = re.search(r"<flink\.jvm\.options>(.*?)</flink\.jvm\.options>", (_OPERATOR / "pom.xml").read_text(), re.S)
    assert options is not None
    return options.group(1).split()


def cold_pyflink_seconds(endpoint: str) -> float:
    """From the start of `python job.py` to its first output: interpreter, JVM, MiniCluster, session and all."""
    python = ROOT / ".venv-job" / "bin" / "python"
    started = time.monotonic()
    process = subprocess.Popen(
        [str(python), str(ROOT / "benchmarks" / "cold_job.py"), endpoint],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    said = []
    try:
        for line in process.stdout:
            if line.startswith("OUTPUT"):
                return time.monotonic() - started
            said.append(line)
    finally:
        process.wait(60)
    raise BenchmarkError(f"the cold job gave no output:\n{''.join(said)[-2000:]}")
