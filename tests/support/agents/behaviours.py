"""One action per behaviour that a server has to live with. Tests invoke them by name."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from flink_actions import Agent, InputEvent, OutputEvent, RunnerContext, action, current_call

ON_INPUT = "_input_event"


def write_down(ledger: Path, line: str) -> None:
    with ledger.open("a") as file:
        file.write(f"{line}\n")


class Behaviours(Agent):
    @action(ON_INPUT)
    async def echo(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=event.input))

    @action(ON_INPUT)
    def echo_in_thread(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=event.input))

    @action(ON_INPUT)
    async def wait(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        await asyncio.sleep(event.input)
        ctx.send_event(OutputEvent(output=event.input))

    @action(ON_INPUT)
    async def write_down_and_wait(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        """Leaves a line in a file for each time it begins, and one if it is cancelled."""
        ledger = Path(event.input["ledger"])
        write_down(ledger, event.input["name"])
        try:
            await asyncio.sleep(event.input["seconds"])
        except asyncio.CancelledError:
            write_down(ledger, f"cancelled {event.input['name']}")
            raise
        ctx.send_event(OutputEvent(output=event.input["name"]))

    @action(ON_INPUT)
    async def abort(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        os.abort()

    @action(ON_INPUT)
    async def abort_after_a_wait(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        await asyncio.sleep(0.1)
        os.abort()

    @action(ON_INPUT)
    def abort_in_thread(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        time.sleep(0.1)
        os.abort()

    @action(ON_INPUT)
    async def abort_in_child_task(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        async def child() -> None:
            await asyncio.sleep(0.1)
            os.abort()

        await asyncio.gather(child())

    @action(ON_INPUT)
    async def exit_in_child_task(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        """asyncio hands a SystemExit through to the event loop, which ends."""

        async def child() -> None:
            sys.exit(3)

        await asyncio.gather(child())

    @action(ON_INPUT)
    async def abort_in_foreign_thread(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        threading.Thread(target=os.abort).start()
        await asyncio.sleep(60)

    @action(ON_INPUT)
    def block_in_thread(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        time.sleep(event.input)
        ctx.send_event(OutputEvent(output="blocked"))

    @action(ON_INPUT)
    def say_so_and_hang_in_thread(self, event: InputEvent[str], ctx: RunnerContext) -> None:
        _say_so_and_hang(event.input)

    @action(ON_INPUT)
    async def say_so_and_hang_in_durable_call(self, event: InputEvent[str], ctx: RunnerContext) -> None:
        await ctx.durable_execute_async(_say_so_and_hang, event.input)

    @action(ON_INPUT)
    async def swallow_cancellation(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(600)

    @action(ON_INPUT)
    async def swallow_cancellation_at_first(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        """Only in the first attempt."""
        if ctx.attempt == 1:
            await self.swallow_cancellation(event, ctx)
        ctx.send_event(OutputEvent(output=ctx.attempt))

    @action(ON_INPUT)
    async def exit_quietly(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        os._exit(0)

    @action(ON_INPUT)
    async def stop_own_process(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    @action(ON_INPUT)
    async def block(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        """What nobody should do: holds the event loop."""
        time.sleep(event.input)  # noqa: ASYNC251
        ctx.send_event(OutputEvent(output="blocked"))

    @action(ON_INPUT)
    async def fail(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        raise ValueError(f"cannot do {event.input!r}")

    @action(ON_INPUT)
    async def remember(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        seen = (ctx.short_term_memory.get("seen") or 0) + 1
        ctx.short_term_memory.set("seen", seen)
        ctx.send_event(OutputEvent(output=seen))

    @action(ON_INPUT)
    async def grow(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output="x" * event.input))

    @action(ON_INPUT)
    async def use_asyncio(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        """gather, task group, timeout and queue, as in any asyncio program."""

        async def double(number: int) -> int:
            await asyncio.sleep(0.001)
            return 2 * number

        gathered = await asyncio.gather(*[double(number) for number in range(3)])
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(double(number)) for number in gathered]
        grouped = [task.result() for task in tasks]
        timed_out = False
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            timed_out = True
        queue: asyncio.Queue[int] = asyncio.Queue()
        await queue.put(7)
        ctx.send_event(OutputEvent(output=[grouped, timed_out, await queue.get()]))

    @action(ON_INPUT)
    async def fetch(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        async with httpx.AsyncClient(timeout=5.0) as client:
            answers = await asyncio.gather(*[client.get(url) for url in event.input])
        ctx.send_event(OutputEvent(output=[answer.text for answer in answers]))

    @action(ON_INPUT)
    async def pay_in_steps(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        """Durable calls, one after the other, each of which leaves a line with its idempotency key in a file."""
        paid = [
            await ctx.durable_execute_async(_pay, event.input["ledger"], event.input["name"], step)
            for step in range(event.input["steps"])
        ]
        ctx.send_event(OutputEvent(output=paid))

    @action(ON_INPUT)
    async def pay_at_once(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        """The same, all at once."""
        steps = range(event.input["steps"])
        calls = [ctx.durable_execute_async(_pay, event.input["ledger"], event.input["name"], step) for step in steps]
        ctx.send_event(OutputEvent(output=await asyncio.gather(*calls)))

    @action(ON_INPUT)
    def pay_in_thread(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        """The same, from a `def`."""
        paid = [
            ctx.durable_execute(_pay_blocking, event.input["ledger"], event.input["name"], step)
            for step in range(event.input["steps"])
        ]
        ctx.send_event(OutputEvent(output=paid))

    @action(ON_INPUT)
    async def tell_process(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=os.getpid()))

    @action(ON_INPUT)
    async def hang_in_thread(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        await asyncio.to_thread(time.sleep, event.input)

    @action(ON_INPUT)
    async def tell_config(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=dict(ctx.config)))

    @action(ON_INPUT)
    async def issue_ticket(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        """A durable call whose value has no JSON form."""
        ticket = await ctx.durable_execute_async(_issue, event.input["ledger"], event.input["seat"])
        ctx.send_event(OutputEvent(output=[type(ticket).__name__, ticket == Ticket(event.input["seat"])]))

    @action(ON_INPUT)
    async def send_unsendable(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        sent = OutputEvent(output=1)
        sent.type = event.input
        ctx.send_event(sent)


class Ticket:
    """Equal by what it holds, and no dataclass."""

    def __init__(self, seat: str) -> None:
        self.seat = seat

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ticket) and other.seat == self.seat

    __hash__ = None  # type: ignore[assignment]


async def _issue(ledger: str, seat: str) -> Ticket:
    write_down(Path(ledger), seat)
    return Ticket(seat)


def _say_so_and_hang(begun: str) -> None:
    Path(begun).touch()
    time.sleep(600)


async def _pay(ledger: str, name: str, step: int) -> int:
    write_down(Path(ledger), f"{name} {step} {current_call().idempotency_key}")
    await asyncio.sleep(0.02)
    return step


def _pay_blocking(ledger: str, name: str, step: int) -> int:
    write_down(Path(ledger), f"{name} {step} {current_call().idempotency_key}")
    time.sleep(0.02)
    return step


agent = Behaviours(name="behaviours")
