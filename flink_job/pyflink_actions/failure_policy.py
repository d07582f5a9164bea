"""What a job does about failures of actions that state no policy of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyflink_actions.durations import duration_text
from pyflink_actions.errors import OptionError

_DECISIONS = ("fail", "dead_letter", "ignore")
_MOST_ATTEMPTS = 1_000_000
_LONGEST_WAIT_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True)
class Backoff:
    """How long to wait before another attempt: `initial_seconds`, times `multiplier` for each further one.

    Args:
        initial_seconds: The first wait (1).
        multiplier: Factor between two waits, from 1 to 1000 (2).
        max_seconds: No wait is longer, unless the action's `RetryableError(after=)` asks for it (60).
        jitter: Share of a wait, from 0 to 1, that is random (0.1).

    Raises:
        OptionError: One of them is no number, or out of range.
    """

    initial_seconds: float | None = None
    multiplier: float | None = None
    max_seconds: float | None = None
    jitter: float | None = None

    def __post_init__(self) -> None:
        _check_number("Backoff.initial_seconds", self.initial_seconds, 0, _LONGEST_WAIT_SECONDS)
        _check_number("Backoff.multiplier", self.multiplier, 1, 1000)
        _check_number("Backoff.max_seconds", self.max_seconds, 0.001, _LONGEST_WAIT_SECONDS)
        _check_number("Backoff.jitter", self.jitter, 0, 1)


@dataclass(frozen=True)
class FailurePolicy:
    """What follows when an action fails that states neither `on_failure` nor `max_attempts` nor `backoff`.

    The terms are those of `@action`. A setting that is left out comes from the `agent:` section of Flink's
    configuration (`agent.default-failure-policy.*`), and then from its default.

    Args:
        on_failure: When no attempt is left: `"fail"` the job, `"dead_letter"` or `"ignore"` (fail).
        max_attempts: How often it may be tried in all, from 1 to 1,000,000 (1).
        backoff: The wait before another attempt, or its first length in seconds.

    Raises:
        OptionError: One of them is none of that.

    Example:
        ActionServer("localhost:7077", default_failure_policy=FailurePolicy("dead_letter", max_attempts=5))
    """

    on_failure: str | None = None
    max_attempts: int | None = None
    backoff: Backoff | float | None = None

    def __post_init__(self) -> None:
        if self.on_failure == "retry":
            raise OptionError(
                "FailurePolicy.on_failure is 'retry': max_attempts says how often an action is tried, and on_failure "
                "what follows the last attempt ('fail', 'dead_letter' or 'ignore')"
            )
        if self.on_failure is not None and self.on_failure not in _DECISIONS:
            raise OptionError(
                f"FailurePolicy.on_failure is {self.on_failure!r}; it is 'fail', 'dead_letter' or 'ignore'"
            )
        attempts: Any = self.max_attempts
        if attempts is not None and (
            isinstance(attempts, bool) or not isinstance(attempts, int) or not 1 <= attempts <= _MOST_ATTEMPTS
        ):
            raise OptionError(
                f"FailurePolicy.max_attempts is {attempts!r}; it counts the first attempt too, and is from 1 to "
                f"{_MOST_ATTEMPTS}"
            )
        if not isinstance(self.backoff, Backoff):
            what = " of seconds, or a pyflink_actions.Backoff"
            _check_number("FailurePolicy.backoff", self.backoff, 0, _LONGEST_WAIT_SECONDS, what)

    def options(self) -> dict[str, object]:
        """Keys of the `agent:` section; None where nothing was given."""
        waits = self.backoff if isinstance(self.backoff, Backoff) else Backoff(self.backoff)
        of_policy = {
            # The text of the constant, if it is one of flink_actions.OnFailure.
            "on-failure": None if self.on_failure is None else str.__str__(self.on_failure),
            "max-attempts": self.max_attempts,
            "backoff.initial": duration_text("initial_seconds", waits.initial_seconds),
            "backoff.multiplier": waits.multiplier,
            "backoff.max": duration_text("max_seconds", waits.max_seconds),
            "backoff.jitter": waits.jitter,
        }
        return {f"default-failure-policy.{key}": value for key, value in of_policy.items()}


def _check_number(name: str, value: Any, least: float, most: float, what: str = "") -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise OptionError(f"{name} is {value!r}; it is a number from {least} to {most}{what}")
