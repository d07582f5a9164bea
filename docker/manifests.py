"""Reads compose.yaml and k8s/ and says what in them does not fit together.

Not a schema validator: it looks for what a schema cannot see and a first start would, such as a mount of a volume that
is not there, a probe of a port that nobody opens, a socket in a folder that only one of the two containers has, a flag
that the server does not know, or a grace period shorter than the server's drain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from flink_actions.server.address import TcpAddress, UnixAddress, parse_address
from flink_actions.server.config import ServerSettings, read_settings
from flink_actions.server.errors import ConfigError

__all__ = ["faults_of_compose", "faults_of_kubernetes"]

_CONTAINER_FIELDS = frozenset(
    {"name", "image", "imagePullPolicy", "command", "args", "env", "envFrom", "ports", "volumeMounts", "resources"}
    | {"securityContext", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "restartPolicy", "workingDir"}
)
_SERVICE_FIELDS = frozenset(
    {"build", "image", "command", "environment", "ports", "volumes", "depends_on", "stop_grace_period", "restart"}
    | {"read_only", "cap_drop", "security_opt", "tmpfs", "healthcheck", "user"}
)
_KINDS = {
    "FlinkDeployment": "flink.apache.org/v1beta1",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
}
_FLINK_CONTAINER = "flink-main-container"
_SERVER_CONTAINER = "action-server"


def faults_of_compose(path: Path) -> list[str]:
    """One sentence for each thing in the compose file that cannot work."""
    return [f"{path.name}: {fault}" for fault in _compose(yaml.safe_load(path.read_text()), path.parent)]


def faults_of_kubernetes(folder: Path) -> list[str]:
    """One sentence for each thing in the folder's manifests that cannot work."""
    documents = [
        (path, document) for path in sorted(folder.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())
    ]
    deployments = {document["metadata"]["name"] for _, document in documents if document["kind"] == "FlinkDeployment"}
    faults = [] if deployments else [f"{folder}: no FlinkDeployment"]
    for path, document in documents:
        faults += [f"{path.name}: {fault}" for fault in _manifest(document, deployments)]
    return faults


# ---- compose


def _compose(document: dict[str, Any], folder: Path) -> Iterator[str]:
    services, volumes = document["services"], document.get("volumes", {})
    for name, service in services.items():
        yield from _unknown(f"service {name}", service, _SERVICE_FIELDS)
        yield from _compose_build(name, service, folder)
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                yield f"service {name} depends on {other!r}, which is not there"
            elif how.get("condition") == "service_healthy" and "healthcheck" not in services[other]:
                yield f"service {name} waits for {other!r} to be healthy, which has no healthcheck"
        for volume in _mounts(service):
            if volume not in volumes and not volume.startswith((".", "/", "$")):
                yield f"service {name} mounts volume {volume!r}, which is not declared"
    server = services["server"]
    settings = yield from _server_settings("service server", server["command"])
    if settings is not None and isinstance(settings.address, UnixAddress):
        yield from _socket_is_shared(
            settings.address, {name: _mounts(services[name]) for name in ("server", "taskmanager")}
        )
    yield from _grace("service server", settings, float(str(server["stop_grace_period"]).removesuffix("s")))


def _compose_build(name: str, service: dict[str, Any], folder: Path) -> Iterator[str]:
    if "build" in service:
        context = folder / service["build"]["context"]
        dockerfile = context / service["build"]["dockerfile"]
        if not dockerfile.is_file():
            yield f"service {name} is built from {dockerfile}, which is not there"
    elif "image" not in service:
        yield f"service {name} has neither build nor image"


def _mounts(service: dict[str, Any]) -> dict[str, str]:
    """Volume → folder in the container. A default in `${NAME:-default}` has a colon of its own."""
    mounts = {}
    for entry in service.get("volumes", []):
        source, target = re.match(r"((?:\$\{[^}]*\}|[^:])+):([^:]+)", entry).groups()  # type: ignore[union-attr]
        mounts[source] = target
    return mounts


# ---- Kubernetes


def _manifest(document: dict[str, Any], deployments: set[str]) -> Iterator[str]:
    kind = document.get("kind")
    if document.get("apiVersion") != _KINDS.get(kind or ""):
        yield f"{kind} has apiVersion {document.get('apiVersion')!r}; expected {_KINDS.get(kind or '')!r}"
        return
    if kind == "FlinkDeployment":
        yield from _deployment(document["spec"])
        return
    spec = document["spec"]
    selector = spec.get("selector") or spec.get("podSelector") or {}
    app = selector.get("matchLabels", {}).get("app")
    if app not in deployments:
        yield f"{kind} selects app {app!r}; the deployments are {sorted(deployments)}"


def _deployment(spec: dict[str, Any]) -> Iterator[str]:
    for name, value in spec["flinkConfiguration"].items():
        if not isinstance(value, str):
            kind = type(value).__name__
            yield f"flinkConfiguration {name} is the {kind} {value!r}; the CRD takes strings only: quote it"
    pod = spec["taskManager"]["podTemplate"]["spec"]
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    containers = {container["name"]: container for container in pod["containers"]}
    for wanted in (_FLINK_CONTAINER, _SERVER_CONTAINER):
        if wanted not in containers:
            yield f"the TaskManager's pod has no container {wanted!r}; it has {sorted(containers)}"
            return
    for container in containers.values():
        yield from _container(container, volumes)
    server = containers[_SERVER_CONTAINER]
    settings = yield from _server_settings(_SERVER_CONTAINER, server["args"])
    if settings is not None and isinstance(settings.address, UnixAddress):
        mounts = {
            name: {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", [])}
            for name, container in containers.items()
        }
        yield from _socket_is_shared(settings.address, mounts)
    if settings is not None:
        yield from _probed_ports_are_open(server, settings)
    yield from _grace(_SERVER_CONTAINER, settings, pod.get("terminationGracePeriodSeconds", 30))
    if not pod.get("securityContext", {}).get("runAsNonRoot"):
        yield "the TaskManager's pod may run as root: set runAsNonRoot"


def _container(container: dict[str, Any], volumes: set[str]) -> Iterator[str]:
    name = f"container {container['name']}"
    yield from _unknown(name, container, _CONTAINER_FIELDS)
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in volumes:
            yield f"{name} mounts volume {mount['name']!r}; the pod has {sorted(volumes)}"
    ports = container.get("ports", [])
    known = {port["containerPort"] for port in ports} | {port.get("name") for port in ports}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        for handler in ("grpc", "tcpSocket", "httpGet"):
            asked = container.get(probe, {}).get(handler, {}).get("port")
            if asked is not None and asked not in known:
                yield f"{name}: {probe} asks port {asked}; the container's ports are {sorted(map(str, known))}"
            if handler == "grpc" and isinstance(asked, str):
                yield f"{name}: {probe} names port {asked!r}; a gRPC probe takes a number"


def _probed_ports_are_open(container: dict[str, Any], settings: ServerSettings) -> Iterator[str]:
    """The kubelet dials the pod's address: a port of loopback or of a Unix socket's server answers nobody."""
    addresses = [settings.address, *([parse_address(settings.health_listen)] if settings.health_listen else [])]
    open_ports = {address.port for address in addresses if isinstance(address, TcpAddress) and address.is_public}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container.get(probe, {}).get("grpc", {}).get("port")
        if asked is not None and asked not in open_ports:
            yield f"{probe} asks port {asked}; the server's arguments open {sorted(open_ports)} to the kubelet"


# ---- both


def _unknown(name: str, given: dict[str, Any], known: frozenset[str]) -> Iterator[str]:
    for field in given.keys() - known:
        yield f"{name} has the field {field!r}, which means nothing there"


def _server_settings(name: str, arguments: list[str]) -> Any:
    """The settings that the server would have; a fault and None if it would refuse its command line."""
    flags: dict[str, Any] = {"targets": []}
    words = iter(arguments)
    for word in words:
        if word.startswith("--"):
            flags[word.removeprefix("--").replace("-", "_")] = next(words, "")
        else:
            flags["targets"].append(word)
    try:
        return read_settings(flags, environment={})
    except ConfigError as error:
        yield f"{name}: the server refuses these arguments: {error}"
        return None


def _socket_is_shared(address: UnixAddress, mounts: dict[str, dict[str, str]]) -> Iterator[str]:
    folder = str(Path(address.path).parent)
    holders = {name: next((v for v, path in of.items() if path == folder), None) for name, of in mounts.items()}
    if None in holders.values() or len(set(holders.values())) != 1:
        yield f"the server's socket is in {folder}, which is not one volume of all: {holders}"


def _grace(name: str, settings: ServerSettings | None, grace_seconds: float) -> Iterator[str]:
    if settings is not None and grace_seconds <= settings.drain_seconds:
        yield f"{name} is killed after {grace_seconds:g} s, but drains for up to {settings.drain_seconds:g} s"
