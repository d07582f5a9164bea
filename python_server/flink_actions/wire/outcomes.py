"""Outcomes as frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from flink_actions.engine.failures import shortened
from flink_actions.engine.invocation import (
    Bounced,
    Failed,
    FailureKind,
    HandedBack,
    NeedsMemory,
    Outcome,
    Succeeded,
)
from flink_actions.wire.calls import encode_places
from flink_actions.wire.v1 import session_pb2

# What a result, an event and a memory change take beside their text and bytes: lengths, counts, versions. Rather too
# much than too little: a frame above the limit breaks the session.
_RESULT_BYTES = 48
_ENTRY_BYTES = 16
_FRAME_BYTES = 256
# Of an error that says what could not be encoded; the value itself may be in it.
_REASON_LENGTH = 1000
_JSON, _BYTES = session_pb2.ContentType.JSON, session_pb2.ContentType.BYTES


def encode_outcomes(outcomes: Sequence[Outcome], max_frame_bytes: int) -> list[session_pb2.WorkerFrame]:
    """Outcomes as few frames, in order, none above the limit. `sequence` and `ack` are left to the session.

    A Result that exceeds the limit on its own becomes a Failure TOO_LARGE, one that has no wire form a Failure
    NOT_ENCODABLE: whatever an action has done, the session lives on.
    """
    try:
        return _encode(outcomes, max_frame_bytes)
    except Exception:  # whatever an author's value can trip over; looking at each first would cost those that are sound
        return _encode([_with_wire_form(outcome, max_frame_bytes) for outcome in outcomes], max_frame_bytes)


def _with_wire_form(outcome: Outcome, max_frame_bytes: int) -> Outcome:
    try:
        _encode((outcome,), max_frame_bytes)
    except Exception as error:
        if isinstance(outcome, Failed):
            message = f"the failure's own text could not be sent: {type(error).__name__}"
            return Failed(
                outcome.handle, outcome.kind, "", message, cost_bytes=outcome.cost_bytes, ran_ms=outcome.ran_ms
            )
        assert isinstance(outcome, Succeeded), "what says neither has nothing of an author's in it"
        reason = str(error).encode("utf-8", "backslashreplace").decode()[:_REASON_LENGTH]
        return Failed(
            outcome.handle,
            FailureKind.NOT_ENCODABLE,
            "",
            f"the action's result has no wire form: {type(error).__name__}: {reason}",
            cost_bytes=outcome.cost_bytes,
            # What was paid was paid.
            metrics=outcome.metrics,
            ran_ms=outcome.ran_ms,
        )
    return outcome


def _encode(outcomes: Sequence[Outcome], max_frame_bytes: int) -> list[session_pb2.WorkerFrame]:
    frames: list[session_pb2.WorkerFrame] = []
    columns = _Columns()
    limit = max_frame_bytes - _FRAME_BYTES
    for outcome in outcomes:
        # Added first and measured on the way: measuring first would look at everything twice.
        added = columns.add(outcome)
        if columns.size <= limit:
            continue
        columns.take_back(outcome, added)
        if columns.size:
            frames.append(columns.frame())
            columns = _Columns()
        if added > limit:
            outcome = _fitting(outcome, added, max_frame_bytes)
        columns.add(outcome)
    if columns.size:
        frames.append(columns.frame())
    return frames


def _fitting(outcome: Outcome, size: int, max_frame_bytes: int) -> Outcome:
    """What to say of an outcome that exceeds a frame on its own."""
    failed = _too_large(outcome, size, max_frame_bytes) if isinstance(outcome, Succeeded) else outcome
    limit = max_frame_bytes - _FRAME_BYTES
    if not isinstance(failed, Failed) or _size_of_failure(failed) <= limit:
        return failed
    # All three together are three quarters of a frame at most, in whatever script they are.
    longest = limit // 12
    failed = replace(
        failed,
        exception=shortened(failed.exception, longest),
        message=shortened(failed.message, longest),
        stack=shortened(failed.stack, longest),
    )
    return failed if _size_of_failure(failed) <= limit else replace(failed, metrics=())


def _too_large(result: Succeeded, size: int, max_frame_bytes: int) -> Failed:
    parts = [(len(payload), f"event, {event_type!r}") for event_type, payload, _ in result.events]
    if result.changes is not None:
        for memory in (result.changes.sensory, result.changes.short_term):
            parts += [(len(value), f"change of memory, {path!r}") for path, value in memory.items()]
    bytes_of_largest, largest = max(parts, default=(0, "part"))
    return Failed(
        result.handle,
        FailureKind.TOO_LARGE,
        "",
        f"the action's result takes about {size} bytes and a frame at most {max_frame_bytes}; its largest {largest}, "
        f"has {bytes_of_largest} bytes: send and keep less, or a reference to where it lies, or raise the server's "
        "--max-frame-bytes (jobs take 16 MiB)",
        cost_bytes=result.cost_bytes,
        metrics=result.metrics,
        ran_ms=result.ran_ms,
    )


def _size_of_failure(failed: Failed) -> int:
    size = _RESULT_BYTES + 3 * (len(failed.stack) + len(failed.message) + len(failed.exception))
    size += sum(_ENTRY_BYTES + len(place.task) for place in failed.drop_calls)
    return size + sum(delta.size for delta in failed.metrics)


class _Columns:
    """One frame on its way: columns as plain lists, copied into the message once.

    `size` is never less than what the frame will take: texts count three bytes for each character.
    """

    __slots__ = (
        "bounces",
        "content_types",
        "event_counts",
        "event_payloads",
        "event_types",
        "failures",
        "handed_back",
        "handles",
        "has_raw_events",
        "memory_bases",
        "memory_paths",
        "memory_values",
        "memory_versions",
        "metrics",
        "need_memory",
        "ran_ms",
        "sensory_counts",
        "short_term_counts",
        "size",
    )

    def __init__(self) -> None:
        self.size = 0
        self.handles: list[int] = []
        self.event_counts: list[int] = []
        self.event_types: list[str] = []
        self.event_payloads: list[bytes] = []
        # Empty while all events are JSON.
        self.content_types: list[session_pb2.ContentType] = []
        self.has_raw_events = False
        # Empty while no result has changed memory.
        self.sensory_counts: list[int] = []
        self.short_term_counts: list[int] = []
        self.memory_bases: list[bytes] = []
        self.memory_versions: list[bytes] = []
        self.memory_paths: list[str] = []
        self.memory_values: list[bytes] = []
        self.handed_back: list[int] = []
        # Empty while no result had a time limit, and no longer than up to the last that had.
        self.ran_ms: list[int] = []
        self.failures: list[session_pb2.Failure] = []
        self.bounces: list[session_pb2.Bounce] = []
        self.need_memory: list[int] = []
        self.metrics: list[session_pb2.MetricDelta] = []

    def add(self, outcome: Outcome) -> int:
        """Add an outcome; gives back by how much the frame grew."""
        if type(outcome) is Succeeded:
            added = self._add_result(outcome)
        elif isinstance(outcome, Succeeded):
            added = self._add_result(outcome) + self._add_metrics(outcome)
            if outcome.ran_ms:
                self.ran_ms += [0] * (len(self.handles) - 1 - len(self.ran_ms))
                self.ran_ms.append(outcome.ran_ms)
            if isinstance(outcome, HandedBack):
                self.handed_back.append(outcome.handle)
        else:
            added = _RESULT_BYTES
            if isinstance(outcome, Failed):
                added = _size_of_failure(outcome)
                self._add_metrics(outcome)
                self.failures.append(_failure_message(outcome))
            elif isinstance(outcome, NeedsMemory):
                self.need_memory.append(outcome.handle)
            elif isinstance(outcome, Bounced):
                reason = session_pb2.Bounce.Reason.Name(outcome.reason.value)
                self.bounces.append(session_pb2.Bounce(handle=outcome.handle, reason=reason))
        self.size += added
        return added

    def take_back(self, outcome: Outcome, added: int) -> None:
        """Undo the last `add`. Nothing but `frame` may follow."""
        self.size -= added
        if isinstance(outcome, (Succeeded, Failed)) and outcome.metrics:
            del self.metrics[-len(outcome.metrics) :]
        if isinstance(outcome, Failed):
            self.failures.pop()
        elif isinstance(outcome, NeedsMemory):
            self.need_memory.pop()
        elif isinstance(outcome, Bounced):
            self.bounces.pop()
        else:
            self._take_back_result(outcome)
            if isinstance(outcome, HandedBack):
                self.handed_back.pop()

    def _add_metrics(self, outcome: Succeeded | Failed) -> int:
        for delta in outcome.metrics:
            self.metrics.append(
                session_pb2.MetricDelta(
                    handle=outcome.handle,
                    path=delta.path,
                    is_of_action=delta.is_of_action,
                    kind=session_pb2.MetricDelta.Kind.Name(delta.kind.value),
                    value=delta.value,
                    is_of_server=delta.is_of_server,
                )
            )
        return sum(delta.size for delta in outcome.metrics)

    def _add_result(self, result: Succeeded) -> int:
        size = _RESULT_BYTES
        self.handles.append(result.handle)
        events = result.events
        self.event_counts.append(len(events))
        for event_type, payload, is_raw in events:
            size += _ENTRY_BYTES + 3 * len(event_type) + len(payload)
            self.event_types.append(event_type)
            self.event_payloads.append(payload)
            if is_raw or self.has_raw_events:
                self._add_content_type(is_raw)
        changes = result.changes
        if changes is None:
            if self.memory_bases:
                self.sensory_counts.append(0)
                self.short_term_counts.append(0)
            return size
        if not self.memory_bases:
            # The first one that changed memory: those before it changed none.
            self.sensory_counts = [0] * (len(self.handles) - 1)
            self.short_term_counts = [0] * (len(self.handles) - 1)
        base, version, sensory, short_term = changes
        self.sensory_counts.append(len(sensory))
        self.short_term_counts.append(len(short_term))
        self.memory_bases.append(base)
        self.memory_versions.append(version)
        for entries in (sensory, short_term):
            for path, value in entries.items():
                size += _ENTRY_BYTES + 3 * len(path) + len(value)
                self.memory_paths.append(path)
                self.memory_values.append(value)
        return size

    def _take_back_result(self, result: Succeeded) -> None:
        self.handles.pop()
        del self.ran_ms[len(self.handles) :]
        self.event_counts.pop()
        kept = len(self.event_types) - len(result.events)
        del self.event_types[kept:], self.event_payloads[kept:], self.content_types[kept:]
        if self.memory_bases:
            self.sensory_counts.pop()
            self.short_term_counts.pop()
        if result.changes is not None:
            self.memory_bases.pop()
            self.memory_versions.pop()
            kept = len(self.memory_paths) - len(result.changes.sensory) - len(result.changes.short_term)
            del self.memory_paths[kept:], self.memory_values[kept:]

    def _add_content_type(self, is_raw: bool) -> None:
        if not self.has_raw_events:
            self.has_raw_events = True
            self.content_types = [_JSON] * (len(self.event_types) - 1)
        self.content_types.append(_BYTES if is_raw else _JSON)

    def frame(self) -> session_pb2.WorkerFrame:
        """The message."""
        frame = session_pb2.WorkerFrame(failures=self.failures, bounces=self.bounces, need_memory=self.need_memory)
        if self.metrics:
            frame.metrics.extend(self.metrics)
        if self.handles:
            results = frame.results
            results.handle.extend(self.handles)
            results.handed_back.extend(self.handed_back)
            results.event_count.extend(self.event_counts)
            if self.ran_ms:
                results.ran_ms.extend(self.ran_ms)
                results.ran_ms.extend([0] * (len(self.handles) - len(self.ran_ms)))
            results.event_type.extend(self.event_types)
            results.event_payload.extend(self.event_payloads)
            results.event_content_type.extend(self.content_types)
            if self.memory_bases:
                results.sensory_count.extend(self.sensory_counts)
                results.short_term_count.extend(self.short_term_counts)
                results.memory_base.extend(self.memory_bases)
                results.memory_version.extend(self.memory_versions)
                results.memory_path.extend(self.memory_paths)
                results.memory_value.extend(self.memory_values)
        return frame


def _failure_message(failed: Failed) -> session_pb2.Failure:
    return session_pb2.Failure(
        handle=failed.handle,
        kind=session_pb2.Failure.Kind.Name(failed.kind.value),
        exception=failed.exception,
        message=failed.message,
        stack=failed.stack,
        retry_after_ms=failed.retry_after_ms,
        drop_calls=encode_places(failed.drop_calls),
        ran_ms=failed.ran_ms,
    )
