"""The agent that is hurt: two actions, memory, an event sent before an await, calls one after the other and beside.

Whatever it does it also writes into a ledger, a file outside of both processes: when a call begins, with its
idempotency key, and when the action has its answer. What a call gives depends on the input, and nothing that names the
call says so, only the invocation does; so an answer that was meant for another input shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import os
import random
import time
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any

from flink_actions import Agent, Durability, Event, InputEvent, OutputEvent, RunnerContext, current_call

LONGEST_WAIT_SECONDS = 0.04


@dataclass(frozen=True)
class Work:
    """What is being worked on."""

    input: str
    action: str
    run: int
    invocation: str
    attempt: int


_work: ContextVar[Work] = ContextVar("work")


@functools.cache
def _ledger() -> int:
    return os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def write(what: str, task: str, step: int, **more: str) -> None:
    """One line in one write: whole or not at all, whenever the process dies."""
    line = {"what": what, "at": time.time(), "pid": os.getpid(), "task": task, "step": step, **more}
    os.write(_ledger(), json.dumps({**line, **asdict(_work.get())}).encode() + b"\n")


def abort_if_ordered() -> None:
    """What a broken extension module would do: whoever finds the file `abort` first is its process's end."""
    with contextlib.suppress(FileNotFoundError):
        # Whoever looks later knows that it was this one.
        os.rename("abort", f"aborted-{os.getpid()}")
        os.abort()


async def draw(task: str, step: int) -> str:
    """The input's name, which no argument says."""
    write("begin", task, step, call=current_call().idempotency_key)
    abort_if_ordered()
    await asyncio.sleep(random.random() * LONGEST_WAIT_SECONDS)
    return _work.get().input


async def drawn(ctx: RunnerContext, task: str, step: int) -> str:
    name = await ctx.durable_execute_async(draw, task, step)
    write("returned", task, step)
    return name


async def draw_twice(ctx: RunnerContext, task: str) -> list[str]:
    return [await drawn(ctx, task, step) for step in range(2)]


def fold(before: str, name: str) -> str:
    """A digest of all inputs of a key in their order."""
    return hashlib.sha256(f"{before} {name}".encode()).hexdigest()[:16]


class Hurt(Agent):
    """Answers each input twice: once before it has waited for anything but a call, once at the end."""

    name = "hurt"

    def __init__(self, durability: Durability) -> None:
        super().__init__()
        self.add_action("assess", "_input_event", self.assess, durability=durability)
        self.add_action("answer", "assessed", self.answer, durability=durability)

    async def assess(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        name = event.input["name"]
        _work.set(Work(name, "assess", ctx.run_number, ctx.invocation_id, ctx.attempt))
        first = await drawn(ctx, "main", 0)
        # Before an await: whoever answers from records must neither lose nor double it.
        ctx.send_event(OutputEvent(output={"kind": "early", "key": ctx.key, "name": name, "drawn": [first]}))
        second = await drawn(ctx, "main", 1)
        count = ctx.short_term_memory.get("count", default=0)
        ctx.short_term_memory.set("count", count + 1)
        ctx.send_event(Event(type="assessed", attributes={"name": name, "count": count, "drawn": [first, second]}))

    async def answer(self, event: Event, ctx: RunnerContext) -> None:
        name = event.attributes["name"]
        _work.set(Work(name, "answer", ctx.run_number, ctx.invocation_id, ctx.attempt))
        left, right = await asyncio.gather(draw_twice(ctx, "left"), draw_twice(ctx, "right"))
        before = ctx.short_term_memory.get("fold", default="")
        after = fold(before, name)
        ctx.short_term_memory.set("fold", after)
        answer = {
            "kind": "answer",
            "key": ctx.key,
            "name": name,
            "count": event.attributes["count"],
            "fold": after,
            "drawn": [*event.attributes["drawn"], *left, *right],
        }
        ctx.send_event(OutputEvent(output=answer))


checkpoint = Hurt(Durability.CHECKPOINT)
synchronous = Hurt(Durability.SYNCHRONOUS)
