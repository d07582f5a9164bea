"""Whatever a peer sends: its session ends with a typed reason or the item is dropped, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import pickle
import random
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from flink_actions import Agent, OutputEvent
from flink_actions.engine.dispatcher import Dispatcher, EngineSettings
from flink_actions.engine.identity import arguments_digest
from flink_actions.engine.plan import compile_plan
from flink_actions.server.config import ServerSettings
from flink_actions.server.loop_lag import LoopLag
from flink_actions.server.sessions import Offer, Sessions, WorkerIdentity
from flink_actions.wire.codec import encode_plan
from flink_actions.wire.v1 import session_pb2

from tests.support.fake_clock import run_with_fake_clock
from tests.support.hostile import hostile_frames
from tests.support.session_client import Start, invoke

ROUNDS = 300
KEPT_BYTES = MIRROR_BYTES = 1 << 20
LINGER_SECONDS = 2.0


class Stream:
    """An rpc in this process."""

    def __init__(self) -> None:
        self.to_worker: asyncio.Queue[Any] = asyncio.Queue()
        self.frames: list[session_pb2.WorkerFrame] = []

    async def read(self) -> Any:
        return await self.to_worker.get()

    async def write(self, data: bytes) -> None:
        self.frames.append(session_pb2.WorkerFrame.FromString(data))
        await asyncio.sleep(0)

    def peer(self) -> str:
        return "hostile"

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            self.to_worker.put_nowait(frame)


class Server:
    """A worker below its socket."""

    def __init__(self, *, allow_pickle: bool = False) -> None:
        async def echo(event: Any, ctx: Any) -> None:
            ctx.send_event(OutputEvent(output=event.input))

        async def remember(event: Any, ctx: Any) -> None:
            ctx.short_term_memory.set("seen", ctx.short_term_memory.get("seen", default=0) + 1)

        async def pay(event: Any, ctx: Any) -> None:
            await ctx.durable_execute_async(asyncio.sleep, 0.1, durable_id="pay")
            await asyncio.sleep(30)

        agent = Agent("agent")
        for function in (echo, remember, pay):
            agent.add_action(function.__name__, ["_input_event"], function)
        plan = compile_plan(agent, "agent")
        self.dispatcher = Dispatcher(EngineSettings(kept_bytes=KEPT_BYTES, mirror_bytes=MIRROR_BYTES))
        self.lag = LoopLag()
        self.lag.start()
        # A wide window: what is sent faster is to be looked at, not refused for that.
        settings = ServerSettings(linger_seconds=LINGER_SECONDS, frame_window=64, allow_pickle=allow_pickle)
        identity = WorkerIdentity("w0", b"i" * 16, b"g" * 16)
        self.sessions = Sessions(
            identity, {"agent": Offer(plan, encode_plan(plan))}, self.dispatcher, settings, self.lag
        )

    def connect(self) -> tuple[Stream, asyncio.Task[None]]:
        stream = Stream()
        served: Any = self.sessions.serve(None, stream)  # type: ignore[arg-type]
        return stream, asyncio.Task(served, loop=asyncio.get_running_loop())


class Bystander:
    """A job that does everything right, beside them."""

    def __init__(self, server: Server) -> None:
        self._start = Start("agent", namespace="bystander")
        self._stream, self.served = server.connect()
        self._stream.send(session_pb2.OperatorFrame(hello=self._start.hello()).SerializeToString())
        self._sequence = 0

    async def check(self) -> None:
        """It is answered."""
        self._sequence += 1
        one = invoke(self._start, 0, self._sequence)
        self._stream.send(session_pb2.OperatorFrame(sequence=self._sequence, invokes=[one]).SerializeToString())
        async with asyncio.timeout(1):
            while not any(one.handle in frame.results.handle for frame in self._stream.frames):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        frame = next(frame for frame in self._stream.frames if one.handle in frame.results.handle)
        assert json.loads(frame.results.event_payload[0]) == self._sequence
        self._stream.frames.clear()


def test_hostile_sessions_end_with_a_reason_and_harm_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    endings: list[str] = []

    async def scenario() -> None:
        server = Server()
        bystander = Bystander(server)
        for seed in range(ROUNDS):
            choose = random.Random(seed)
            start = Start("agent", namespace=f"hostile {seed % 100}", start_id=choose.randbytes(16), epoch=seed + 1)
            stream, served = server.connect()
            stream.send(session_pb2.OperatorFrame(hello=start.hello()).SerializeToString())
            stream.send(*hostile_frames(choose, start, 3))
            await asyncio.sleep(1)
            await bystander.check()
            endings.append(ending_of(stream, served, seed))
            stream.send(grpc.aio.EOF)  # type: ignore[arg-type]
            await asyncio.sleep(0.1)
            assert served.done(), f"seed {seed}: the session of a stream that has ended goes on"
            assert served.exception() is None, f"seed {seed}: {served.exception()!r}"
        await asyncio.sleep(2 * LINGER_SECONDS)
        await bystander.check()
        assert server.dispatcher.open_count == 0
        assert len(server.sessions) == 1
        assert len(server.sessions._starts) == 1
        assert len(server.dispatcher._kept) <= 65
        assert sum(kept.size for kept in server.dispatcher._kept.values()) <= 2 * KEPT_BYTES
        assert sum(mirrors.size for mirrors in server.dispatcher._mirrors.values()) <= 2 * MIRROR_BYTES
        server.lag.stop()
        await server.dispatcher.close()
        bystander.served.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await bystander.served

    run_with_fake_clock(scenario())
    defects = [record for record in caplog.records if "defect" in record.message or record.exc_info]
    assert not defects, defects[0].getMessage() + str(defects[0].exc_info)
    # Both kinds are there, or nothing was tried.
    assert endings.count("PROTOCOL_ERROR") > ROUNDS / 5
    assert endings.count("goes on") > ROUNDS / 5


def ending_of(stream: Stream, served: asyncio.Task[None], seed: int) -> str:
    """How the session has ended, in the words of the protocol."""
    assert stream.frames, f"seed {seed}: nothing was said at all"
    assert stream.frames[0].HasField("welcome"), stream.frames[0]
    if not served.done():
        return "goes on"
    last = stream.frames[-1]
    if last.HasField("bye"):
        assert last.bye.message, f"seed {seed}: {last}"
        return session_pb2.Bye.Reason.Name(last.bye.reason)
    return "by its own Bye"


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\xff\xff",
        b"\x00" * 1000,
        session_pb2.OperatorFrame(sequence=1, invokes=[session_pb2.Invoke(handle=1)]).SerializeToString(),
        session_pb2.OperatorFrame(hello=session_pb2.Hello()).SerializeToString(),
        session_pb2.OperatorFrame(hello=Start("agent").hello(), ping=session_pb2.Ping(id=1)).SerializeToString(),
        session_pb2.OperatorFrame(hello=Start("agent").hello(config=b"[" * 100_000)).SerializeToString(),
        session_pb2.OperatorFrame(hello=Start("agent").hello(config=b"[1]")).SerializeToString(),
        session_pb2.OperatorFrame(hello=Start("agent").hello(key_group_last=1 << 31)).SerializeToString(),
    ],
    ids=["nothing", "rubbish", "zeros", "an Invoke", "empty", "with a Ping", "deep config", "a list", "key groups"],
)
def test_a_first_frame_that_is_no_proper_hello_is_refused_with_a_reason(first: bytes) -> None:
    async def scenario() -> None:
        server = Server()
        stream, served = server.connect()
        stream.send(first)
        await asyncio.wait_for(served, 1)
        (frame,) = stream.frames
        assert frame.reject.reason in (session_pb2.Reject.MALFORMED, session_pb2.Reject.PROTOCOL_VERSION)
        assert frame.reject.message
        assert not server.sessions._starts
        server.lag.stop()
        await server.dispatcher.close()

    run_with_fake_clock(scenario())


def test_who_says_nothing_is_not_waited_for() -> None:
    async def scenario() -> None:
        server = Server()
        stream, served = server.connect()
        await asyncio.wait_for(served, 11)
        assert stream.frames[0].reject.reason == session_pb2.Reject.MALFORMED
        server.lag.stop()
        await server.dispatcher.close()

    run_with_fake_clock(scenario())


class Bomb:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("server_allows", "asked_for", "goes_off"),
    [(False, [], False), (True, [], False), (True, [session_pb2.PICKLE], True)],
    ids=["nobody allows it", "the server allows it", "both allow it"],
)
def test_no_pickle_of_a_call_record_is_loaded_without_the_consent_of_both(
    server_allows: bool, asked_for: list[session_pb2.ContentType], goes_off: bool, tmp_path: Path
) -> None:
    went_off = tmp_path / "went off"
    start = Start("agent")
    record = session_pb2.CallRecord(
        place=session_pb2.CallPlace(),
        function_id="pay",
        arguments_digest=arguments_digest(b'{"args":[0.1],"kwargs":{}}'),
        content_type=session_pb2.PICKLE,
        value=pickle.dumps(Bomb(went_off)),
    )
    frames = []
    for content_type in (session_pb2.PICKLE, session_pb2.BYTES, session_pb2.PROTOBUF, 99):
        record.content_type = content_type  # type: ignore[assignment]
        at_once = invoke(start, 2, 1, key=len(frames), attempt=2, calls=[record])
        later = invoke(start, 2, 1, key=len(frames) + 1, attempt=2, more_calls=True)
        rest = session_pb2.CallRecord()
        rest.CopyFrom(record)
        rest.handle, rest.is_last = later.handle, True
        frames += [
            session_pb2.OperatorFrame(sequence=len(frames) // 2 + 1, invokes=[at_once, later]),
            session_pb2.OperatorFrame(call_records=[rest]),
        ]

    async def scenario() -> int:
        server = Server(allow_pickle=server_allows)
        stream, served = server.connect()
        hello = start.hello(accepted_content_types=asked_for, has_checkpoints=False)
        stream.send(session_pb2.OperatorFrame(hello=hello).SerializeToString())
        stream.send(*[frame.SerializeToString() for frame in frames])
        await asyncio.sleep(1)
        failures = [failure for frame in stream.frames for failure in frame.failures]
        for failure in failures:
            assert failure.exception.endswith("NotDecodableError")
            assert "pay" in failure.message
        stream.send(grpc.aio.EOF)  # type: ignore[arg-type]
        await asyncio.sleep(2 * LINGER_SECONDS)
        assert served.done()
        server.lag.stop()
        await server.dispatcher.close()
        return len(failures)

    failed = run_with_fake_clock(scenario())
    assert went_off.exists() is goes_off
    assert failed == (6 if goes_off else 8)
