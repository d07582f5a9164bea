"""Hello in, Welcome or Reject out. Decides only; nothing here touches a stream.

A refusal is typed for the operator and worded for a person: it names the thing, its value and the way out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flink_actions.server.fences import Claim, EpochFences, OperatorIdentity, StaleEpoch
from flink_actions.server.protocol import PROTOCOL_MAX, PROTOCOL_MIN
from flink_actions.wire.v1 import session_pb2

__all__ = ["Accepted", "Refused", "examine", "read_first_frame"]

_ID_BYTES = 16
# A pinned plan may be named by so much of its digest.
_LEAST_DIGEST_BYTES = 8
_WHAT_A_FIRST_FRAME_IS = "the first frame of a session holds Hello and nothing else"
# Key groups that Flink allows at most.
_MOST_KEY_GROUPS = 1 << 15


@dataclass(frozen=True)
class Accepted:
    """The session may go on; `superseded` are the claims of earlier starts that end by it."""

    hello: session_pb2.Hello
    operator: OperatorIdentity
    claim: Claim
    protocol: int
    config: Mapping[str, Any]
    superseded: tuple[Claim, ...]


@dataclass(frozen=True)
class Refused:
    """The session ends here."""

    reason: session_pb2.Reject.Reason
    message: str
    known_epoch: int = 0

    def to_wire(self) -> session_pb2.Reject:
        """As the operator reads it."""
        return session_pb2.Reject(reason=self.reason, message=self.message, known_epoch=self.known_epoch)


def read_first_frame(data: bytes) -> session_pb2.Hello | Refused:
    """Hello, if `data` is a frame that holds Hello alone."""
    try:
        frame = session_pb2.OperatorFrame.FromString(data)
    except Exception as error:  # protobuf's DecodeError, whose home differs between its releases
        return _malformed(f"{_WHAT_A_FIRST_FRAME_IS}; these {len(data)} bytes are no frame: {error}")
    held = [descriptor.name for descriptor, _ in frame.ListFields()]
    if held != ["hello"]:
        return _malformed(f"{_WHAT_A_FIRST_FRAME_IS}; this one holds {', '.join(held) or 'nothing'}")
    return frame.hello


def examine(
    hello: session_pb2.Hello,
    *,
    plan_digests: Mapping[str, bytes],
    fences: EpochFences,
    live_operators: Iterable[OperatorIdentity],
    allows_pickle: bool,
    is_draining: bool,
) -> Accepted | Refused:
    """Decide about `hello`. `live_operators` are those that have a session now.

    The fence is asked last, so that a refused Hello never fences anybody.
    """
    refusal = (
        _check_protocol(hello)
        or _check_form(hello)
        or (_refuse_draining() if is_draining else None)
        or _check_agent(hello, plan_digests)
        or _check_content_types(hello, allows_pickle)
        or _check_namespace(hello, live_operators)
    )
    if refusal is not None:
        return refusal
    config = _read_config(hello)
    if isinstance(config, Refused):
        return config
    operator = OperatorIdentity(hello.namespace, hello.job_id, hello.operator_uid)
    claim = Claim(hello.start_id, hello.epoch, hello.key_group_first, hello.key_group_last)
    fenced = fences.claim(operator, claim)
    if isinstance(fenced, StaleEpoch):
        return _stale(hello, fenced)
    return Accepted(hello, operator, claim, min(hello.protocol_max, PROTOCOL_MAX), config, fenced)


def _check_protocol(hello: session_pb2.Hello) -> Refused | None:
    if hello.protocol_min <= PROTOCOL_MAX and hello.protocol_max >= PROTOCOL_MIN:
        return None
    return Refused(
        session_pb2.Reject.PROTOCOL_VERSION,
        f"the job speaks protocol {hello.protocol_min} to {hello.protocol_max}, this server {PROTOCOL_MIN} to "
        f"{PROTOCOL_MAX}: upgrade the older of the two",
    )


def _check_form(hello: session_pb2.Hello) -> Refused | None:
    for name, value in (("namespace", hello.namespace), ("job_id", hello.job_id), ("operator_uid", hello.operator_uid)):
        if not value:
            return _malformed(f"Hello.{name} is empty: it keeps jobs and operators apart")
    if len(hello.start_id) != _ID_BYTES:
        return _malformed(f"Hello.start_id has {len(hello.start_id)} bytes: it is {_ID_BYTES} random ones")
    if hello.epoch == 0:
        return _malformed("Hello.epoch is 0: it is the wall clock in ms at the start, made monotonic by state")
    if not hello.key_group_first <= hello.key_group_last < _MOST_KEY_GROUPS:
        return _malformed(
            f"Hello's key groups {hello.key_group_first} to {hello.key_group_last} are no range within 0 to "
            f"{_MOST_KEY_GROUPS - 1}"
        )
    return None


def _check_agent(hello: session_pb2.Hello, plan_digests: Mapping[str, bytes]) -> Refused | None:
    if hello.agent not in plan_digests:
        return Refused(
            session_pb2.Reject.UNKNOWN_AGENT,
            f"this server has no agent {hello.agent!r}; it serves {', '.join(map(repr, sorted(plan_digests)))}. "
            "Name one of these in the job, or start the server with the agent that the job wants",
        )
    served = plan_digests[hello.agent]
    pinned = hello.pinned_plan_digest
    if pinned and (len(pinned) < _LEAST_DIGEST_BYTES or not served.startswith(pinned)):
        return Refused(
            session_pb2.Reject.PLAN_MISMATCH,
            f"the job insists on plan {pinned.hex()} of agent {hello.agent!r}, this server "
            f"serves {served.hex()}: deploy the code that the job was pinned to, or pin the job to this plan",
        )
    return None


def _check_content_types(hello: session_pb2.Hello, allows_pickle: bool) -> Refused | None:
    if session_pb2.PICKLE not in hello.accepted_content_types or allows_pickle:
        return None
    return Refused(
        session_pb2.Reject.CONTENT_TYPE,
        "the job wants to exchange pickled objects, which this server does not load, because loading a pickle runs "
        "code: start the server with --allow-pickle, or take allow_pickle (agent.allow-pickle) from the job, and give "
        "its stream a type such as ROW or STRING and the values of durable calls a JSON form",
    )


def _check_namespace(hello: session_pb2.Hello, live_operators: Iterable[OperatorIdentity]) -> Refused | None:
    for live in live_operators:
        if live.is_former(OperatorIdentity(hello.namespace, hello.job_id, hello.operator_uid)):
            return Refused(
                session_pb2.Reject.NAMESPACE_IN_USE,
                f"job {live.job_id} is at work here under namespace {hello.namespace!r} and operator uid "
                f"{hello.operator_uid!r}, so job {hello.job_id} would be answered with its work: stop one of them, "
                "or give this one a namespace of its own with the setting job-identifier",
            )
    return None


def _read_config(hello: session_pb2.Hello) -> Mapping[str, Any] | Refused:
    if not hello.config:
        return {}
    try:
        config = json.loads(hello.config)
    except (ValueError, RecursionError) as error:
        return _malformed(f"Hello.config is not JSON, or nested too deep: {error}")
    if not isinstance(config, dict):
        return _malformed(f"Hello.config is {hello.config[:80]!r}: it must be a JSON object")
    return config


def _stale(hello: session_pb2.Hello, fenced: StaleEpoch) -> Refused:
    return Refused(
        session_pb2.Reject.STALE_EPOCH,
        f"epoch {hello.epoch} of subtask {hello.subtask} is too old: another start of operator {hello.operator_uid!r} "
        f"has claimed key groups of {hello.key_group_first} to {hello.key_group_last} with epoch {fenced.known_epoch}",
        fenced.known_epoch,
    )


def _refuse_draining() -> Refused:
    return Refused(session_pb2.Reject.DRAINING, "this worker is shutting down: use another one of the directory")


def _malformed(message: str) -> Refused:
    return Refused(session_pb2.Reject.MALFORMED, message)
