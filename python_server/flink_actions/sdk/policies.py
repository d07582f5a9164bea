"""What an author decides about an action besides its body: retries, limits, and what is remembered of it.

These are declarations. The operator keeps them: it retries, waits, dead-letters and remembers; nothing in the server
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class OnFailure(str, Enum):
    """What becomes of an invocation that has no attempt left."""

    FAIL = "fail"
    """The Flink job fails, and its restart strategy decides."""
    DEAD_LETTER = "dead_letter"
    """Input, event and error go to the job's dead letters; the run goes on without this invocation."""
    IGNORE = "ignore"
    """Nothing is kept of it but a count; the run goes on without it."""


class Durability(str, Enum):
    """Where the calls that an action makes through `ctx.durable_execute` are recorded."""

    NONE = "none"
    """Nowhere: a repeated attempt calls again."""
    CHECKPOINT = "checkpoint"
    """In Flink's checkpoints; the worker keeps what is newer."""
    SYNCHRONOUS = "synchronous"
    """In an external store, before the call returns."""


class OnMismatch(str, Enum):
    """What a replay does when the code makes other calls than the records say."""

    FAIL = "fail"
    """The attempt fails, and no retry helps."""
    TRUNCATE = "truncate"
    """The records from the difference on are dropped and reported, and the action goes on."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before another attempt: `initial_seconds`, times `multiplier` for each further one.

    While it waits, an invocation holds no worker, no thread and no place among the runs in flight; later inputs of its
    key wait behind it.

    Args:
        initial_seconds: The first wait.
        multiplier: Factor between two waits.
        max_seconds: No wait is longer, unless `RetryableError(after=)` asks for it.
        jitter: Share of a wait, from 0 to 1, that is random, so that what failed together is not repeated together.

    Example:
        >>> Backoff(0.5, multiplier=3, max_seconds=30)
        Backoff(initial_seconds=0.5, multiplier=3, max_seconds=30, jitter=0.1)
    """

    initial_seconds: float = 1.0
    multiplier: float = 2.0
    max_seconds: float = 60.0
    jitter: float = 0.1


@dataclass(frozen=True, slots=True)
class ActionPolicies:
    """All that `@action` takes besides triggers and configuration; see there. Not checked yet.

    Where `on_failure`, `max_attempts` and `backoff` are all None, the action states no failure policy.
    """

    timeout_seconds: float | None = None
    on_failure: OnFailure | str | None = None
    max_attempts: int | None = None
    backoff: Backoff | float | None = None
    durability: Durability | str = Durability.CHECKPOINT
    on_mismatch: OnMismatch | str = OnMismatch.FAIL
    concurrency: int | None = None
    formerly: Sequence[str] | str = ()
