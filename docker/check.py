"""Shows without a container engine that the images' steps and the manifests are right.

1. Builds the wheel, does each step of server.Dockerfile and agent.Dockerfile in a bare directory, starts the entry
   point, asks the standard health service until it says SERVING, lists what is served, sends SIGTERM and expects exit
   code 0.
2. Does the steps of flink.Dockerfile in another, and imports there what a job imports.
3. Reads compose.yaml and k8s/*.yaml for what does not fit together.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
from dockerfile import BareDirectory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from manifests import faults_of_compose, faults_of_kubernetes

_DOCKER = Path(__file__).parent
_ROOT = _DOCKER.parent
_READY_SECONDS = 30.0
_STOP_SECONDS = 40.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-flink", action="store_true", help="leave out the Flink image (500 MB of packages)")
    parser.add_argument("--keep", action="store_true", help="leave the bare directories behind to be looked at")
    arguments = parser.parse_args()
    faults = faults_of_compose(_DOCKER / "compose.yaml") + faults_of_kubernetes(_DOCKER / "k8s")
    for fault in faults:
        print(f"FAULT {fault}")
    print(f"manifests: {len(faults)} faults")
    # A short path: a Unix socket's has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="fa-", dir="/tmp"))
    try:
        context = _build_context(folder / "context")
        _check_server(BareDirectory(folder / "s", context))
        if not arguments.no_flink:
            _check_flink(BareDirectory(folder / "f", context))
    finally:
        if arguments.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder)
    print("docker check: " + ("failed" if faults else "all right"))
    return 1 if faults else 0


def _build_context(context: Path) -> Path:
    """What the images are built from: the checkout, with a wheel in dist/ that is made here and is no older build's."""
    context.mkdir()
    for name in ("constraints.txt", "examples", "docker"):
        (context / name).symlink_to(_ROOT / name)
    print("wheel", flush=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(context / "dist"), str(_ROOT)],
        check=True,
        timeout=300,
    )
    print("  " + ", ".join(path.name for path in (context / "dist").iterdir()))
    return context


def _check_server(image: BareDirectory) -> None:
    print("server image", flush=True)
    image.root.mkdir()
    image.build(_DOCKER / "server.Dockerfile")
    image.build(_DOCKER / "agent.Dockerfile")
    socket = image.path("/run/flink-actions/server.sock")
    with _started(image) as process:
        seconds = _wait_until_serving(f"unix:{socket}", process)
        print(f"  serving after {seconds:.2f} s")
        described = subprocess.run(
            [image.rebase("/opt/venv/bin/flink-actions"), "describe", f"unix:{socket}"],
            env=image.process_environment(), capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        print(f"  describe: {described.stdout.splitlines()[0]}")
        process.send_signal(signal.SIGTERM)
        code = process.wait(_STOP_SECONDS)
    if code != 0:
        raise SystemExit(f"the server ended with exit code {code} after SIGTERM; expected 0")
    if socket.exists():
        raise SystemExit(f"the server left its socket behind: {socket}")
    print("  SIGTERM: exit code 0, socket gone")


def _check_flink(image: BareDirectory) -> None:
    print("Flink image", flush=True)
    image.root.mkdir()
    image.build(_DOCKER / "flink.Dockerfile")
    python = image.rebase("/opt/venv/bin/python")
    subprocess.run(
        [python, "-c", "import pyflink.datastream, pyflink_actions; print('  imports', pyflink_actions.__name__)"],
        env=image.process_environment(), check=True, timeout=120,
    )  # fmt: skip


@contextlib.contextmanager
def _started(image: BareDirectory) -> Iterator[subprocess.Popen[bytes]]:
    environment = image.process_environment()
    process = subprocess.Popen(image.argv(), cwd=image.path(image.working_directory), env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def _wait_until_serving(target: str, process: subprocess.Popen[bytes]) -> float:
    started = time.monotonic()
    with grpc.insecure_channel(target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while process.poll() is None and time.monotonic() - started < _READY_SECONDS:
            with contextlib.suppress(grpc.RpcError):
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return time.monotonic() - started
            time.sleep(0.05)
    raise SystemExit(f"the server at {target} is not SERVING after {_READY_SECONDS:g} s (exit code {process.poll()})")


if __name__ == "__main__":
    sys.exit(main())
