"""Rates of resources in real workers, with a ledger outside of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.running_server import RunningServer
from tests.support.session_client import SessionClient, Start, invoke

AGENT = """
import time
from pathlib import Path

from flink_actions import Agent, OutputEvent, Rate, Resource, ResourceDescriptor, ResourceType, action
from flink_actions import chat_model_connection

LLM = ResourceType.CHAT_MODEL_CONNECTION


class Llm(Resource):
    def __init__(self, ledger):
        self.ledger = ledger

    @classmethod
    def resource_type(cls):
        return LLM

    async def open(self):
        self.file = open(self.ledger, "a", buffering=1)

    def close(self):
        self.file.close()

    async def ask(self, text):
        await self.permit_async()
        self.file.write(f"{time.time()}\\n")
        return text


class Shop(Agent):
    @chat_model_connection(rate=Rate(50, burst=2))
    def llm(self):
        return ResourceDescriptor(clazz=Llm, ledger=str(Path(__file__).parent / "ledger"))

    @action("_input_event", timeout_seconds=0.5)
    async def ask(self, event, ctx):
        llm = await ctx.get_resource_async("llm", LLM)
        ctx.send_event(OutputEvent(await llm.ask(event.input)))


agent = Shop(name="shop")
"""


@pytest.fixture
def target(tmp_path: Path) -> str:
    (tmp_path / "agent.py").write_text(AGENT)
    return f"{tmp_path / 'agent.py'}:agent"


def times_in(tmp_path: Path) -> list[float]:
    return sorted(float(line) for line in (tmp_path / "ledger").read_text().splitlines())


def waits_of(session: SessionClient) -> float:
    found = [metric for frame in session.frames for metric in frame.metrics]
    assert all(
        metric.is_of_server and metric.path[:3] == ["resource", "chat_model_connection", "llm"] for metric in found
    )
    return sum(metric.value for metric in found if metric.path[3] == "permitWaits")


async def test_subtasks_share_a_worker_s_rate_and_no_time_limit_counts_the_waits(target: str, tmp_path: Path) -> None:
    with RunningServer(target) as server:
        starts = [Start("shop", subtask=n, key_group_first=64 * n, key_group_last=64 * n + 63) for n in (0, 1)]
        async with await server.session(starts[0]) as first, await server.session(starts[1]) as second:
            # The limit of 500 ms comes with the Invoke, as an operator sends it.
            both = [
                session.run([invoke(session.start, 0, n, key=n, remaining_ms=500) for n in range(60)])
                for session in (first, second)
            ]
            results = await asyncio.gather(*both)
            assert [[result.output for result in each] for each in results] == [list(range(60))] * 2
            assert waits_of(first) + waits_of(second) >= 110
        command = [sys.executable, "-m", "flink_actions", "describe", server.address]
        described = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)
    times = times_in(tmp_path)
    assert len(times) == 120
    # A write may come some milliseconds after its permit.
    assert all(sum(at <= other < at + 0.9 for other in times) <= 52 for at in times)
    assert times[-1] - times[0] >= 118 / 50 - 0.1
    assert "rate of chat_model_connection llm  50 uses every 1 s, 2 at once, in each worker" in described.stdout


async def test_what_waits_for_a_permit_is_finished_when_the_worker_drains(target: str, tmp_path: Path) -> None:
    with RunningServer(target) as server:
        start = Start("shop")
        async with await server.session(start) as session:
            invokes = [invoke(start, 0, n, key=n) for n in range(50)]
            await session.send_invokes(invokes)
            await session.until(lambda: len(session.results) > 2)
            server.process.terminate()
            await session.until(lambda: session.bye is not None)
            assert len(session.results) == 50
            assert not session.bounces
        assert server.wait() == 0
    assert len(times_in(tmp_path)) == 50


async def test_each_worker_has_its_own(target: str, tmp_path: Path) -> None:
    with RunningServer(target, flags=["--workers", "2"]) as server:
        addresses = await server.worker_addresses(2)
        sessions = [SessionClient(address, Start("shop", subtask=n)) for n, address in enumerate(addresses)]
        async with sessions[0], sessions[1]:
            both = [session.run([invoke(session.start, 0, n, key=n) for n in range(102)]) for session in sessions]
            await asyncio.gather(*both)
    times = times_in(tmp_path)
    assert len(times) == 204
    # Two seconds each; out of one bucket it would take four.
    assert times[-1] - times[0] < 3.5
