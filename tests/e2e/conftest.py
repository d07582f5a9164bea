from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.running_server import RunningServer

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
JOB_PYTHON = ROOT / ".venv-job" / "bin" / "python"
LOCAL_JOBS_SECONDS = 400


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """A server of the agents in agents.py."""
    agents = HERE / "agents.py"
    names = ["echo", "witness", "rows", "visits", "failing"]
    with RunningServer(*(f"{agents}:{name}" for name in names)) as running:
        yield running


@pytest.fixture(scope="session")
def pickling_server() -> Iterator[RunningServer]:
    """A server that loads pickles."""
    with RunningServer(f"{HERE / 'agents.py'}:echo", flags=["--allow-pickle"]) as running:
        yield running


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with those of an authority, a server and a client, and a token; empty without `openssl`."""
    folder = tmp_path_factory.mktemp("certificates")
    if shutil.which("openssl") is not None:
        authority = Authority(folder)
        authority.signs("server")
        authority.signs("client")
        (folder / "token").write_text("0123456789abcdef")
    return folder


@pytest.fixture(scope="session")
def secure_server(certificates: Path) -> Iterator[RunningServer]:
    """A server that speaks TLS and asks for a certificate and a token."""
    flags = {"tls-certificate": "server.crt", "tls-key": "server.key", "tls-client-ca": "authority.crt"}
    flags["token-file"] = "token"
    given = [f"--{flag}={certificates / name}" for flag, name in flags.items() if (certificates / name).exists()]
    with RunningServer(f"{HERE / 'agents.py'}:echo", flags=given) as running:
        yield running


@pytest.fixture(scope="session")
def local_jobs(
    server: RunningServer,
    pickling_server: RunningServer,
    secure_server: RunningServer,
    certificates: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What became of each job of local_jobs.py; they share a process, because a JVM starts slowly."""
    folder = tmp_path_factory.mktemp("local_jobs")
    configuration = flink_configuration(folder / "conf", {"endpoints": server.address, "run-timeout": "1000 s"})
    results, log = folder / "results.json", folder / "log"
    with log.open("wb") as output:
        done = subprocess.run(
            [
                *(JOB_PYTHON, HERE / "local_jobs.py", server.address, pickling_server.address, results),
                *(secure_server.address, certificates),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "FLINK_CONF_DIR": str(configuration)},
            timeout=LOCAL_JOBS_SECONDS,
            check=False,
        )
    assert done.returncode == 0, log.read_text()[-5_000:]
    outcome: dict[str, Any] = json.loads(results.read_text())
    return outcome


def flink_configuration(folder: Path, agent: dict[str, str]) -> Path:
    """A folder as $FLINK_CONF_DIR names one: as PyFlink ships it, with a section `agent:` at the end of config.yaml."""
    shipped = next(JOB_PYTHON.parents[1].glob("lib/python*/site-packages/pyflink/conf"))
    shutil.copytree(shipped, folder)
    with (folder / "config.yaml").open("a") as file:
        file.write("\nagent:\n" + "".join(f"  {key}: {value}\n" for key, value in agent.items()))
    return folder
