"""The whole quickstart: `make run` calls it with the server's Python.

Fetches the corpora, starts an action server, runs the Flink job against it, shows how far it is, checks and reports
what came out, and stops the server.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
from corpora import write_snippets
from grpc_health.v1 import health_pb2, health_pb2_grpc

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = HERE / "build"
SNIPPETS, OUTPUTS, PICTURE = BUILD / "snippets", BUILD / "outputs", BUILD / "sentiment.png"
JOB_PYTHON = ROOT / ".venv-job" / "bin" / "python"

SERVER_START_SECONDS = 20.0
JOB_SECONDS = 240.0


def main() -> None:
    say("snippets", "fetching four corpora from the source distribution of vaderSentiment ...")
    total = write_snippets(SNIPPETS)
    say("snippets", f"{total:,} of them, each rated by at least 20 people, in {shown(SNIPPETS)}")
    shutil.rmtree(OUTPUTS, ignore_errors=True)
    address = f"localhost:{free_port()}"
    with server(address):
        run_job(address, total)
    say("report", "comparing with the same code called directly ...")
    from report import Mismatch, report  # here, because matplotlib takes a second

    try:
        lines = report(SNIPPETS, OUTPUTS, PICTURE)
    except Mismatch as mismatch:
        raise SystemExit(f"\nThe job and the direct call differ. {mismatch}") from None
    print(f"\n{lines}\n")
    print("Scores, turns and correlations equal those of the direct call, to the last digit.")
    print(f"Picture: {shown(PICTURE)}")


@contextmanager
def server(address: str) -> Iterator[None]:
    """An action server with the agent, ready; stopped at the end."""
    command = [str(Path(sys.executable).with_name("flink-actions")), "serve", f"{HERE / 'agent.py'}:agent"]
    log = BUILD / "server.log"
    with process("server", [*command, "--listen", address], log) as running:
        started = time.monotonic()
        wait_until_serving(address, running, log)
        say("server", f"flink-actions serve agent.py:agent   at {address}, ready in {time.monotonic() - started:.1f} s")
        yield


def run_job(address: str, total: int) -> None:
    """Run the job to its end, with a live line."""
    if not JOB_PYTHON.exists():
        raise SystemExit(f"no PyFlink in {shown(JOB_PYTHON.parents[1])}: `make run` builds it")
    log = BUILD / "job.log"
    arguments = ["--server", address, "--snippets", str(SNIPPETS), "--outputs", str(OUTPUTS)]
    with process("job", [str(JOB_PYTHON), str(HERE / "job.py"), *arguments], log) as running:
        line = LiveLine(total)
        while running.poll() is None:
            if line.seconds > JOB_SECONDS:
                raise SystemExit(f"\nthe job is not done after {JOB_SECONDS:.0f} s\n{tail(log)}")
            line.show(count_scores(OUTPUTS))
            time.sleep(0.1)
        line.end(count_scores(OUTPUTS))
        if running.returncode != 0:
            raise SystemExit(f"\nthe job failed (exit code {running.returncode})\n{tail(log)}")


class LiveLine:
    """How far the job is: one line that changes on a terminal, a line every two seconds elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._started = time.monotonic()
        self._first_output: float | None = None
        self._shown_at = 0.0
        self._is_terminal = sys.stdout.isatty()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def show(self, done: int) -> None:
        if done and self._first_output is None:
            self._first_output = self.seconds
        if self._is_terminal:
            print(f"\r{self._text(done)}\x1b[K", end="", flush=True)
        elif self.seconds - self._shown_at >= 2:
            self._shown_at = self.seconds
            print(self._text(done), flush=True)

    def end(self, done: int) -> None:
        print(f"\r{self._text(done)}\x1b[K" if self._is_terminal else self._text(done), flush=True)

    def _text(self, done: int) -> str:
        width = 30
        filled = width * done // self._total
        bar = "█" * filled + "░" * (width - filled)
        state = (
            f"first output after {self._first_output:.1f} s" if self._first_output is not None else "Flink is starting"
        )
        return f"  {'job':<10} {bar} {done:>6,} / {self._total:,} snippets   {self.seconds:5.1f} s   {state}"


def count_scores(outputs: Path) -> int:
    """Scores in the sink's files, those that Flink still writes to included."""
    count = 0
    for path in outputs.rglob("*part-*"):
        # Flink may just have given it its final name: the next look counts it.
        with suppress(FileNotFoundError):
            count += path.read_bytes().count(b'"kind":"score"')
    return count


@contextmanager
def process(name: str, command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child with its own group, so that whatever it starts ends with it."""
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(timeout=30)
        except subprocess.TimeoutExpired:
            say(name, "does not end by itself; killed")
        # As a rule there is no such group any more, because all of it has ended.
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait(timeout=10)


def wait_until_serving(address: str, running: subprocess.Popen[bytes], log: Path) -> None:
    """Ask the server's health service until it says SERVING."""
    deadline = time.monotonic() + SERVER_START_SECONDS
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() < deadline and running.poll() is None:
            try:
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1, wait_for_ready=True)
            except grpc.RpcError:
                continue
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
            time.sleep(0.02)
    raise SystemExit(f"the server at {address} did not become ready\n{tail(log)}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-30:]
    return "\n".join([f"--- the end of {shown(log)}:", *lines])


def say(subject: str, text: str) -> None:
    print(f"  {subject:<10} {text}", flush=True)


def shown(path: Path) -> str:
    return os.path.relpath(path)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
