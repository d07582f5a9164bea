"""Durable calls on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flink_actions.engine.invocation import CallFailure, CallNote, CallPlace, CallRecord
from flink_actions.wire.v1 import session_pb2

_FRAME_BYTES = 256


def decode_call(message: session_pb2.CallRecord) -> CallRecord:
    """A record as the engine sees it."""
    place = CallPlace(message.place.task, message.place.index)
    outcome = message.WhichOneof("outcome")
    if outcome == "value":
        return CallRecord(
            place, message.function_id, message.arguments_digest, message.value, content_type=message.content_type
        )
    if outcome == "failure":
        failure = message.failure
        told = CallFailure(failure.exception, failure.message, failure.is_terminal, failure.arguments)
        return CallRecord(place, message.function_id, message.arguments_digest, failure=told)
    return CallRecord(place, message.function_id, message.arguments_digest)


def decode_places(recorded: session_pb2.CallsRecorded) -> list[CallPlace]:
    """The places that the operator acknowledges."""
    return [CallPlace(place.task, place.index) for place in recorded.places]


def encode_places(places: Iterable[CallPlace]) -> list[session_pb2.CallPlace]:
    """Places as messages."""
    return [session_pb2.CallPlace(task=place.task, index=place.index) for place in places]


def encode_notes(notes: Sequence[CallNote], max_frame_bytes: int) -> list[session_pb2.WorkerFrame]:
    """Notes as few frames, in order, none above the limit; the engine has seen to it that each fits on its own."""
    frames: list[session_pb2.WorkerFrame] = []
    frame, size = session_pb2.WorkerFrame(), 0
    for handle, record in notes:
        added = (
            _FRAME_BYTES
            + 3 * (len(record.function_id) + len(record.place.task))
            + len(record.value or b"")
            + (3 * len(record.failure.message) + len(record.failure.arguments) if record.failure else 0)
        )
        if size and size + added > max_frame_bytes:
            frames.append(frame)
            frame, size = session_pb2.WorkerFrame(), 0
        size += added
        if record.is_complete:
            _fill(frame.calls_completed.add(), handle, record)
        else:
            started = frame.calls_started.add(
                handle=handle, function_id=record.function_id, arguments_digest=record.arguments_digest
            )
            started.place.task, started.place.index = record.place
            started.place.SetInParent()
    if size:
        frames.append(frame)
    return frames


def _fill(message: session_pb2.CallRecord, handle: int, record: CallRecord) -> None:
    message.handle = handle
    message.place.SetInParent()
    message.place.task, message.place.index = record.place
    message.function_id = record.function_id
    message.arguments_digest = record.arguments_digest
    if record.value is not None:
        message.value = record.value
        # Not through the enum: one of a later version goes on as it came.
        message.content_type = record.content_type  # type: ignore[assignment]
    elif record.failure is not None:
        failure = message.failure
        failure.exception, failure.message, failure.is_terminal, failure.arguments = record.failure


def encode_call(handle: int, record: CallRecord) -> session_pb2.CallRecord:
    """A record as a message."""
    message = session_pb2.CallRecord()
    _fill(message, handle, record)
    if not record.is_complete:
        message.started_only = True
    return message
