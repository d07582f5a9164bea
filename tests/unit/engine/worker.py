"""A dispatcher with one scope and a session's outbox: what the tests of the engine drive."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from flink_actions import Agent
from flink_actions.engine.dispatcher import Dispatcher, EngineSettings
from flink_actions.engine.invocation import LocalInvocation, Outcome, Succeeded
from flink_actions.engine.outbox import Outbox
from flink_actions.engine.plan import compile_plan

LIMIT_SECONDS = 10.0
EPOCH = 7


class Worker:
    """`async with Worker(agent) as worker`; `await worker.run(worker.invocation("action", ...))` gives the outcomes."""

    def __init__(
        self,
        agent: Agent,
        *,
        threads: int = 4,
        mirror_bytes: int = 1 << 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.plan = compile_plan(agent, "agent")
        self._settings = EngineSettings(threads=threads, mirror_bytes=mirror_bytes)
        self._handles = itertools.count(1)
        self.stepped_frames = 0

    async def __aenter__(self) -> Worker:
        self.dispatcher = Dispatcher(self._settings, clock=self._clock)
        self.scope = self.dispatcher.open_scope(self.plan, namespace="test", operator_uid="test", epoch=EPOCH)
        self.outbox = self.new_outbox()
        self.scope.attach(self.outbox)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.dispatcher.close()

    def new_outbox(self) -> Outbox:
        self.woken = asyncio.Event()
        return Outbox(self.woken.set)

    def invocation(self, action: str, value: Any = None, **fields: Any) -> LocalInvocation:
        """One of the named action, on an event of its first trigger."""
        found = next(known for known in self.plan.actions if known.name == action)
        handle = fields.pop("handle", None) or next(self._handles)
        return LocalInvocation(
            handle=handle,
            action=found.index,
            invocation_id=fields.pop("invocation_id", handle.to_bytes(16, "big")),
            event_type=fields.pop("event_type", found.triggers[0]),
            payload=orjson.dumps(value),
            **fields,
        )

    def submit(self, *invocations: LocalInvocation) -> None:
        self.dispatcher.submit(invocations, self.scope, self._on_stepped)

    def _on_stepped(self) -> None:
        self.stepped_frames += 1

    async def outcomes(self, count: int) -> list[Outcome]:
        """The next so many outcomes."""
        found: list[Outcome] = []
        async with asyncio.timeout(LIMIT_SECONDS):
            while True:
                self.woken.clear()
                found += self.outbox.drain()
                if len(found) >= count:
                    assert len(found) == count, found
                    return found
                await self.woken.wait()

    async def run(self, *invocations: LocalInvocation) -> list[Outcome]:
        self.submit(*invocations)
        by_handle = {outcome.handle: outcome for outcome in await self.outcomes(len(invocations))}
        return [by_handle[invocation.handle] for invocation in invocations]

    async def sent(self, *invocations: LocalInvocation) -> list[Any]:
        """Values that the invocations, all successful, have sent."""
        return sent_by(await self.run(*invocations))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not holds():  # noqa: ASYNC110 (of threads too)
            await asyncio.sleep(0.001)


def sent_by(outcomes: Sequence[Outcome]) -> list[Any]:
    values = []
    for outcome in outcomes:
        assert isinstance(outcome, Succeeded), outcome
        values += [orjson.loads(payload) for _, payload, _ in outcome.events]
    return values
