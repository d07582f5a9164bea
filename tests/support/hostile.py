"""Frames that no operator sends, by a seed: half-true ones, which get furthest, and plain rubbish."""

from __future__ import annotations

import random
from collections.abc import Callable

from flink_actions.wire.v1 import session_pb2

from tests.support.session_client import Start, invoke

__all__ = ["hostile_frames"]

_HUGE = (1 << 64) - 1


def hostile_frames(choose: random.Random, start: Start, actions: int) -> list[bytes]:
    """What one hostile session sends after its Hello; of the plan's actions the first `actions` are asked for."""
    makers = [_invokes, _invokes, _cancels, _acknowledgements, _records, _floods]
    if choose.random() < 0.3:
        makers += [_repeated_hello, _rubbish]
    frames: list[bytes] = []
    sequence = 0
    for _ in range(choose.randint(1, 12)):
        maker = choose.choice(makers)
        for frame in maker(choose, start, actions):
            if frame.invokes and frame.sequence == 0 and choose.random() < 0.95:
                sequence += 1
                frame.sequence = sequence
            data = frame.SerializeToString()
            frames.append(_bent(choose, data) if choose.random() < 0.03 else data)
    return frames


def _bent(choose: random.Random, data: bytes) -> bytes:
    """The bytes with something wrong: cut short, a bit turned, fields from the future, or others instead."""
    at = choose.randrange(len(data) + 1)
    kinds: list[Callable[[], bytes]] = [
        lambda: data[:at],
        lambda: data[:at] + bytes([choose.randrange(256)]) + data[at + 1 :],
        lambda: data + b"\xfa\x7f\x03abc",
        lambda: choose.randbytes(choose.randrange(64)),
        lambda: data * 2,
    ]
    return choose.choice(kinds)()


def _invokes(choose: random.Random, start: Start, actions: int) -> list[session_pb2.OperatorFrame]:
    invokes = []
    for _ in range(choose.randint(1, 6)):
        one = invoke(start, choose.choice([*range(actions), 10_000, (1 << 32) - 1]), 1, key=choose.randrange(4))
        for spoil in choose.sample(_SPOILS, choose.randrange(3)):
            spoil(choose, one)
        invokes.append(one)
    if choose.random() < 0.2:
        invokes.append(invokes[0])
    frame = session_pb2.OperatorFrame(invokes=invokes)
    if choose.random() < 0.3:
        frame.cancels.add(handles=[one.handle for one in invokes], reason=choose.choice([0, 1, 2, 3, 99]))
    return [frame]


def _spoil_key(choose: random.Random, one: session_pb2.Invoke) -> None:
    one.key = choose.choice([b"", b"\xff\xfe", b"{", b"[" * 5000, b'"' + b"k" * (1 << 20) + b'"', b"1e999"])
    one.key_content_type = choose.choice([0, 1, 2, 77])


def _spoil_payload(choose: random.Random, one: session_pb2.Invoke) -> None:
    one.payload = choose.choice(
        [
            b"",
            b"\xff{",
            b"[" * 100_000 + b"]" * 100_000,
            b'{"a":' * 2000 + b"1" + b"}" * 2000,
            b"9" * 400,
            b"\x80\x04K\x01.",
        ]
    )
    one.content_type = choose.choice([0, 0, 1, 2, 3, 77])


def _spoil_memory(choose: random.Random, one: session_pb2.Invoke) -> None:
    one.memory_version = choose.choice([b"", b"x", b"v" * 8, b"v" * 1000])
    one.memory_form = choose.choice([0, 1, 2])
    one.memory_from = choose.choice([b"", b"v" * 8])
    one.sensory_count = choose.choice([0, 1, 7, (1 << 32) - 1])
    one.clear_sensory = choose.random() < 0.5
    one.memory_path.extend(choose.choices(["seen", "a.b", "", ".", "..", "a" * 1000], k=choose.randrange(4)))
    one.memory_value.extend(choose.choices([b"", b"o", b"1", b"{", b"\xff"], k=choose.randrange(4)))


def _spoil_numbers(choose: random.Random, one: session_pb2.Invoke) -> None:
    one.handle = choose.choice([0, 1, _HUGE, one.handle])
    one.attempt = choose.choice([0, 1, 2, (1 << 32) - 1])
    one.failures = choose.choice([0, (1 << 32) - 1])
    one.run_number = choose.choice([0, _HUGE])
    one.event_position = (1 << 32) - 1
    one.remaining_ms = choose.choice([0, 1, _HUGE])
    one.timestamp = choose.choice([0, -(1 << 63), (1 << 63) - 1])


def _spoil_identity(choose: random.Random, one: session_pb2.Invoke) -> None:
    one.invocation_id = choose.choice([b"", b"short", b"i" * 16, b"i" * 100_000])
    one.event_source = choose.choice([b"", b"short", b"s" * 100])
    one.event_type = choose.choice(["", "_output_event", "no such type", "t" * 10_000])
    one.traceparent = "nonsense"
    one.run_generation = choose.choice([b"", b"g"])


def _spoil_calls(choose: random.Random, one: session_pb2.Invoke) -> None:
    one.attempt = choose.choice([1, 2])
    one.more_calls = choose.random() < 0.5
    one.calls.extend(_record(choose, one.handle) for _ in range(choose.randrange(3)))


_SPOILS = [_spoil_key, _spoil_payload, _spoil_memory, _spoil_numbers, _spoil_identity, _spoil_calls]


def _record(choose: random.Random, handle: int) -> session_pb2.CallRecord:
    record = session_pb2.CallRecord(
        handle=handle,
        function_id=choose.choice(["", "f" * 10_000]),
        arguments_digest=choose.choice([b"", b"d" * 16]),
        is_last=choose.random() < 0.5,
    )
    record.place.task = choose.choice(["", "0", "-1", "x.y.z"])
    record.place.index = choose.choice([0, 1, (1 << 32) - 1])
    outcome = choose.randrange(4)
    if outcome == 0:
        record.value = choose.choice([b"", b"1", b"{"])
    elif outcome == 1:
        record.failure.exception = choose.choice(["", "builtins.SystemExit", "os.system"])
        record.failure.arguments = choose.choice([b"", b"[1]", b"{", b'["touch /tmp/x"]'])
    elif outcome == 2:
        record.started_only = True
    return record


def _cancels(choose: random.Random, start: Start, actions: int) -> list[session_pb2.OperatorFrame]:
    handles = [choose.choice([0, 1, 2, 3, _HUGE, choose.getrandbits(64)]) for _ in range(choose.randrange(50))]
    return [session_pb2.OperatorFrame(cancels=[session_pb2.Cancel(handles=handles, reason=choose.choice([0, 3, 50]))])]


def _acknowledgements(choose: random.Random, start: Start, actions: int) -> list[session_pb2.OperatorFrame]:
    place = session_pb2.CallPlace(task=choose.choice(["", "0.0", "x"]), index=choose.choice([0, (1 << 32) - 1]))
    return [
        session_pb2.OperatorFrame(received=choose.choice([1, 1000, _HUGE])),
        session_pb2.OperatorFrame(
            checkpoint_completed=session_pb2.CheckpointCompleted(
                checkpoint_id=choose.choice([0, _HUGE]), cut=choose.choice([0, 1, _HUGE])
            )
        ),
        session_pb2.OperatorFrame(
            calls_recorded=[session_pb2.CallsRecorded(handle=choose.choice([0, 1, _HUGE]), places=[place, place])]
        ),
    ]


def _records(choose: random.Random, start: Start, actions: int) -> list[session_pb2.OperatorFrame]:
    records = [_record(choose, choose.choice([0, 1, 2, _HUGE])) for _ in range(choose.randrange(5))]
    return [session_pb2.OperatorFrame(call_records=records)]


def _floods(choose: random.Random, start: Start, actions: int) -> list[session_pb2.OperatorFrame]:
    frame = choose.choice(
        [
            session_pb2.OperatorFrame(ping=session_pb2.Ping(id=_HUGE)),
            session_pb2.OperatorFrame(pong=session_pb2.Pong(id=5, loop_lag_us=_HUGE)),
            session_pb2.OperatorFrame(forget_keys=[choose.randbytes(20) for _ in range(100)]),
            session_pb2.OperatorFrame(),
        ]
    )
    return [frame] * choose.choice([1, 200])


def _repeated_hello(choose: random.Random, start: Start, actions: int) -> list[session_pb2.OperatorFrame]:
    if choose.random() < 0.7:
        return []
    return [session_pb2.OperatorFrame(hello=start.hello())]


def _rubbish(choose: random.Random, start: Start, actions: int) -> list[session_pb2.OperatorFrame]:
    frame = session_pb2.OperatorFrame(sequence=choose.choice([0, 5, _HUGE]))
    if choose.random() < 0.5:
        frame.invokes.append(invoke(start, 0, 1))
    if choose.random() < 0.1:
        frame.bye.reason = choose.choice([0, 1, 2, 3, 4, 60])
    return [frame]
