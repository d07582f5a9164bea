"""What a context says of itself."""

from __future__ import annotations

from flink_actions import Agent, EventType, InputEvent, OutputEvent, RunnerContext, UnsupportedError, action
from flink_actions.testing import run_agent


class Elephant(Agent):
    @action(EventType.InputEvent)
    async def remember(self, event: InputEvent[str], ctx: RunnerContext) -> None:
        try:
            ctx.long_term_memory.get(event.input)
        except UnsupportedError as refused:
            ctx.send_event(OutputEvent(str(refused)))


def test_long_term_memory_is_refused_by_name() -> None:
    (refused,) = run_agent(Elephant(), ["peanut"]).outputs
    assert refused.startswith("ctx.long_term_memory: ")
    assert "ctx.short_term_memory" in refused
