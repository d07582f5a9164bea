"""Reads compose.yaml and says what in it does not fit together.

Not a schema validator: it looks for what a schema cannot see and a first start would, such as a volume that its user
may not write, a folder of the job's that Flink does not have, an argument that the job does not know, or a socket that
only one of the two containers has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from flink_actions.server.address import UnixAddress
from images import Image, read_images
from jobs import faults_of_job
from sidecar import grace_is_long_enough, image_is_built, server_settings, socket_is_shared, unknown_fields

__all__ = ["faults_of_compose"]

_SERVICE_FIELDS = frozenset(
    {"build", "image", "command", "environment", "ports", "volumes", "depends_on", "stop_grace_period", "restart"}
    | {"profiles", "read_only", "cap_drop", "security_opt", "tmpfs", "healthcheck", "user"}
)
# Services of the compose file that meet on the server's socket.
_SOCKET_HOLDERS = ("server", "taskmanager")


def faults_of_compose(path: Path) -> list[str]:
    """One sentence for each thing in the compose file that cannot work."""
    return [f"{path.name}: {fault}" for fault in _compose(yaml.safe_load(path.read_text()), path.parent)]


class _Mount(NamedTuple):
    source: str
    folder: str
    is_read_only: bool

    @property
    def is_of_the_host(self) -> bool:
        return self.source.startswith((".", "/", "$"))


def _compose(document: dict[str, Any], folder: Path) -> Iterator[str]:
    services, volumes = document["services"], document.get("volumes", {})
    images = read_images(folder)
    for name, service in services.items():
        yield from unknown_fields(f"service {name}", service, _SERVICE_FIELDS)
        yield from _build(name, service, folder)
        yield from image_is_built(f"service {name}", service.get("image", ""), images)
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                yield f"service {name} depends on {other!r}, which is not there"
            elif how.get("condition") == "service_healthy" and "healthcheck" not in services[other]:
                yield f"service {name} waits for {other!r} to be healthy, which has no healthcheck"
        for mount in _mounts(service):
            yield from _mount(name, mount, volumes, images.get(service.get("image", "")))
    server = services["server"]
    settings = yield from server_settings("service server", server["command"])
    if settings is not None:
        if isinstance(settings.address, UnixAddress):
            yield from socket_is_shared(
                settings.address,
                {name: {mount.source: mount.folder for mount in _mounts(services[name])} for name in _SOCKET_HOLDERS},
            )
        yield from _job(services, str(settings.address), folder)
    yield from grace_is_long_enough(
        "service server", settings, float(str(server["stop_grace_period"]).removesuffix("s"))
    )


def _mount(name: str, mount: _Mount, volumes: dict[str, Any], image: Image | None) -> Iterator[str]:
    if mount.is_of_the_host:
        if not mount.is_read_only:
            yield f"service {name} may write {mount.source}, which is somebody's of the host: mount it with `:ro`"
    elif mount.source not in volumes:
        yield f"service {name} mounts volume {mount.source!r}, which is not declared"
    elif image is not None and not image.may_write(mount.folder):
        yield (
            f"service {name} mounts volume {mount.source!r} at {mount.folder}, which image {image.name} does not make"
            f" and give to its user {image.user}: Docker would make it root's"
        )


def _job(services: dict[str, Any], server: str, folder: Path) -> Iterator[str]:
    """The service that submits the job, and that Flink has what the job names, and its checkpoints."""
    job = services["job"]
    sources = {
        f"{mount.folder}/{file.name}": file
        for mount in _mounts(job)
        if mount.is_of_the_host
        for file in (folder / mount.source).glob("*.py")
    }
    yield from faults_of_job("service job", job["command"], sources, server)
    of_job = [word for word in job["command"] if word.startswith("/") and word not in sources]
    for name in ("jobmanager", "taskmanager"):
        mounted = [mount.folder for mount in _mounts(services[name])]
        for needed in of_job + re.findall(r"file://(/\S+)", services[name]["environment"]["FLINK_PROPERTIES"]):
            if needed not in mounted:
                yield f"service {name} has no {needed}; it has {sorted(mounted)}"


def _build(name: str, service: dict[str, Any], folder: Path) -> Iterator[str]:
    if "build" in service:
        context = folder / service["build"]["context"]
        dockerfile = context / service["build"]["dockerfile"]
        if not dockerfile.is_file():
            yield f"service {name} is built from {dockerfile}, which is not there"


def _mounts(service: dict[str, Any]) -> list[_Mount]:
    """A default in `${NAME:-default}` has a colon of its own."""
    entries = [re.fullmatch(r"((?:\$\{[^}]*\}|[^:])+):([^:]+)(:ro)?", entry) for entry in service.get("volumes", [])]
    return [_Mount(entry[1], entry[2], bool(entry[3])) for entry in entries if entry is not None]
