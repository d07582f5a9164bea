"""The check of docker/ can fail: each test breaks a manifest in one way and wants to hear of it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

_DOCKER = Path(__file__).parents[3] / "docker"
sys.path.insert(0, str(_DOCKER))

from compose import faults_of_compose  # noqa: E402
from dockerfile import BareDirectory, read_dockerfile  # noqa: E402
from kubernetes import faults_of_kubernetes  # noqa: E402


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    (tmp_path / "examples").symlink_to(_DOCKER.parent / "examples")
    return Path(shutil.copytree(_DOCKER, tmp_path / "docker"))


def _break(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_what_is_committed_has_no_faults(docker: Path) -> None:
    assert faults_of_compose(docker / "compose.yaml") == []
    assert faults_of_kubernetes(docker / "k8s") == []


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        (
            "- name: action-socket\n            emptyDir",
            "- name: other\n            emptyDir",
            "mounts volume 'action-socket'",
        ),
        ("grpc: {port: 7078}", "grpc: {port: 7079}", "asks port 7079"),
        ('"[::]:7078"', '"127.0.0.1:7078"', "open [] to the kubelet"),
        ("name: flink-main-container", "name: flink", "no container 'flink-main-container'"),
        ("- --workers", "- --wrokers", "unknown setting 'wrokers'"),
        ("terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: 5", "is killed after 5 s"),
        ("unix:/run/flink-actions/server.sock", "unix:/tmp/server.sock", "not one volume of all"),
        ("unix:/run/flink-actions/server.sock", "0.0.0.0:7077", "can be reached from other machines"),
        ('taskmanager.numberOfTaskSlots: "2"', "taskmanager.numberOfTaskSlots: 2", "quote it"),
        ("flink.apache.org/v1beta1", "flink.apache.org/v1", "apiVersion"),
        ("readinessProbe:", "readynessProbe:", "field 'readynessProbe'"),
        ("runAsNonRoot: true", "runAsNonRoot: false", "may run as root"),
        ("sentiment-job:0.1.0", "sentimental-job:0.1.0", "no Dockerfile here makes"),
        ("sentiment-agent:0.1.0", "agent:0.1.0", "no Dockerfile here makes"),
        ("usrlib/job.py", "usrlib/jobs.py", "which is not there"),
        ("- --snippets", "- --snipets", "the following arguments are required: --snippets"),
        ("      - --server\n      - unix:", "      - --server\n      - other:", "looks for the server at other:/run"),
        (
            "      - --server\n      - unix:/run/flink-actions/server.sock\n",
            "",
            "looks for the server at localhost:7077",
        ),
        ("ENABLE_BUILT_IN_PLUGINS", "PLUGINS", "s3:// needs the plugin"),
        ("s3-fs-hadoop-2.3.0", "s3-fs-presto-2.3.0", "s3:// needs the plugin"),
        ("s3-fs-hadoop-2.3.0", "s3-fs-hadoop-2.2.0", "is not in flink:2.3.0-java17"),
        ("flink-python-2.3.0", "flink-python-2.2.0", "is not in flink:2.3.0-java17"),
    ],
)
def test_a_broken_deployment_is_named(docker: Path, before: str, after: str, fault: str) -> None:
    _break(docker / "k8s/flink-deployment.yaml", before, after)

    assert fault in "\n".join(faults_of_kubernetes(docker / "k8s"))


def test_a_policy_that_selects_nothing_is_named(docker: Path) -> None:
    _break(docker / "k8s/network-policy.yaml", "app: sentiment", "app: sentimental")

    assert "selects app 'sentimental'" in "\n".join(faults_of_kubernetes(docker / "k8s"))


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("\nvolumes:\n  socket:", "\nvolumes:", "mounts volume 'socket'"),
        ("snippets:ro", "snippets", "which is somebody's of the host"),
        ("outputs:/opt/outputs", "outputs:/opt/results", "Docker would make it root's"),
        ("--outputs, /opt/outputs", "--outputs, /opt/results", "service taskmanager has no /opt/results"),
        ("file:///opt/checkpoints", "file:///opt/saved", "service jobmanager has no /opt/saved"),
        ("--snippets, ", "--snipets, ", "the following arguments are required: --snippets"),
        ('--server, "unix:/run', '--server, "unix:/tmp', "looks for the server at unix:/tmp/flink-actions"),
        ("/opt/jobs/job.py", "/opt/jobs/main.py", "runs /opt/jobs/main.py, which is not there"),
        ("image: sentiment-agent", "image: sentiment", "no Dockerfile here makes"),
        ("server: {condition", "servers: {condition", "depends on 'servers'"),
        ("docker/agent.Dockerfile", "docker/agents.Dockerfile", "which is not there"),
        ("stop_grace_period: 45s", "stop_grace_period: 10s", "is killed after 10 s"),
    ],
)
def test_a_broken_compose_file_is_named(docker: Path, before: str, after: str, fault: str) -> None:
    _break(docker / "compose.yaml", before, after)

    assert fault in "\n".join(faults_of_compose(docker / "compose.yaml"))


@pytest.mark.parametrize(
    ("dockerfile", "before", "after"),
    [
        ("flink.Dockerfile", "mkdir -p /opt/checkpoints ", "mkdir -p "),
        ("flink.Dockerfile", "chown flink:flink /opt/checkpoints ", "chown flink:flink "),
        ("flink.Dockerfile", "chown flink:flink", "chown root:root"),
        ("server.Dockerfile", "chown 9999:9999 /run/flink-actions", "chown root /run/flink-actions"),
    ],
)
def test_a_volume_over_a_folder_that_its_image_does_not_give_to_its_user_is_named(
    docker: Path, dockerfile: str, before: str, after: str
) -> None:
    _break(docker / dockerfile, before, after)

    assert "Docker would make it root's" in "\n".join(faults_of_compose(docker / "compose.yaml"))


def test_a_dockerfile_that_does_not_say_what_it_makes_is_named(docker: Path) -> None:
    _break(docker / "job.Dockerfile", "-t sentiment-job", "")

    with pytest.raises(ValueError, match=r"job\.Dockerfile -t NAME"):
        faults_of_kubernetes(docker / "k8s")


def test_a_step_that_fails_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nRUN mkdir -p /opt/x && test -d /opt/y\n")

    with pytest.raises(Exception, match="exit status 1"):
        BareDirectory(tmp_path / "root", tmp_path).build(tmp_path / "Dockerfile")
    assert (tmp_path / "root/opt/x").is_dir()


def test_a_missing_file_and_an_unknown_instruction_are_named(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY nothing.txt /opt/\n")
    with pytest.raises(ValueError, match=r"COPY nothing\.txt"):
        BareDirectory(tmp_path / "root", tmp_path).build(tmp_path / "Dockerfile")

    (tmp_path / "Dockerfile").write_text("FROM scratch\nRUNN true\n")
    with pytest.raises(ValueError, match="'RUNN'"):
        read_dockerfile(tmp_path / "Dockerfile")
