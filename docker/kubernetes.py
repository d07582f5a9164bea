"""Reads k8s/ and says what in it does not fit together.

Not a schema validator: it looks for what a schema cannot see and a first start would, such as a mount of a volume that
is not there, an image that nobody builds, a probe of a port that nobody opens, a flag that the server or the job does
not know, a file system that Flink does not, or a grace period shorter than the server's drain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from flink_actions.server.address import TcpAddress, UnixAddress, parse_address
from flink_actions.server.config import ServerSettings
from images import Image, read_images
from jobs import faults_of_job
from sidecar import (
    grace_is_long_enough,
    image_is_built,
    image_name,
    server_settings,
    socket_is_shared,
    unknown_fields,
)

__all__ = ["faults_of_kubernetes"]

_CONTAINER_FIELDS = frozenset(
    {"name", "image", "imagePullPolicy", "command", "args", "env", "envFrom", "ports", "volumeMounts", "resources"}
    | {"securityContext", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "restartPolicy", "workingDir"}
)
_KINDS = {
    "FlinkDeployment": "flink.apache.org/v1beta1",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
}
_FLINK_CONTAINER = "flink-main-container"
_SERVER_CONTAINER = "action-server"
_PLUGINS = "ENABLE_BUILT_IN_PLUGINS"


def faults_of_kubernetes(folder: Path) -> list[str]:
    """One sentence for each thing in the folder's manifests that cannot work."""
    documents = [
        (path, document) for path in sorted(folder.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())
    ]
    images = read_images(folder.parent)
    deployments = {document["metadata"]["name"] for _, document in documents if document["kind"] == "FlinkDeployment"}
    faults = [] if deployments else [f"{folder}: no FlinkDeployment"]
    for path, document in documents:
        faults += [f"{path.name}: {fault}" for fault in _manifest(document, deployments, images, folder.parents[1])]
    return faults


def _manifest(
    document: dict[str, Any], deployments: set[str], images: dict[str, Image], repository: Path
) -> Iterator[str]:
    kind = document.get("kind")
    if document.get("apiVersion") != _KINDS.get(kind or ""):
        yield f"{kind} has apiVersion {document.get('apiVersion')!r}; expected {_KINDS.get(kind or '')!r}"
        return
    if kind == "FlinkDeployment":
        yield from _deployment(document["spec"], images, repository)
        yield from _flink(document["spec"], images)
        return
    spec = document["spec"]
    selector = spec.get("selector") or spec.get("podSelector") or {}
    app = selector.get("matchLabels", {}).get("app")
    if app not in deployments:
        yield f"{kind} selects app {app!r}; the deployments are {sorted(deployments)}"


def _deployment(spec: dict[str, Any], images: dict[str, Image], repository: Path) -> Iterator[str]:
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
    yield from image_is_built(_SERVER_CONTAINER, server["image"], images)
    settings = yield from server_settings(_SERVER_CONTAINER, server["args"])
    if settings is not None and isinstance(settings.address, UnixAddress):
        mounts = {
            name: {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", [])}
            for name, container in containers.items()
        }
        yield from socket_is_shared(settings.address, mounts)
    if settings is not None:
        yield from _probed_ports_are_open(server, settings)
        image = images.get(image_name(spec["image"]))
        sources = {path: repository / source for path, source in (image.files if image else {}).items()}
        yield from faults_of_job("the job", spec["job"]["args"], sources, str(settings.address))
    yield from grace_is_long_enough(_SERVER_CONTAINER, settings, pod.get("terminationGracePeriodSeconds", 30))
    if not pod.get("securityContext", {}).get("runAsNonRoot"):
        yield "the TaskManager's pod may run as root: set runAsNonRoot"


def _flink(spec: dict[str, Any], images: dict[str, Image]) -> Iterator[str]:
    """Its image, and that what it is to load of its own is in there."""
    yield from image_is_built("the deployment", spec["image"], images)
    containers = spec.get("podTemplate", {}).get("spec", {}).get("containers", [])
    plugins = " ".join(
        variable["value"]
        for container in containers
        if container["name"] == _FLINK_CONTAINER
        for variable in container.get("env", [])
        if variable["name"] == _PLUGINS
    )
    # Of the two, the one for Presto cannot write the files of a sink.
    if "s3://" in str(spec) and "flink-s3-fs-hadoop-" not in plugins:
        yield f"s3:// needs the plugin flink-s3-fs-hadoop-VERSION.jar: name it in {_PLUGINS} of spec.podTemplate"
    if image_name(spec["image"]) in images:
        base = images[image_name(spec["image"])].base
        for jar, version in re.findall(
            r"(flink-[a-z0-9-]+-(\d+\.\d+\.\d+)\.jar)", f"{spec['job']['jarURI']} {plugins}"
        ):
            if not base.startswith(f"flink:{version}-"):
                yield f"{jar} is not in {base}, on which {spec['image']} is built"


def _container(container: dict[str, Any], volumes: set[str]) -> Iterator[str]:
    name = f"container {container['name']}"
    yield from unknown_fields(name, container, _CONTAINER_FIELDS)
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
