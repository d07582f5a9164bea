"""What the supervisor and a worker say to each other: JSON lines over a socket pair, one message a line.

The pair is also the life line. It has no other owners, so its end tells a worker that the supervisor has gone, whatever
killed it, and the worker drains and exits: no worker ever serves on beside a newer set.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

__all__ = [
    "LONGEST_LINE",
    "Admitted",
    "AgentOffer",
    "Archived",
    "DrainOrder",
    "Heartbeat",
    "KeptFor",
    "Load",
    "LoadFailed",
    "Loaded",
    "Message",
    "Prepared",
    "Serving",
    "Start",
    "decode",
    "encode",
]

LONGEST_LINE = 16 * 1024 * 1024
"""A line carries at most the plans of one server."""


class KeptFor(NamedTuple):
    """An operator of a job whose finished work a worker keeps."""

    namespace: str
    operator_uid: str


@dataclass(frozen=True)
class Load:
    """To the process, first: what to load, and what to call itself meanwhile; the files of its black box, inherited."""

    name: str
    settings: str
    slots_fd: int = -1
    report_fd: int = -1


@dataclass(frozen=True)
class Prepared:
    """From the process: the user's code is there. What has not said this may hang in that code for good."""

    source_files: tuple[str, ...]


@dataclass(frozen=True)
class Start:
    """To the process, at once or when it is needed: it is this worker from now on, and listens there."""

    worker: str
    incarnation: bytes
    listen: str
    is_quarantine: bool = False


@dataclass(frozen=True)
class AgentOffer:
    """One agent that a worker has loaded."""

    agent: str
    plan_digest: bytes
    plan: bytes


@dataclass(frozen=True)
class Loaded:
    """From the worker: the user's code is there and the address is bound."""

    address: str
    code_digest: bytes
    agents: tuple[AgentOffer, ...]
    source_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadFailed:
    """From the worker, last: why it cannot serve, in words for the author."""

    message: str


@dataclass(frozen=True)
class Admitted:
    """To the worker: the generation it belongs to. It may serve now.

    The supervisor decides, because a worker that was restarted after the code had changed is of another generation than
    its siblings.
    """

    generation: bytes


@dataclass(frozen=True)
class Serving:
    """From the worker: sessions are accepted."""


@dataclass(frozen=True)
class Heartbeat:
    """From the worker's event loop, every second: it moves. What is blocked says nothing.

    Of its threads those are lost that run `def` actions whose attempts are over; coroutines of such count like threads.
    """

    loop_lag_us: int
    sessions: int
    kept: tuple[KeptFor, ...] = ()
    lost_threads: int = 0


@dataclass(frozen=True)
class DrainOrder:
    """To the worker: take no new work, finish within the limit, exit.

    For a reload, invocations of runs that began in the worker's generation are still taken meanwhile, and afterwards it
    may stay for `archive_seconds` as an archive. A second order replaces the first.
    """

    limit_seconds: float
    for_reload: bool = False
    archive_seconds: float = 0.0


@dataclass(frozen=True)
class Archived:
    """From the worker: it has drained for a reload, and stays to answer from what it keeps for these."""

    kept: tuple[KeptFor, ...]


Message: TypeAlias = (
    Load | Prepared | Start | Loaded | LoadFailed | Admitted | Serving | Heartbeat | DrainOrder | Archived
)

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (Load, Prepared, Start, Loaded, LoadFailed, Admitted, Serving, Heartbeat, DrainOrder, Archived)
}


def encode(message: Message) -> bytes:
    """One line, its end included."""
    fields = {"kind": type(message).__name__, **dataclasses.asdict(message)}
    return json.dumps(fields, default=_encode_bytes).encode() + b"\n"


def decode(line: bytes) -> Message:
    """What `encode` wrote."""
    fields = json.loads(line, object_hook=_decode_bytes)
    kind = _KINDS[fields.pop("kind")]
    if kind is Loaded:
        fields["agents"] = tuple(AgentOffer(**agent) for agent in fields["agents"])
    if "source_files" in fields:
        fields["source_files"] = tuple(fields["source_files"])
    if "kept" in fields:
        fields["kept"] = tuple(KeptFor(*one) for one in fields["kept"])
    message: Message = kind(**fields)
    return message


def _encode_bytes(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} has no place in a control message")


def _decode_bytes(fields: dict[str, Any]) -> Any:
    return base64.b64decode(fields["base64"]) if fields.keys() == {"base64"} else fields
