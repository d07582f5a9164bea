"""`flink run -py job.py` on a standalone cluster; nobody copies a jar."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.e2e.conftest import HERE, JOB_PYTHON, ROOT
from tests.e2e.standalone_cluster import JobFailed, StandaloneCluster
from tests.support.running_server import RunningServer

pytestmark = pytest.mark.timeout(300)

OUR_THREADS = ("flink-actions-", "grpc-", "globalEventExecutor")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneCluster]:
    settings = {"agent.greeting": "from the cluster", "agent.run-timeout": "1000 s"}
    with StandaloneCluster(JOB_PYTHON, tmp_path_factory.mktemp("cluster"), settings) as running:
        yield running


def lines_in(folder: Path) -> list[bytes]:
    return [line for path in sorted(folder.rglob("part-*")) for line in path.read_bytes().splitlines()]


def test_the_quickstarts_job_runs_on_a_cluster_without_a_python_worker(
    cluster: StandaloneCluster, tmp_path: Path
) -> None:
    snippets = tmp_path / "snippets"
    snippets.mkdir()
    texts = ["good", "bad", "so so", "GREAT!!!"]
    (snippets / "made.jsonl").write_bytes(
        b"".join(
            orjson.dumps({"corpus": "made", "document": str(i % 7), "snippet": str(i), "text": texts[i % 4]}) + b"\n"
            for i in range(400)
        )
    )
    with RunningServer(f"{ROOT / 'examples/sentiment/agent.py'}:agent") as server:
        job = ROOT / "examples/sentiment/job.py"
        arguments = ["--server", server.address, "--snippets", str(snippets), "--outputs", str(tmp_path / "outputs")]
        cluster.run(job, *arguments)
    outputs = [orjson.loads(line) for line in lines_in(tmp_path / "outputs")]
    scores = {output["snippet"]: output["score"] for output in outputs if output["kind"] == "score"}
    assert scores.keys() == {str(i) for i in range(400)}
    assert scores["0"] > 0 > scores["1"]
    # The job's class loader is closed by now: a thread of it that goes on dies when it needs one more class.
    deadline = time.monotonic() + 20.0
    while left := [name for name in cluster.task_managers[0].thread_names() if name.startswith(OUR_THREADS)]:
        assert time.monotonic() < deadline, f"the job has left threads in its TaskManager: {left}"
        time.sleep(0.1)
    assert "NoClassDefFoundError: io/flinkactions" not in cluster.log()


def test_server_and_agents_settings_may_stand_in_flinks_configuration(
    cluster: StandaloneCluster, server: RunningServer, tmp_path: Path
) -> None:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "lines").write_text("ah\nbe\nat\n")
    options = {"agent.endpoints": server.address, "agent.greeting": "from -D", "agent.run-timeout": "500 s"}
    cluster.run(
        HERE / "configured_job.py",
        (tmp_path / "inputs").as_uri(),
        (tmp_path / "outputs").as_uri(),
        options=options,
    )
    told = [orjson.loads(line) for line in lines_in(tmp_path / "outputs")]
    assert sorted((one["input"], one["key"], one["seen"]) for one in told) == [
        ("'AH'", "A", 0),
        ("'AT'", "A", 1),
        ("'BE'", "B", 0),
    ]
    assert {one["greeting"] for one in told} == {"from -D"}
    assert all(440 < one["seconds_left"] <= 500 for one in told), told


def test_a_job_without_a_server_in_its_configuration_says_what_is_missing(
    cluster: StandaloneCluster, tmp_path: Path
) -> None:
    (tmp_path / "inputs").mkdir()
    with pytest.raises(JobFailed, match="no endpoint for agent 'witness'"):
        cluster.run(HERE / "configured_job.py", (tmp_path / "inputs").as_uri(), (tmp_path / "outputs").as_uri())


def test_a_job_that_finds_no_server_ends_with_a_typed_error_in_the_clients_output(
    cluster: StandaloneCluster, tmp_path: Path
) -> None:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "lines").write_text("ah\n")
    # Else Flink, which takes checkpoints here, would start the job again and again.
    options = {"restart-strategy.type": "none"}
    options |= {"agent.endpoints": "localhost:1", "agent.reconnect-timeout": "1 s"}
    with pytest.raises(JobFailed, match=r"pyflink_actions\.errors\.ServerError: .*localhost:1"):
        cluster.run(
            HERE / "configured_job.py",
            (tmp_path / "inputs").as_uri(),
            (tmp_path / "outputs").as_uri(),
            options=options,
        )
