"""What becomes of a session's invocations when its worker drains: each is answered once or given back, none is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from flink_actions import Agent, OutputEvent, Resource, ResourceDescriptor, ResourceType
from flink_actions.engine.dispatcher import Dispatcher
from flink_actions.engine.plan import compile_plan
from flink_actions.server import session as session_module
from flink_actions.server.config import ServerSettings
from flink_actions.server.leaving import END_CODE_SECONDS, LEAVE_SECONDS
from flink_actions.server.loop_lag import LoopLag
from flink_actions.server.sessions import Offer, Sessions, WorkerIdentity
from flink_actions.wire.codec import encode_plan
from flink_actions.wire.v1 import session_pb2

from tests.support.fake_clock import run_with_fake_clock
from tests.support.session_client import Start, invoke


class Stream:
    """An rpc in this process; while the gate is closed a frame that is written stays on its way."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.frames: list[session_pb2.WorkerFrame] = []
        self._to_worker: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self) -> bytes:
        return await self._to_worker.get()

    async def write(self, data: bytes) -> None:
        self.frames.append(session_pb2.WorkerFrame.FromString(data))
        await self.gate.wait()

    def peer(self) -> str:
        return "test"

    def send(self, **fields: Any) -> None:
        self._to_worker.put_nowait(session_pb2.OperatorFrame(**fields).SerializeToString())

    @property
    def outputs(self) -> list[Any]:
        """Of all Results, each with one event."""
        return [json.loads(payload) for frame in self.frames for payload in frame.results.event_payload]

    @property
    def bounced(self) -> list[int]:
        return [bounce.handle for frame in self.frames for bounce in frame.bounces]


class Stuck(Resource):
    """Takes an hour to be closed."""

    @classmethod
    def resource_type(cls) -> ResourceType:
        return ResourceType.CHAT_MODEL

    async def close(self) -> None:  # type: ignore[override]
        await asyncio.sleep(3600)


class Worker:
    """A worker below its socket, with one session. Its action sleeps for as many seconds as its input says."""

    def __init__(self, *, has_checkpoints: bool = True, stuck_resources: Sequence[str] = ()) -> None:
        self.begun: list[float] = []

        async def work(event: Any, ctx: Any) -> None:
            self.begun.append(event.input)
            for name in stuck_resources:
                await ctx.get_resource_async(name, ResourceType.CHAT_MODEL)
            await asyncio.sleep(event.input)
            ctx.send_event(OutputEvent(output=event.input))

        agent = Agent("agent").add_action("work", ["_input_event"], work)
        for name in stuck_resources:
            agent.add_resource(name, ResourceType.CHAT_MODEL, ResourceDescriptor(clazz=Stuck))
        plan = compile_plan(agent, "agent")
        self.sessions = Sessions(
            WorkerIdentity("w0", b"i" * 16, b"g" * 16),
            {"agent": Offer(plan, encode_plan(plan))},
            Dispatcher(),
            ServerSettings(),
            LoopLag(),
        )
        self.start = Start("agent")
        self.stream = Stream()
        served: Any = self.sessions.serve(None, self.stream)  # type: ignore[arg-type]
        self.served: asyncio.Task[None] = asyncio.Task(served, loop=asyncio.get_running_loop())
        self.stream.send(hello=self.start.hello(has_checkpoints=has_checkpoints))

    def incomplete(self, seconds: float) -> session_pb2.Invoke:
        """One whose call records are to follow."""
        return invoke(self.start, 0, seconds, key=seconds, more_calls=True, attempt=2)

    @property
    def session(self) -> session_module.Session:
        (session,) = self.sessions._live.values()
        return session


def record(handle: int, number: int, *, value: bytes = b"1", is_last: bool = False) -> session_pb2.CallRecord:
    place = session_pb2.CallPlace(index=number)
    return session_pb2.CallRecord(handle=handle, place=place, function_id="f", value=value, is_last=is_last)


@pytest.mark.parametrize("has_checkpoints", [True, False])
def test_what_finished_while_the_writer_was_held_up_still_leaves(has_checkpoints: bool) -> None:
    async def scenario() -> None:
        worker = Worker(has_checkpoints=has_checkpoints)
        one, two, never = (invoke(worker.start, 0, seconds, key=seconds) for seconds in (1, 2, 60))
        worker.stream.send(sequence=1, invokes=[one, two, never])
        await asyncio.sleep(0.9)
        worker.stream.gate.clear()
        asyncio.get_running_loop().call_later(7, worker.stream.gate.set)
        await worker.sessions.drain(5.0)
        await asyncio.wait_for(worker.served, 1)
        assert sorted(worker.stream.outputs) == [1, 2]
        assert worker.stream.bounced == [never.handle]
        assert worker.stream.frames[-1].bye.reason == session_pb2.Bye.FINISHED

    run_with_fake_clock(scenario())


def test_resources_that_hang_hold_up_neither_the_goodbye_nor_the_end() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        worker = Worker(stuck_resources=["one", "two", "three"])
        running = invoke(worker.start, 0, 60, key=60)
        worker.stream.send(sequence=1, invokes=[running])
        await asyncio.sleep(0.1)
        begun = loop.time()
        draining = asyncio.create_task(worker.sessions.drain(5.0))
        await asyncio.wait_for(worker.served, 5 + END_CODE_SECONDS)
        assert worker.stream.bounced == [running.handle]
        assert worker.stream.frames[-1].bye.reason == session_pb2.Bye.FINISHED
        assert not draining.done(), "it closes its resources"
        await draining
        assert loop.time() - begun < 5 + LEAVE_SECONDS, "by then its supervisor has killed it"

    run_with_fake_clock(scenario())


@pytest.mark.parametrize("comes_after_the_limit", [False, True])
def test_what_waits_for_its_call_records_is_given_back_and_never_begins(comes_after_the_limit: bool) -> None:
    async def scenario() -> None:
        worker = Worker()
        waiting, running = worker.incomplete(1), invoke(worker.start, 0, 60, key=60)
        worker.stream.send(sequence=1, invokes=[waiting, running])
        await asyncio.sleep(0.1)
        draining = asyncio.create_task(worker.sessions.drain(5.0))
        await asyncio.sleep(5.0 if comes_after_the_limit else 0.1)
        worker.stream.send(sequence=2, call_records=[record(waiting.handle, 0, is_last=True)])
        await draining
        await asyncio.wait_for(worker.served, 1)
        assert worker.begun == [60]
        assert worker.stream.bounced == [waiting.handle, running.handle]
        assert worker.stream.frames[-1].bye.reason == session_pb2.Bye.FINISHED

    run_with_fake_clock(scenario())


def test_an_archive_gives_back_what_waits_for_its_call_records() -> None:
    async def scenario() -> None:
        worker = Worker()
        waiting = worker.incomplete(1)
        worker.stream.send(sequence=1, invokes=[waiting])
        await asyncio.sleep(0.1)
        worker.session.archive()
        worker.stream.send(sequence=2, call_records=[record(waiting.handle, 0, is_last=True)])
        await asyncio.sleep(0.1)
        assert worker.begun == []
        assert worker.stream.bounced == [waiting.handle]
        await worker.sessions.drain(0.0)
        await asyncio.wait_for(worker.served, 1)

    run_with_fake_clock(scenario())


def test_call_records_that_wait_are_counted_with_what_they_take_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_MOST_CALL_BYTES", 64 * 1024)

    async def scenario() -> None:
        worker = Worker()
        waiting = worker.incomplete(1)
        # Each time as much as half of what may wait.
        large = record(waiting.handle, 0, value=b"x" * (32 * 1024))
        for sequence in range(1, 5):
            worker.stream.send(sequence=sequence, invokes=[waiting], call_records=[large])
            await asyncio.sleep(0.1)
        assert not worker.served.done(), worker.stream.frames[-1]
        # Of records that are hardly anything on the wire, 164 take as much as may wait.
        worker.stream.send(sequence=5, invokes=[waiting])
        worker.stream.send(sequence=6, call_records=[record(waiting.handle, number) for number in range(100)])
        await asyncio.sleep(0.1)
        assert not worker.served.done(), worker.stream.frames[-1]
        worker.stream.send(sequence=7, call_records=[record(waiting.handle, number) for number in range(100, 200)])
        await asyncio.wait_for(worker.served, 1)
        assert worker.stream.frames[-1].bye.reason == session_pb2.Bye.PROTOCOL_ERROR
        assert "call records" in worker.stream.frames[-1].bye.message

    run_with_fake_clock(scenario())
