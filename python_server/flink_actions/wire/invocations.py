"""An Invoke as the engine sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flink_actions.engine.invocation import CallRecord, Invocation, MemoryForm
from flink_actions.sdk.errors import NotDecodableError
from flink_actions.wire.calls import decode_call
from flink_actions.wire.v1 import session_pb2

_FORMS = (MemoryForm.AS_YOU_HAVE_IT, MemoryForm.FULL, MemoryForm.DELTA)
_JSON, _BYTES = session_pb2.ContentType.JSON, session_pb2.ContentType.BYTES


@dataclass(slots=True)
class _Copy:
    """The fields of an Invoke that an action may still ask for after its first step."""

    invocation_id: bytes
    key: bytes
    key_content_type: int
    run_number: int
    failures: int
    event_type: str
    event_source: bytes
    event_position: int
    upstream_action: str
    upstream_event_id: bytes
    timestamp: int | None
    watermark: int | None
    traceparent: str
    calls: Sequence[CallRecord]

    # Memory was taken over by a mirror in the first step.
    memory_from: bytes = b""
    clear_sensory: bool = False
    sensory_count: int = 0
    memory_path: Sequence[str] = ()
    memory_value: Sequence[bytes] = ()


class WireInvocation:
    """Reads from the message when it is asked: most invocations are never asked for most fields.

    Args:
        message: Part of a frame, which it keeps in memory; `detach` lets go of it.
    """

    __slots__ = (
        "_content_type",
        "_message",
        "_more_calls",
        "action",
        "attempt",
        "cost_bytes",
        "handle",
        "memory_form",
        "memory_version",
        "payload",
        "remaining_ms",
    )

    def __init__(self, message: session_pb2.Invoke) -> None:
        self._message: session_pb2.Invoke | _Copy = message
        self.handle = message.handle
        self.action = message.action
        self.attempt = message.attempt
        self.memory_form = _FORMS[message.memory_form]
        self.memory_version = message.memory_version
        self.payload = message.payload
        self.remaining_ms = message.remaining_ms
        self._content_type = message.content_type
        self._more_calls: Sequence[CallRecord] = ()
        self.cost_bytes = message.ByteSize()

    def detach(self) -> None:
        """Copy what may still be asked for: the message keeps its whole frame in memory."""
        message = self._message
        if isinstance(message, _Copy):
            return
        self._message = _Copy(
            invocation_id=message.invocation_id,
            key=message.key,
            key_content_type=message.key_content_type,
            run_number=message.run_number,
            failures=message.failures,
            event_type=message.event_type,
            event_source=message.event_source,
            event_position=message.event_position,
            upstream_action=message.upstream_action,
            upstream_event_id=message.upstream_event_id,
            timestamp=self.timestamp,
            watermark=self.watermark,
            traceparent=message.traceparent,
            calls=self.calls,
        )

    @property
    def invocation_id(self) -> bytes:
        return self._message.invocation_id

    @property
    def key(self) -> bytes:
        return self._message.key

    @property
    def is_key_raw(self) -> bool:
        return self._message.key_content_type == _BYTES

    @property
    def run_number(self) -> int:
        return self._message.run_number

    @property
    def failures(self) -> int:
        return self._message.failures

    @property
    def event_type(self) -> str:
        return self._message.event_type

    @property
    def is_raw(self) -> bool:
        content_type = self._content_type
        if content_type == _JSON:
            return False
        if content_type == _BYTES:
            return True
        name = (
            session_pb2.ContentType.Name(content_type)
            if content_type in session_pb2.ContentType.values()
            else content_type
        )
        raise NotDecodableError(
            self.event_type,
            f"its content type is {name}: this server reads JSON and BYTES; change the job's input type",
        )

    @property
    def event_source(self) -> bytes:
        return self._message.event_source

    @property
    def event_position(self) -> int:
        return self._message.event_position

    @property
    def upstream_action(self) -> str:
        return self._message.upstream_action

    @property
    def upstream_event_id(self) -> bytes:
        return self._message.upstream_event_id

    @property
    def timestamp(self) -> int | None:
        message = self._message
        if isinstance(message, _Copy):
            return message.timestamp
        return message.timestamp if message.HasField("timestamp") else None

    @property
    def watermark(self) -> int | None:
        message = self._message
        if isinstance(message, _Copy):
            return message.watermark
        return message.watermark if message.HasField("watermark") else None

    @property
    def traceparent(self) -> str:
        return self._message.traceparent

    @property
    def calls(self) -> Sequence[CallRecord]:
        message = self._message
        if isinstance(message, _Copy):
            return message.calls
        # Of a first attempt too: it may have begun here, been given up after the linger time, and be sent again.
        own = [decode_call(call) for call in message.calls]
        return (*own, *self._more_calls)

    def add_calls(self, calls: Sequence[CallRecord]) -> None:
        """Records that did not fit into the frame of the Invoke. Before the invocation is submitted."""
        self._more_calls = calls

    @property
    def memory_from(self) -> bytes:
        return self._message.memory_from

    @property
    def clear_sensory(self) -> bool:
        return self._message.clear_sensory

    @property
    def sensory_count(self) -> int:
        return self._message.sensory_count

    @property
    def memory_path(self) -> Sequence[str]:
        return self._message.memory_path

    @property
    def memory_value(self) -> Sequence[bytes]:
        return self._message.memory_value


def decode_invocations(frame: session_pb2.OperatorFrame) -> list[Invocation]:
    """The invocations of a frame, in order. `Invocation.cost_bytes` is the serialized size of its Invoke."""
    return [WireInvocation(message) for message in frame.invokes]
