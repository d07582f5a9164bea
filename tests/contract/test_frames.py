"""The conversations of cases/frames.json, which JUnit plays too (FrameCasesTest): here against a real worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from flink_actions.wire.v1 import session_pb2
from google.protobuf import text_format
from google.protobuf.message import Message

from tests.support.running_server import RunningServer
from tests.support.session_client import DEADLINE_SECONDS

HERE = Path(__file__).parent
CASES = json.loads((HERE / "cases" / "frames.json").read_text())

# What may come at any time beside what a step names.
_CHATTER = {"sequence", "received", "ping", "pong", "credit"}
_LAST_PING = 4711


class Servers:
    """One for each set of flags; cases keep apart by their namespaces."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, ...], RunningServer] = {}

    def __getitem__(self, flags: Sequence[str]) -> RunningServer:
        if tuple(flags) not in self._running:
            server = RunningServer(f"{HERE / 'agent.py'}:agent", flags=flags)
            self._running[tuple(flags)] = server.__enter__()
        return self._running[tuple(flags)]

    def stop(self) -> None:
        for server in self._running.values():
            server.__exit__(None, None, None)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    servers = Servers()
    try:
        yield servers
    finally:
        servers.stop()


class Stream:
    """The operator's side: sends what a case says, and takes what comes until it is what the case says."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._said = session_pb2.WorkerFrame()

    async def say(self, text: str) -> None:
        frame = operator_frame(text)
        if frame.HasField("hello"):
            frame.hello.MergeFrom(with_defaults("hello", frame.hello))
        await self._call.write(frame.SerializeToString())

    async def _read(self) -> bool:
        data = await asyncio.wait_for(self._call.read(), DEADLINE_SECONDS)
        if data is grpc.aio.EOF:
            return False
        self._said.MergeFromString(data)
        return True

    async def expect(self, text: str) -> None:
        expected = text_format.Parse(text, session_pb2.WorkerFrame())
        while difference(expected, self._said) is not None:
            if not await self._read():
                raise AssertionError(f"the stream has ended: {difference(expected, self._said)}")
        unnamed = {field.name for field, _ in self._said.ListFields()} - _CHATTER
        assert unnamed <= {field.name for field, _ in expected.ListFields()}, self._said
        self._said.Clear()

    async def expect_end(self) -> None:
        while await self._read():
            pass
        self._expect_nothing()

    async def expect_nothing_more(self) -> None:
        """All that was said before has been answered when a Ping has been."""
        await self.say(f"ping {{ id: {_LAST_PING} }}")
        while self._said.pong.id != _LAST_PING:
            assert await self._read(), "the stream has ended"
        self._expect_nothing()

    def _expect_nothing(self) -> None:
        assert {field.name for field, _ in self._said.ListFields()} <= _CHATTER, self._said


def operator_frame(text: str) -> session_pb2.OperatorFrame:
    frame = text_format.Parse(text, session_pb2.OperatorFrame())
    for invoke in frame.invokes:
        invoke.MergeFrom(with_defaults("invoke", invoke))
    return frame


def with_defaults(of: str, message: Message) -> Any:
    """What the file says of all such messages, under what this one says."""
    merged = text_format.Parse(CASES[of], type(message)())
    merged.MergeFrom(message)
    return merged


def difference(expected: Message, actual: Message) -> str | None:
    """Where `actual` lacks something that `expected` names; None if it has it all."""
    for field, wanted in expected.ListFields():
        got = getattr(actual, field.name)
        pairs = [(wanted, got)]
        if hasattr(wanted, "append") or hasattr(wanted, "add"):
            if len(wanted) != len(got):
                return f"{field.name} is {got}, expected {wanted}"
            pairs = list(zip(wanted, got, strict=True))
        for one, other in pairs:
            inner = difference(one, other) if isinstance(one, Message) else one != other
            if inner:
                return f"{field.name}: {inner if isinstance(inner, str) else f'{other!r}, expected {one!r}'}"
    return None


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Stream]:
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.stream_stream("/flink_actions.wire.v1.Worker/Session")()
        try:
            yield Stream(call)
        finally:
            call.cancel()


async def converse(address: str, steps: list[dict[str, str]]) -> None:
    """Play one stream; what follows its break is a conversation of its own."""
    async with opened(address) as stream:
        for position, step in enumerate(steps):
            ((who, what),) = step.items()
            if what == "breaks":
                break
            if who == "operator":
                if position and "hello" in what and steps[position - 1].get("worker", "").startswith("reject"):
                    position -= 1
                    break
                await stream.say(what)
            elif who == "worker":
                await stream.expect(what)
            elif who == "other_start":
                async with opened(address) as other:
                    await other.say(what)
                    await other.expect("welcome { protocol: 1 }")
            elif what == "ends" or who == "operator_fails":
                await stream.expect_end()
        else:
            if what != "ends" and who != "operator_fails":
                await stream.expect_nothing_more()
    if rest := steps[position + 1 :]:
        await converse(address, rest)


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["name"])
async def test_a_worker_keeps_to_its_side_of_the_conversation(case: dict[str, Any], servers: Servers) -> None:
    (address,) = await servers[case.get("flags", [])].worker_addresses()
    await asyncio.wait_for(converse(address, case["steps"]), DEADLINE_SECONDS)


def test_a_difference_is_seen() -> None:
    said = text_format.Parse(
        "ack: 2 results { handle: 1 handle: 2 } welcome { protocol: 1 plan { agent: 'a' actions { name: 'x' } } }",
        session_pb2.WorkerFrame(),
    )
    for same in ["ack: 2", "results { handle: 1 handle: 2 }", "welcome { plan { actions { name: 'x' } } }"]:
        assert difference(text_format.Parse(same, session_pb2.WorkerFrame()), said) is None
    for other in ["ack: 1", "results { handle: 1 }", "results { handle: 1 handle: 3 }", "bounces { handle: 1 }"]:
        assert difference(text_format.Parse(other, session_pb2.WorkerFrame()), said) is not None
    assert difference(text_format.Parse("welcome { plan { agent: 'b' } }", session_pb2.WorkerFrame()), said)
