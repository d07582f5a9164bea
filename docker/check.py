"""Shows without a container engine that the images' steps and the manifests are right.

1. Reads compose.yaml and k8s/*.yaml for what does not fit together.
2. Builds the wheel with the operator's jar in it, and does each step of the Dockerfiles in bare directories.
3. Asks pip whether the wheel's extra `job` can be installed, as the README says, beside what PyFlink pins.
4. Starts the server's entry point, asks the standard health service until it says SERVING, lists what is served.
5. Runs examples/sentiment/job.py in the job image's environment against that server, over the shared socket.
6. Sends SIGTERM to the server and expects exit code 0.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import grpc
from compose import faults_of_compose
from dockerfile import BareDirectory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kubernetes import faults_of_kubernetes

_DOCKER = Path(__file__).parent
_ROOT = _DOCKER.parent
_READY_SECONDS = 30.0
_STOP_SECONDS = 40.0
_RESOLVE_SECONDS = 600.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-flink", action="store_true", help="leave out the job image and the extra `job` (500 MB)")
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
        server = _built("server image", BareDirectory(folder / "s", context), "server.Dockerfile", "agent.Dockerfile")
        flink = None
        if not arguments.no_flink:
            flink = _built("job image", BareDirectory(folder / "f", context), "flink.Dockerfile", "job.Dockerfile")
            _resolve_extra(context / "dist", folder / "extra")
        _check_running(server, flink)
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
    jars = sorted((_ROOT / "flink_job" / "operator" / "target").glob("flink-actions-operator-*.jar"))
    if not jars:
        raise SystemExit("the operator's jar is not built: run `make jar`")
    print("wheel", flush=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(context / "dist"), str(_ROOT)],
        env={**os.environ, "WHEEL_OPERATOR_JAR": str(jars[-1])},
        check=True,
        timeout=300,
    )
    print("  " + ", ".join(path.name for path in (context / "dist").iterdir()))
    return context


def _built(title: str, image: BareDirectory, *dockerfiles: str) -> BareDirectory:
    print(title, flush=True)
    image.root.mkdir()
    for dockerfile in dockerfiles:
        image.build(_DOCKER / dockerfile)
    return image


def _resolve_extra(dist: Path, environment: Path) -> None:
    """`pip install 'flink-actions[job]'` in an environment of its own, but for the installing."""
    print("extra job", flush=True)
    (wheel,) = dist.iterdir()
    venv.create(environment, with_pip=True)
    report = environment / "report.json"
    subprocess.run(
        [environment / "bin/python", "-m", "pip", "install", "-q", "--dry-run", "--report", report, f"{wheel}[job]"],
        check=True, timeout=_RESOLVE_SECONDS,
    )  # fmt: skip
    chosen = {
        package["metadata"]["name"]: package["metadata"]["version"]
        for package in json.loads(report.read_text())["install"]
    }
    print("  " + ", ".join(f"{name} {chosen[name]}" for name in ("apache-flink", "grpcio", "protobuf")))


def _check_running(server: BareDirectory, flink: BareDirectory | None) -> None:
    print("server", flush=True)
    socket = server.path("/run/flink-actions/server.sock")
    with _started(server) as process:
        seconds = _wait_until_serving(f"unix:{socket}", process)
        print(f"  serving after {seconds:.2f} s")
        described = subprocess.run(
            [server.rebase("/opt/venv/bin/flink-actions"), "describe", f"unix:{socket}"],
            env=server.process_environment(), capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        print("  " + described.stdout.splitlines()[0])
        if flink is not None:
            _run_job(flink, f"unix:{socket}")
        process.send_signal(signal.SIGTERM)
        code = process.wait(_STOP_SECONDS)
    if code != 0:
        raise SystemExit(f"the server ended with exit code {code} after SIGTERM; expected 0")
    if socket.exists():
        raise SystemExit(f"the server left its socket behind: {socket}")
    print("  SIGTERM: exit code 0, socket gone")


def _run_job(flink: BareDirectory, endpoint: str) -> None:
    """The example's job on a MiniCluster, with nothing but what the image has."""
    print("job", flush=True)
    snippets, outputs = flink.root / "snippets", flink.root / "outputs"
    snippets.mkdir()
    lines = [
        json.dumps(
            {"corpus": "check", "document": f"d{number % 5}", "snippet": f"d{number % 5}_{number}", "text": text}
        )
        for number, text in enumerate(["I love it", "I hate it", "It is a chair"] * 20)
    ]
    (snippets / "check.jsonl").write_text("\n".join(lines))
    command = flink.rebase("/opt/venv/bin/python /opt/flink/usrlib/job.py").split()
    subprocess.run(
        [*command, "--server", endpoint, "--snippets", str(snippets), "--outputs", str(outputs)],
        env=flink.process_environment(), check=True, timeout=120,
    )  # fmt: skip
    written = [json.loads(line) for path in outputs.rglob("*part*") for line in path.read_text().splitlines()]
    scores = [output for output in written if output["kind"] == "score"]
    if len(scores) != len(lines):
        raise SystemExit(f"the job wrote {len(scores)} scores for {len(lines)} snippets")
    print(f"  {len(scores)} scores, {len(written) - len(scores)} verdicts")


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
