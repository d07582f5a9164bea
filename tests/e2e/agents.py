"""Agents of the end-to-end tests."""

from __future__ import annotations

from typing import Any

from flink_actions import Agent, InputEvent, OutputEvent, RunnerContext, action


class Echo(Agent):
    """Gives back what it gets."""

    name = "echo"

    @action(InputEvent)
    async def echo(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=event.input))


class Witness(Agent):
    """Says what it sees: input, key, timestamp, configuration, and how many inputs of the key came before."""

    name = "witness"

    @action(InputEvent)
    async def tell(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        seen = ctx.short_term_memory.get("seen", default=0)
        ctx.short_term_memory["seen"] = seen + 1
        told = {
            "input": repr(event.input),
            "key": ctx.key,
            "timestamp": ctx.timestamp,
            "seen": seen,
            "greeting": ctx.config.get("greeting"),
        }
        ctx.send_event(OutputEvent(output=told))


class Failing(Agent):
    """Raises for every input."""

    name = "failing"

    @action(InputEvent)
    async def fail(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        raise ValueError(f"nothing to be done with {event.input!r}")


echo, witness, failing = Echo(), Witness(), Failing()
