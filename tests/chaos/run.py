"""A world, a storm of faults, and the verdict."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.chaos.faults import Fault, storm
from tests.chaos.verdict import Verdict, judge
from tests.chaos.world import World


@dataclass(frozen=True)
class Happened:
    """A fault, what it was done to, and when it began and ended; seconds since the first."""

    fault: Fault
    to: str
    began: float
    ended: float


def run_chaos(folder: Path, seed: int, seconds: float, *, workers: int = 2, durability: str = "checkpoint") -> Verdict:
    """Hurt a world in `folder` for so long, print what happened, and judge."""
    with World(folder, workers=workers, seed=seed, durability=durability) as world:
        print("the job runs", flush=True)
        try:
            happened = _hurt(world, seed, seconds)
            print("the faults are over, the inputs are answered to the end", flush=True)
            world.settle()
            evidence = world.evidence()
            verdict = judge(evidence)
            (folder / "evidence.json").write_text(json.dumps(asdict(evidence)))
            failures = world.job.failures()
        except BaseException:
            print(f"seed {seed}\n{world.cluster.last_words()}", flush=True)
            raise
    verdict.counts["faults"] = len(happened)
    _print_table(happened)
    for name, count in verdict.counts.items():
        print(f"{name:60} {count:7,}")
    for message, times in Counter(re.sub(r"tm\d+|'.*", "…", failure.message) for failure in failures).items():
        print(f"restart x {times}: {message[:160]}")
    return verdict


def _hurt(world: World, seed: int, seconds: float) -> list[Happened]:
    begin = time.monotonic()
    happened: list[Happened] = []
    for fault in storm(seed, has_store=world.broker is not None):
        time.sleep(fault.pause_seconds)
        began = time.monotonic() - begin
        if began > seconds:
            return happened
        to = fault.happen(world)
        ended = time.monotonic() - begin
        happened.append(Happened(fault, to or "nobody was there", began, ended))
        print(f"{began:7.1f} s  {fault.kind}: {happened[-1].to} ({world.answered():,} answered)", flush=True)
    return happened


def _print_table(happened: list[Happened]) -> None:
    counts = Counter(one.fault.kind for one in happened)
    print(f"\n{'fault':60} {'times':>7}")
    for kind, times in sorted(counts.items()):
        print(f"{kind:60} {times:7}")
