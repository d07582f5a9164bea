"""Invokes as the engine sees them."""

from __future__ import annotations

import pytest
from flink_actions import NotDecodableError
from flink_actions.engine.invocation import Invocation, LocalInvocation, MemoryForm
from flink_actions.wire.codec import decode_invocations
from flink_actions.wire.v1 import session_pb2

FULL = session_pb2.Invoke(
    handle=7,
    invocation_id=bytes(range(16)),
    key=b'"k"',
    run_number=2**40,
    action=3,
    attempt=2,
    failures=1,
    event_type="rated",
    payload=b'{"a":1}',
    event_source=bytes(16),
    event_position=4,
    timestamp=-5,
    watermark=0,
    upstream_action="rate",
    upstream_event_id=bytes(range(16, 32)),
    remaining_ms=1500,
    memory_version=b"version1",
    memory_form=session_pb2.DELTA,
    sensory_count=1,
    memory_path=["s", "a.b"],
    memory_value=[b"1", b"2"],
    memory_from=b"version0",
    clear_sensory=True,
    traceparent="00-a-b-01",
)

FIELDS = sorted(name for name in vars(Invocation) if not name.startswith("_") and name != "detach")
OF_MEMORY = {"memory_from", "clear_sensory", "sensory_count", "memory_path", "memory_value"}


def decode(*invokes: session_pb2.Invoke) -> list[Invocation]:
    frame = session_pb2.OperatorFrame(sequence=1, invokes=invokes)
    return decode_invocations(session_pb2.OperatorFrame.FromString(frame.SerializeToString()))


def test_every_field_of_an_invoke_is_read() -> None:
    (invocation,) = decode(FULL)
    expected = LocalInvocation(
        handle=7,
        action=3,
        invocation_id=bytes(range(16)),
        event_type="rated",
        payload=b'{"a":1}',
        attempt=2,
        key=b'"k"',
        run_number=2**40,
        failures=1,
        event_source=bytes(16),
        event_position=4,
        upstream_action="rate",
        upstream_event_id=bytes(range(16, 32)),
        timestamp=-5,
        watermark=0,
        remaining_ms=1500,
        traceparent="00-a-b-01",
        memory_form=MemoryForm.DELTA,
        memory_version=b"version1",
        memory_from=b"version0",
        clear_sensory=True,
        sensory_count=1,
        memory_path=["s", "a.b"],
        memory_value=[b"1", b"2"],
        cost_bytes=FULL.ByteSize(),
    )
    for name in FIELDS:
        assert getattr(invocation, name) == getattr(expected, name), name


def test_detached_it_says_the_same_save_for_memory_that_a_mirror_has() -> None:
    for invoke in (FULL, session_pb2.Invoke(handle=1)):
        detached, attached = decode(invoke, invoke)
        detached.detach()
        detached.detach()
        for name in FIELDS:
            if name not in OF_MEMORY:
                assert getattr(detached, name) == getattr(attached, name), name


def test_what_is_absent_is_none_and_not_zero() -> None:
    (invocation,) = decode(session_pb2.Invoke(handle=1))
    assert (invocation.timestamp, invocation.watermark) == (None, None)
    assert (invocation.memory_form, invocation.memory_version) == (MemoryForm.AS_YOU_HAVE_IT, b"")


def test_bytes_are_told_from_json() -> None:
    raw, text = decode(
        session_pb2.Invoke(content_type=session_pb2.BYTES, key_content_type=session_pb2.BYTES), session_pb2.Invoke()
    )
    assert (raw.is_raw, raw.is_key_raw) == (True, True)
    assert (text.is_raw, text.is_key_raw) == (False, False)


@pytest.mark.parametrize("content_type", ["PICKLE", "PROTOBUF"])
def test_a_content_type_that_is_not_read_here_is_refused_by_name(content_type: str) -> None:
    (invocation,) = decode(session_pb2.Invoke(event_type="x", content_type=content_type))
    with pytest.raises(NotDecodableError, match=f"its content type is {content_type}"):
        invocation.is_raw  # noqa: B018


def test_a_first_attempt_brings_records_too() -> None:
    """It may have begun, been given up after the linger time and forgotten, and now be sent again as it was."""
    record = session_pb2.CallRecord(
        place=session_pb2.CallPlace(task="0", index=1), function_id="shop:pay", arguments_digest=bytes(16), value=b"1"
    )
    (invocation,) = decode_invocations(
        session_pb2.OperatorFrame(invokes=[session_pb2.Invoke(handle=1, attempt=1, calls=[record])])
    )
    (call,) = invocation.calls
    assert (call.place, call.function_id, call.value) == (("0", 1), "shop:pay", b"1")
