"""The user's code in one worker: two actions that remember, pay, fail and take their time.

Generations differ in the order of their actions, so that an index of one means something else in the other. A dead
worker's code goes on until it is cancelled, as code does; nothing that it does then counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from flink_actions import Agent, Event, OutputEvent, RetryableError, TerminalError, current_call
from flink_actions.sdk.policies import Backoff

from tests.simulation.scenario import ATTEMPTS, INPUT_EVENT, Input

if TYPE_CHECKING:
    from tests.simulation.workers import Worker
    from tests.simulation.world import World

__all__ = ["RETRY_AFTER_SECONDS", "STEP_EVENT", "TIME_LIMIT_SECONDS", "Code", "start_of"]

STEP_EVENT = "step"
TIME_LIMIT_SECONDS = 40.0
RETRY_AFTER_SECONDS = 5.0
# The start that an action works for, and its invocation.
_work: ContextVar[tuple[str, str]] = ContextVar("work")


def start_of(ctx: Any) -> tuple[int, str]:
    """Epoch and name of the start that an action works for: the model writes them where a trace goes."""
    epoch, _, start = ctx.trace.partition("/")
    return int(epoch), start


class Code:
    """What one worker runs."""

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self._worker = worker

    def agent(self, generation: int) -> Agent:
        """The agent as this generation declares it."""
        agent = Agent()

        def add_act() -> None:
            agent.add_action(
                "act",
                [INPUT_EVENT],
                self.act,
                timeout_seconds=TIME_LIMIT_SECONDS,
                max_attempts=ATTEMPTS,
                on_failure="dead_letter",
                backoff=Backoff(0.5, multiplier=2, max_seconds=4, jitter=0.5),
            )

        def add_follow() -> None:
            agent.add_action("follow", [STEP_EVENT], self.follow, on_failure="ignore")

        for add in (add_act, add_follow) if generation % 2 == 0 else (add_follow, add_act):
            add()
        return agent

    async def act(self, event: Any, ctx: Any) -> None:
        one = self._world.inputs[event.input]
        with self._at_work(one, "act", ctx):
            await self._ending_slowly(one, self._act(one, ctx))

    async def follow(self, event: Event, ctx: Any) -> None:
        one = self._world.inputs[event.attributes["name"]]
        with self._at_work(one, f"follow{event.attributes['step']}", ctx):
            await self._ending_slowly(one, self._follow(one, event.attributes["step"], ctx))

    async def _act(self, one: Input, ctx: Any) -> None:
        memory = ctx.short_term_memory
        history, flag = memory.get("history", default=[]), memory.get("flag", default=None)
        left_over = ctx.sensory_memory.get("trace", default=None)
        ctx.sensory_memory.set("trace", [one.name])
        if one.gathers:
            paid = await asyncio.gather(*[self._call(one, step, ctx) for step in range(one.calls)])
        else:
            paid = [await self._call(one, step, ctx) for step in range(one.calls)]
        paid = [*paid, *await self._meet_trouble(one, ctx)]
        await self._pass(one)
        self._world.checks.on_finished(self._worker, one, "act", ctx)
        memory.set("history", [*history, one.name, *paid])
        if flag is None:
            memory.set("flag", one.name)
        else:
            memory.delete("flag")
        ctx.send_event(
            OutputEvent({"name": one.name, "before": history, "paid": paid, "flag": flag, "left over": left_over})
        )
        for step in range(one.follows):
            ctx.send_event(Event(STEP_EVENT, {"name": one.name, "step": step}))
        ctx.send_event(Event("unheard", {}))

    async def _follow(self, one: Input, step: int, ctx: Any) -> None:
        history = ctx.short_term_memory.get("history")
        trace = ctx.sensory_memory.get("trace", default=None)
        if one.is_last_ignored and step == one.follows - 1:
            await self._pass(one)
            raise ValueError(f"refused {one.name}")
        paid = await ctx.durable_execute_async(self._pay, one.name, 100 + step, durable_id="pay")
        self._world.checks.on_finished(self._worker, one, f"follow{step}", ctx)
        ctx.sensory_memory.set("trace", [*(trace or []), step], overwrite=True)
        ctx.short_term_memory.set("history", [*history, f"{one.name}/{step}", paid])
        ctx.send_event(OutputEvent({"name": one.name, "step": step, "before": history, "paid": [paid], "trace": trace}))

    async def _meet_trouble(self, one: Input, ctx: Any) -> list[str]:
        if one.fate == "terminal":
            raise TerminalError(f"refused {one.name}")
        trouble = "refuse" if one.fate == "poison" else self._world.next_trouble(self._worker, one)
        if trouble == "hang":
            await asyncio.sleep(1e6)
        if trouble == "later":
            raise RetryableError(f"refused {one.name}", after=RETRY_AFTER_SECONDS)
        if trouble == "refuse":
            await ctx.durable_execute_async(self._refuse, one.name, durable_id="refuse")
        if "refuse" in one.troubles:
            return [await ctx.durable_execute_async(self._accept, one.name, durable_id="refuse")]
        return []

    async def _call(self, one: Input, step: int, ctx: Any) -> str:
        world = self._world

        async def reconcile() -> str:
            paid = world.checks.paid.get(current_call().idempotency_key)
            return paid if paid is not None else await self._pay(one.name, step)

        await self._pass(one)
        reconciler = reconcile if one.reconciles and step % 2 else None
        value: str = await ctx.durable_execute_async(self._pay, one.name, step, reconciler=reconciler, durable_id="pay")
        return value

    async def _refuse(self, name: str) -> None:
        raise ValueError(f"refused {name}")

    async def _accept(self, name: str) -> str:
        return f"accepted {name}"

    async def _pay(self, name: str, step: int) -> str:
        checks = self._world.checks
        key = current_call().idempotency_key
        if not self._worker.is_alive:
            raise asyncio.CancelledError
        checks.on_paid(self._worker, *_work.get(), key, (name, step))
        await asyncio.sleep(self._world.random.expovariate(10))
        if self._worker.is_alive:
            self._worker.completed.add(key)
        return checks.paid[key]

    async def _pass(self, one: Input) -> None:
        await asyncio.sleep(self._world.random.expovariate(1 / one.seconds))

    async def _ending_slowly(self, one: Input, work: Any) -> None:
        try:
            await work
        except asyncio.CancelledError:
            if self._worker.is_alive and one.is_slow_to_end:
                await asyncio.sleep(self._world.random.uniform(0, 1))
            raise

    @contextmanager
    def _at_work(self, one: Input, action: str, ctx: Any) -> Iterator[None]:
        checks = self._world.checks
        _work.set((start_of(ctx)[1], ctx.invocation_id))
        checks.on_begun(self._worker, one, action, ctx)
        try:
            yield
        finally:
            checks.on_left(self._worker, ctx)
