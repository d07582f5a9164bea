"""What holds of each manifest that runs the server beside Flink, whoever reads it.

Each check yields one sentence for each thing that cannot work.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flink_actions.server.address import UnixAddress
from flink_actions.server.config import ServerSettings, read_settings
from flink_actions.server.errors import ConfigError
from images import Image

__all__ = [
    "grace_is_long_enough",
    "image_is_built",
    "image_name",
    "server_settings",
    "socket_is_shared",
    "unknown_fields",
]


def image_name(image: str) -> str:
    """Without its tag."""
    return image.partition(":")[0]


def image_is_built(name: str, image: str, images: dict[str, Image]) -> Iterator[str]:
    if image_name(image) not in images:
        yield f"{name} runs image {image!r}, which no Dockerfile here makes; they make {sorted(images)}"


def unknown_fields(name: str, given: dict[str, Any], known: frozenset[str]) -> Iterator[str]:
    for field in given.keys() - known:
        yield f"{name} has the field {field!r}, which means nothing there"


def server_settings(name: str, arguments: list[str]) -> Any:
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


def socket_is_shared(address: UnixAddress, mounts: dict[str, dict[str, str]]) -> Iterator[str]:
    folder = str(Path(address.path).parent)
    holders = {name: next((v for v, path in of.items() if path == folder), None) for name, of in mounts.items()}
    if None in holders.values() or len(set(holders.values())) != 1:
        yield f"the server's socket is in {folder}, which is not one volume of all: {holders}"


def grace_is_long_enough(name: str, settings: ServerSettings | None, grace_seconds: float) -> Iterator[str]:
    if settings is not None and grace_seconds <= settings.drain_seconds:
        yield f"{name} is killed after {grace_seconds:g} s, but drains for up to {settings.drain_seconds:g} s"
