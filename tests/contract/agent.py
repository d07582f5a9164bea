"""The agent of cases/frames.json."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Any

from flink_actions import Agent, InputEvent, OutputEvent, RunnerContext, action

_released: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
_begun: Counter[str] = Counter()


class Contract(Agent):
    name = "contract"

    @action(InputEvent)
    async def echo(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=event.input))

    @action(InputEvent)
    async def hold(self, event: InputEvent[str], ctx: RunnerContext) -> None:
        _begun[ctx.invocation_id] += 1
        await _released[event.input].wait()
        ctx.send_event(OutputEvent(output=_begun[ctx.invocation_id]))

    @action(InputEvent)
    async def release(self, event: InputEvent[str], ctx: RunnerContext) -> None:
        _released[event.input].set()


agent = Contract()
