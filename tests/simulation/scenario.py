"""What a seed decides before anything happens: the stream, its inputs' fates, and how hard the world is."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass

__all__ = ["ATTEMPTS", "INPUT_EVENT", "KEY_GROUPS", "LAST_WATERMARK", "Broken", "Input", "Scenario", "key_group"]

INPUT_EVENT = "_input_event"
KEY_GROUPS = 8
LAST_WATERMARK = 1 << 40
# What the action's policy allows; more than any input but a poisoned one needs.
ATTEMPTS = 6


class Broken(AssertionError):
    """A promise did not hold."""


@dataclass(frozen=True)
class Input:
    """One record of the stream, and what its actions are going to do.

    Args:
        name: What tells it from all others.
        key: Its key.
        timestamp: Event time.
        calls: Durable calls of its first action.
        gathers: They are made at once.
        reconciles: Some have a reconciler.
        troubles: What its attempts meet, one after the other: "refuse" (a durable call fails), "later" (RetryableError
            with a wait), "hang" (until the time limit).
        fate: "done"; "poison" (fails for ever) and "terminal" (TerminalError) end in the dead letters.
        follows: How many further invocations its run has.
        is_last_ignored: The last of these fails, and its policy ignores that.
        seconds: Mean time of a step.
        is_slow_to_end: A cancelled coroutine takes its time to clean up.
    """

    name: str
    key: str
    timestamp: int
    calls: int
    gathers: bool
    reconciles: bool
    troubles: tuple[str, ...]
    fate: str
    follows: int
    is_last_ignored: bool
    seconds: float
    is_slow_to_end: bool

    @property
    def is_dead_lettered(self) -> bool:
        return self.fate != "done"


@dataclass(frozen=True)
class Scenario:
    """How hard the world is."""

    inputs: dict[str, Input]
    partitions: tuple[tuple[str, ...], ...]
    workers: int
    faults: int
    checkpoint_seconds: float
    mean_latency: float
    mirror_bytes: int
    kept_bytes: int
    credit_invocations: int
    credit_bytes: int
    frame_window: int
    ping_timeout: float
    # How long the operator waits before it takes an attempt for lost and cancels it; none: it never does.
    patience: float | None

    @staticmethod
    def of(choose: random.Random) -> Scenario:
        """What this seed decides."""
        inputs: dict[str, Input] = {}
        partitions: tuple[list[str], list[str]] = ([], [])
        keys = choose.choice([2, 5, 8])
        for number in range(30):
            one = _input(choose, number, keys)
            inputs[one.name] = one
            choose.choice(partitions).append(one.name)
        return Scenario(
            inputs,
            tuple(map(tuple, partitions)),
            workers=choose.choice([1, 2, 2, 3]),
            faults=choose.choice([6, 12]),
            checkpoint_seconds=choose.choice([0.5, 3.0, 20.0]),
            mean_latency=choose.choice([0.005, 0.2]),
            mirror_bytes=choose.choice([1, 2000, 1 << 20]),
            kept_bytes=choose.choice([20_000, 1 << 30, 1 << 30]),
            credit_invocations=choose.choice([1, 3, 1000]),
            credit_bytes=choose.choice([1000, 1 << 20]),
            frame_window=choose.choice([1, 2, 8]),
            ping_timeout=choose.choice([3.0, 12.0]),
            patience=choose.choice([None, None, 4.0]),
        )


def _input(choose: random.Random, number: int, keys: int) -> Input:
    troubles = choose.choice(
        [(), (), (), ("refuse",), ("refuse", "refuse"), ("later",), ("hang",), ("later", "refuse")]
    )
    follows = choose.choice([0, 0, 1, 2])
    return Input(
        f"i{number}",
        f"k{choose.randrange(keys)}",
        timestamp=number * 10 + choose.randrange(5),
        calls=choose.choice([0, 1, 2, 4, 7]),
        gathers=choose.random() < 0.5,
        reconciles=choose.random() < 0.3,
        troubles=troubles,
        fate=choose.choice(["done"] * 12 + ["poison", "terminal"]),
        follows=follows,
        is_last_ignored=follows > 0 and choose.random() < 0.2,
        seconds=choose.choice([0.02, 0.2, 1.0]),
        is_slow_to_end=choose.random() < 0.3,
    )


def key_group(key: str) -> int:
    """Where a key belongs; the same in every process."""
    return zlib.crc32(key.encode()) % KEY_GROUPS
