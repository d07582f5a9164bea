"""`python -m tests.simulation --seeds N [--from M] [--processes P]`: N worlds; those that break print their seeds."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time

from tests.simulation.campaign import outcomes
from tests.simulation.world import Seen

_TELL_EVERY_SECONDS = 10.0
# Beyond this many there is one cause, or more than anybody reads.
_MOST_BROKEN = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one")
    parser.add_argument("--processes", type=int, default=1, help="how many at a time")
    arguments = parser.parse_args()
    totals = dict.fromkeys((field.name for field in dataclasses.fields(Seen)), 0)
    began = told = time.monotonic()
    held, broken = 0, []
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    for seed, outcome in outcomes(seeds, min(arguments.processes, arguments.seeds)):
        if isinstance(outcome, str):
            broken.append(seed)
            print(f"BROKEN  {outcome}\nagain:  make simulate SEEDS=1 FROM={seed}", flush=True)
            if len(broken) >= _MOST_BROKEN:
                break
            continue
        held += 1
        for name in totals:
            totals[name] += getattr(outcome, name)
        if time.monotonic() - told > _TELL_EVERY_SECONDS:
            told = time.monotonic()
            print(f"{held} of {len(seeds)} worlds held, {held / (told - began):.1f} a second", flush=True)
    seconds = time.monotonic() - began
    words = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in totals.items())
    print(f"{held} worlds held in {seconds:.1f} s, {held / seconds:.1f} a second: {words}")
    if broken:
        print(f"{len(broken)} did not: {' '.join(map(str, sorted(broken)))}")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
