"""The operator's state as a model: lanes, runs and invocations, and what of it a snapshot has."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from flink_actions.engine.identity import event_digest, invocation_id, run_id
from flink_actions.wire.v1 import session_pb2

from tests.simulation.scenario import INPUT_EVENT, Input

__all__ = ["NAMESPACE", "OPERATOR", "Event", "Invocation", "Lane", "Place", "Run"]

NAMESPACE = "n"
OPERATOR = "o"

Place = tuple[str, int]


@dataclass(frozen=True)
class Event:
    """What an action has sent."""

    type: str
    payload: bytes
    source: bytes
    position: int


@dataclass
class Invocation:
    """One action on one event. Ready if neither sent (see the subtask's handles) nor waiting for its time."""

    id: bytes
    action: str
    event: Event | None
    attempt: int = 0
    failures: int = 0
    # Another attempt is wanted, and not before this time.
    due: float | None = None
    calls: dict[Place, session_pb2.CallRecord] = field(default_factory=dict)

    def copy(self) -> Invocation:
        """As a snapshot has it; records are replaced and never changed."""
        return replace(self, calls=dict(self.calls))


@dataclass
class Run:
    """All that one input causes."""

    name: str
    id: bytes
    generation: bytes
    digest: bytes
    queue: list[Invocation] = field(default_factory=list)
    sensory: dict[str, bytes] = field(default_factory=dict)
    next_ordinal: int = 0

    @staticmethod
    def of(one: Input, number: int, generation: bytes) -> Run:
        """The run of an input, with its first invocation."""
        digest = event_digest(INPUT_EVENT, payload_of(one), is_raw=False, timestamp=one.timestamp)
        run = Run(one.name, run_id(NAMESPACE, OPERATOR, key_bytes(one.key), number, digest), generation, digest)
        run.add("act", None)
        return run

    def add(self, action: str, event: Event | None, timestamp: int | None = None) -> None:
        """Queue an invocation behind those that are there."""
        digest = self.digest
        if event is not None:
            digest = event_digest(event.type, event.payload, is_raw=False, timestamp=timestamp)
        self.queue.append(Invocation(invocation_id(self.id, action, self.next_ordinal, digest), action, event))
        self.next_ordinal += 1

    def copy(self) -> Run:
        """As a snapshot has it."""
        return replace(self, queue=[invocation.copy() for invocation in self.queue], sensory=dict(self.sensory))


@dataclass
class Lane:
    """One key: its inputs in order, the run that has begun, and its memory."""

    key: str
    waiting: list[str] = field(default_factory=list)
    run: Run | None = None
    run_number: int = 0
    version: bytes = b""
    memory: dict[str, bytes] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Inputs that are not finished, oldest first."""
        return ([] if self.run is None else [self.run.name]) + self.waiting

    def copy(self) -> Lane:
        """As a snapshot has it."""
        run = None if self.run is None else self.run.copy()
        return replace(self, waiting=list(self.waiting), run=run, memory=dict(self.memory))

    def as_text(self) -> str:
        """All of it, for comparison."""
        return repr(self)


def key_bytes(key: str) -> bytes:
    """A key as it travels."""
    return json.dumps(key).encode()


def payload_of(one: Input) -> bytes:
    """An input as it travels."""
    return json.dumps(one.name).encode()


def output_of(payload: bytes) -> dict[str, Any]:
    """An output as it was sent."""
    value: dict[str, Any] = json.loads(payload)
    return value
