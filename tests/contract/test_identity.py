"""The digests and ids of session.proto, "Identity", against the cases that JUnit reads too (IdentitiesTest).

The operator computes them (and the SDK the ids of events); what stands here is the proto's text once more, in the
plainest Python, so that two readings of it have to agree.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from flink_actions.sdk import events
from flink_actions.wire.v1 import session_pb2

CASES = json.loads((Path(__file__).parent / "cases" / "identity.json").read_text())


def h(*fields: bytes) -> bytes:
    return hashlib.sha256(b"".join(len(field).to_bytes(4, "big") + field for field in fields)).digest()[:16]


def integer(value: int) -> bytes:
    return value.to_bytes(8, "big", signed=True)


@pytest.mark.parametrize("case", CASES["events"], ids=lambda case: case["name"])
def test_an_event_is_named_by_its_content(case: dict[str, Any]) -> None:
    timestamp = b"" if case["timestamp"] is None else integer(case["timestamp"])
    content_type = integer(session_pb2.ContentType.Value(case["content_type"]))
    digest = h(b"event", case["type"].encode(), content_type, base64.b64decode(case["payload"]), timestamp)
    assert digest.hex() == case["digest"]


@pytest.mark.parametrize("case", CASES["runs"], ids=lambda case: case["name"])
def test_a_run_is_named_by_its_key_number_and_input(case: dict[str, Any]) -> None:
    run_id = h(
        b"run",
        case["namespace"].encode(),
        case["operator_uid"].encode(),
        base64.b64decode(case["key"]),
        integer(case["run_number"]),
        bytes.fromhex(case["input_digest"]),
    )
    assert run_id.hex() == case["id"]


@pytest.mark.parametrize("case", CASES["invocations"], ids=lambda case: case["name"])
def test_an_invocation_is_named_by_its_run_action_and_event(case: dict[str, Any]) -> None:
    invocation_id = h(
        b"invocation",
        bytes.fromhex(case["run_id"]),
        case["action"].encode(),
        integer(case["ordinal"]),
        bytes.fromhex(case["event_digest"]),
    )
    assert invocation_id.hex() == case["id"]


@pytest.mark.parametrize("case", CASES["event_ids"], ids=lambda case: f"{case['source'][:8]}-{case['position']}")
def test_an_emitted_event_has_the_uuid_of_its_source_and_position(case: dict[str, Any]) -> None:
    assert str(events.event_id(bytes.fromhex(case["source"]), case["position"])) == case["id"]


def test_no_two_cases_share_a_name() -> None:
    names = [case.get("digest") or case["id"] for cases in CASES.values() for case in cases]
    assert len(names) == len(set(names))
