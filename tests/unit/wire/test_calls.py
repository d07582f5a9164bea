"""Call records as messages."""

from __future__ import annotations

import pytest
from flink_actions.engine.invocation import CallNote, CallPlace, CallRecord, ContentType
from flink_actions.wire.calls import decode_call, encode_call, encode_notes
from flink_actions.wire.v1 import session_pb2


@pytest.mark.parametrize("content_type", [ContentType.JSON, ContentType.PICKLE, 99])
def test_a_value_keeps_its_content_type_there_and_back(content_type: int) -> None:
    """One that only a later version knows, too: what is done with it is decided where the value is read."""
    record = CallRecord(CallPlace("0.1", 2), "m:f", b"digest", b"value", content_type=content_type)
    (frame,) = encode_notes([CallNote(7, record)], 1 << 20)
    for message in (*frame.calls_completed, encode_call(7, record)):
        assert message.content_type == content_type
        assert decode_call(session_pb2.CallRecord.FromString(message.SerializeToString())) == record
