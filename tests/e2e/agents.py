"""Agents of the end-to-end tests."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flink_actions import Agent, InputEvent, OutputEvent, Row, RunnerContext, action


class Echo(Agent):
    """Gives back what it gets."""

    name = "echo"

    @action(InputEvent)
    async def echo(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=event.input))


class Witness(Agent):
    """Says what it sees: input, key, timestamp, settings, time limit, and how many inputs of the key came before."""

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
            # Not by the loop's own time, which uvloop keeps still within a turn.
            "seconds_left": None if ctx.deadline is None else ctx.deadline - time.monotonic(),
        }
        ctx.send_event(OutputEvent(output=told))


class Rows(Agent):
    """Gives a row back as it came: by names in another order, and by position."""

    name = "rows"

    @action(InputEvent)
    async def give_back(self, event: InputEvent[Row], ctx: RunnerContext) -> None:
        row = event.input
        ctx.send_event(OutputEvent(output=Row(**{name: row[name] for name in reversed(row.keys())})))
        ctx.send_event(OutputEvent(output=Row(*row)))


@dataclass
class Place:
    city: str | None
    since: datetime.date


@dataclass
class Visit:
    """As the row that local_jobs.py sends, with types that tell."""

    who: str
    at: datetime.datetime | None
    spent: Decimal | None
    photo: bytes | None
    place: Place | None
    tags: list[str] | None
    counts: dict[str, int] | None


class Visits(Agent):
    """Reads rows into a dataclass, and sends what it has computed from its values as a Row."""

    name = "visits"

    @action(InputEvent)
    async def extend(self, event: InputEvent[Visit], ctx: RunnerContext) -> None:
        visit = event.input
        place, at = visit.place, visit.at
        ctx.send_event(
            OutputEvent(
                output=Row(
                    who=visit.who,
                    at=None if at is None else at + datetime.timedelta(days=1),
                    spent=None if visit.spent is None else visit.spent * 2,
                    photo=None if visit.photo is None else visit.photo[::-1],
                    place=None if place is None else Row(city=place.city, since=place.since.replace(year=2000)),
                    tags=visit.tags,
                    counts=visit.counts,
                )
            )
        )


class Failing(Agent):
    """Raises for every input."""

    name = "failing"

    @action(InputEvent)
    async def fail(self, event: InputEvent[Any], ctx: RunnerContext) -> None:
        raise ValueError(f"nothing to be done with {event.input!r}")


echo, witness, rows, visits, failing = Echo(), Witness(), Rows(), Visits(), Failing()
