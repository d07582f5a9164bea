"""A job's side of the protocol in Python: what tests and benchmarks use to talk to a worker.

It keeps no lanes and decides nothing; it says what it is told to say, numbers frames, respects the window, and sorts
the replies by handle. Written against the proto files alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import grpc.aio
from flink_actions.wire.v1 import directory_pb2, directory_pb2_grpc, plan_pb2, session_pb2

INPUT_EVENT = "_input_event"
OUTPUT_EVENT = "_output_event"
DEADLINE_SECONDS = 20.0

_SESSION = "/flink_actions.wire.v1.Worker/Session"


class Rejected(Exception):
    """The worker answered Hello with Reject."""

    def __init__(self, reject: session_pb2.Reject) -> None:
        super().__init__(f"{session_pb2.Reject.Reason.Name(reject.reason)}: {reject.message}")
        self.reason = reject.reason
        self.message = reject.message
        self.known_epoch = reject.known_epoch


@dataclass(frozen=True)
class Event:
    """An event as it travels."""

    type: str
    payload: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.payload)


@dataclass(frozen=True)
class Result:
    """A Result, taken out of its columns."""

    handle: int
    events: tuple[Event, ...] = ()
    sensory: tuple[tuple[str, bytes], ...] = ()
    short_term: tuple[tuple[str, bytes], ...] = ()
    base: bytes = b""
    version: bytes = b""

    @property
    def output(self) -> Any:
        """Value of the only output event."""
        (event,) = (event for event in self.events if event.type == OUTPUT_EVENT)
        return event.value


@dataclass
class Start:
    """One life of an operator subtask: what its Hellos have in common."""

    agent: str
    namespace: str = "test-namespace"
    job_id: str = "0" * 32
    job_name: str = "test job"
    operator_uid: str = "actions"
    subtask: int = 0
    parallelism: int = 1
    key_group_first: int = 0
    key_group_last: int = 127
    start_id: bytes = field(default_factory=lambda: os.urandom(16))
    epoch: int = field(default_factory=lambda: int(time.time() * 1000))
    was_welcomed: bool = False
    handles: Iterable[int] = field(default_factory=lambda: itertools.count(1))

    def hello(self, **changes: Any) -> session_pb2.Hello:
        fields: dict[str, Any] = {
            "protocol_min": 1,
            "protocol_max": 1,
            "namespace": self.namespace,
            "job_id": self.job_id,
            "job_name": self.job_name,
            "operator_uid": self.operator_uid,
            "agent": self.agent,
            "subtask": self.subtask,
            "parallelism": self.parallelism,
            "max_parallelism": 128,
            "key_group_first": self.key_group_first,
            "key_group_last": self.key_group_last,
            "start_id": self.start_id,
            "epoch": self.epoch,
            "was_welcomed": self.was_welcomed,
            "max_frame_bytes": 4 * 1024 * 1024,
            "has_checkpoints": True,
            "operator_version": "test",
        }
        return session_pb2.Hello(**{**fields, **changes})


def identity(tag: str, *fields: bytes | str | int) -> bytes:
    """H(tag, f1, f2, ...) of session.proto."""
    digest = hashlib.sha256()
    for part in (tag, *fields):
        content = part.encode() if isinstance(part, str) else part
        content = content.to_bytes(8, "big", signed=True) if isinstance(content, int) else content
        digest.update(len(content).to_bytes(4, "big") + content)
    return digest.digest()[:16]


def invoke(
    start: Start, action: int = 0, value: Any = None, *, key: Any = "k", event_type: str = INPUT_EVENT, **more: Any
) -> session_pb2.Invoke:
    """An Invoke of the plan's action number `action` on an input event with `value`."""
    handle = next(iter(start.handles))
    fields: dict[str, Any] = {
        "handle": handle,
        "invocation_id": identity("invocation", start.start_id, handle),
        "key": json.dumps(key).encode(),
        "run_number": handle,
        "action": action,
        "attempt": 1,
        "event_type": event_type,
        "payload": json.dumps(value).encode(),
        "event_source": identity("run", start.start_id, handle),
        "memory_form": session_pb2.FULL,
    }
    return session_pb2.Invoke(**{**fields, **more})


class SessionClient:
    """One session. `async with` opens it (or raises `Rejected`) and says Bye at the end."""

    def __init__(self, address: str, start: Start, **hello: Any) -> None:
        self.start = start
        self._address = address
        self._hello = hello
        self._channel: Any = None
        self._call: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._sequence = 0
        self._window = asyncio.Semaphore(0)
        self._acked = 0
        self._arrived = asyncio.Condition()
        self.welcome = session_pb2.Welcome()
        self.frames: list[session_pb2.WorkerFrame] = []
        self.results: dict[int, Result] = {}
        self.failures: dict[int, session_pb2.Failure] = {}
        self.bounces: dict[int, session_pb2.Bounce] = {}
        self.need_memory: list[int] = []
        self.credit = session_pb2.Credit()
        self.drain: session_pb2.Drain | None = None
        self.bye: session_pb2.Bye | None = None
        self.pongs: dict[int, session_pb2.Pong] = {}
        self.duplicates: list[int] = []
        self.has_ended = False
        self.answers_pings = True
        # Handle → the records of its calls, by place; a start without an end among them.
        self.calls: dict[int, dict[tuple[str, int], session_pb2.CallRecord]] = {}
        self.handed_back: list[int] = []
        self.acknowledges_calls = True

    # ---- life ----

    async def __aenter__(self) -> SessionClient:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> session_pb2.Welcome:
        first = await self.open_raw(
            session_pb2.OperatorFrame(hello=self.start.hello(**self._hello)).SerializeToString()
        )
        if first.HasField("reject"):
            await self.abort()
            raise Rejected(first.reject)
        self.welcome = first.welcome
        self.start.was_welcomed = True
        self.credit.CopyFrom(first.welcome.credit)
        self._window = asyncio.Semaphore(first.welcome.frame_window)
        self._reader = asyncio.create_task(self._read())
        return self.welcome

    async def open_raw(self, data: bytes) -> session_pb2.WorkerFrame:
        """Send `data` as the first frame and return the first answer, whatever it is."""
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.aio.insecure_channel(self._address, options=options)
        self._call = self._channel.stream_stream(_SESSION)()
        await asyncio.wait_for(self._call.write(data), DEADLINE_SECONDS)
        answer = await asyncio.wait_for(self._call.read(), DEADLINE_SECONDS)
        if answer is grpc.aio.EOF:
            raise ConnectionError("the worker ended the stream without an answer")
        return session_pb2.WorkerFrame.FromString(answer)

    async def close(self, reason: session_pb2.Bye.Reason = session_pb2.Bye.FINISHED) -> None:
        """Say Bye and leave."""
        if self._call is not None and not self.has_ended:
            try:
                await self.send(bye=session_pb2.Bye(reason=reason))
                await self._call.done_writing()
                if self._reader is not None:
                    await asyncio.wait({self._reader}, timeout=DEADLINE_SECONDS)
            except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
                pass
        await self.abort()

    async def abort(self) -> None:
        """Break the connection without a word, as a network does."""
        if self._call is not None:
            self._call.cancel()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close()
        self._call = self._channel = self._reader = None

    # ---- sending ----

    async def send(self, **fields: Any) -> None:
        """One frame without Invokes."""
        await self._call.write(session_pb2.OperatorFrame(**fields).SerializeToString())

    async def send_raw(self, data: bytes) -> None:
        await self._call.write(data)

    async def send_invokes(self, invokes: Sequence[session_pb2.Invoke]) -> None:
        """One numbered frame, as soon as the window allows."""
        await asyncio.wait_for(self._window.acquire(), DEADLINE_SECONDS)
        self._sequence += 1
        await self._call.write(session_pb2.OperatorFrame(sequence=self._sequence, invokes=invokes).SerializeToString())

    async def run(self, invokes: Sequence[session_pb2.Invoke], frame: int = 256) -> list[Result]:
        """Send all, wait for all Results, in the order of `invokes`."""
        for begin in range(0, len(invokes), frame):
            await self.send_invokes(invokes[begin : begin + frame])
        await self.until(lambda: all(one.handle in self.results or one.handle in self.failures for one in invokes))
        for one in invokes:
            if one.handle in self.failures:
                failure = self.failures[one.handle]
                raise AssertionError(f"{failure.exception}: {failure.message}\n{failure.stack}")
        return [self.results[one.handle] for one in invokes]

    # ---- receiving ----

    async def until(self, condition: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
        """Wait for a frame that makes `condition` true."""
        async with self._arrived:
            await asyncio.wait_for(self._arrived.wait_for(lambda: condition() or self.has_ended), seconds)
        if not condition():
            raise ConnectionError(f"the session ended: {self.bye or 'without Bye'}")

    async def until_end(self, seconds: float = DEADLINE_SECONDS) -> None:
        assert self._reader is not None
        await asyncio.wait_for(asyncio.shield(self._reader), seconds)

    async def _read(self) -> None:
        try:
            while (data := await self._call.read()) is not grpc.aio.EOF:
                frame = session_pb2.WorkerFrame.FromString(data)
                self._take(frame)
                if frame.HasField("ping") and self.answers_pings:
                    await self._reply(pong=session_pb2.Pong(id=frame.ping.id))
                if self.acknowledges_calls and (frame.calls_started or frame.calls_completed):
                    noted = [*frame.calls_started, *frame.calls_completed]
                    await self._reply(
                        calls_recorded=[
                            session_pb2.CallsRecorded(handle=one.handle, places=[one.place]) for one in noted
                        ]
                    )
                async with self._arrived:
                    self._arrived.notify_all()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass
        finally:
            self.has_ended = True
            async with self._arrived:
                self._arrived.notify_all()

    async def _reply(self, **parts: Any) -> None:
        """Of a worker that has ended the stream meanwhile the last frames are still to be read."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self.send(**parts)

    def _take(self, frame: session_pb2.WorkerFrame) -> None:
        self.frames.append(frame)
        while self._acked < frame.ack:
            self._acked += 1
            self._window.release()
        for result in split_results(frame.results):
            if result.handle in self.results:
                self.duplicates.append(result.handle)
            self.results[result.handle] = result
        self.handed_back.extend(frame.results.handed_back)
        for started in frame.calls_started:
            record = session_pb2.CallRecord(
                handle=started.handle,
                place=started.place,
                function_id=started.function_id,
                arguments_digest=started.arguments_digest,
                started_only=True,
            )
            self.calls.setdefault(started.handle, {})[record.place.task, record.place.index] = record
        for record in frame.calls_completed:
            self.calls.setdefault(record.handle, {})[record.place.task, record.place.index] = record
        self.failures.update({failure.handle: failure for failure in frame.failures})
        self.bounces.update({bounce.handle: bounce for bounce in frame.bounces})
        self.need_memory.extend(frame.need_memory)
        self.pongs.update({frame.pong.id: frame.pong} if frame.HasField("pong") else {})
        if frame.HasField("credit"):
            self.credit.CopyFrom(frame.credit)
        if frame.HasField("drain"):
            self.drain = frame.drain
        if frame.HasField("bye"):
            self.bye = frame.bye


def split_results(columns: session_pb2.Results) -> list[Result]:
    """The i-th Result out of the columns; what Results says about their order is all that is used."""
    results = []
    events = iter(zip(columns.event_type, columns.event_payload, strict=True))
    changes = iter(zip(columns.memory_path, columns.memory_value, strict=True))
    versions = iter(zip(columns.memory_base, columns.memory_version, strict=True))
    for index, handle in enumerate(columns.handle):
        sensory_count = columns.sensory_count[index] if columns.sensory_count else 0
        short_term_count = columns.short_term_count[index] if columns.short_term_count else 0
        has_memory = sensory_count + short_term_count > 0
        base, version = next(versions) if has_memory else (b"", b"")
        results.append(
            Result(
                handle,
                tuple(Event(*event) for event in itertools.islice(events, columns.event_count[index])),
                tuple(itertools.islice(changes, sensory_count)),
                tuple(itertools.islice(changes, short_term_count)),
                base,
                version,
            )
        )
    return results


class DirectoryClient:
    """Watches a directory."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def __aenter__(self) -> DirectoryClient:
        self._channel = grpc.aio.insecure_channel(self._address, options=[("grpc.use_local_subchannel_pool", 1)])
        make_stub: Any = directory_pb2_grpc.DirectoryStub
        self._stub = make_stub(self._channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    def watch(self) -> Any:
        request = directory_pb2.WatchRequest(protocol_min=1, protocol_max=1)
        return self._stub.Watch(request, wait_for_ready=True)

    async def plans(self) -> list[plan_pb2.Plan]:
        response = await self._stub.Describe(directory_pb2.DescribeRequest(), timeout=DEADLINE_SECONDS)
        return list(response.plans)

    async def ask_for_quarantine(self) -> None:
        await self._stub.Quarantine(directory_pb2.QuarantineRequest(), timeout=DEADLINE_SECONDS)

    async def until(
        self, condition: Callable[[directory_pb2.DirectoryState], bool], seconds: float = DEADLINE_SECONDS
    ) -> directory_pb2.DirectoryState:
        """The first state for which `condition` holds."""

        async def look() -> directory_pb2.DirectoryState:
            call = self.watch()
            try:
                state: directory_pb2.DirectoryState
                async for state in call:
                    if condition(state):
                        return state
            finally:
                call.cancel()
            raise ConnectionError("the directory ended the watch")

        return await asyncio.wait_for(look(), seconds)

    async def serving(self, count: int = 1) -> list[directory_pb2.WorkerEntry]:
        """The workers that serve, once there are `count`."""
        state = await self.until(lambda state: len(serving_workers(state)) >= count)
        return serving_workers(state)


def serving_workers(state: directory_pb2.DirectoryState) -> list[directory_pb2.WorkerEntry]:
    return [worker for worker in state.workers if worker.state == directory_pb2.WorkerEntry.SERVING]


def worker_target(directory_address: str, entry: directory_pb2.WorkerEntry) -> str:
    """Where gRPC finds a worker: ":port" is on the directory's host."""
    if entry.address.startswith(":"):
        return directory_address.rpartition(":")[0] + entry.address
    return entry.address
