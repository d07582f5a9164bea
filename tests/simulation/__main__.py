"""`python -m tests.simulation --seeds N [--from M]`: N worlds; the first one that breaks prints its seed."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time

from tests.simulation.world import Broken, Seen, simulate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one")
    arguments = parser.parse_args()
    totals = dict.fromkeys((field.name for field in dataclasses.fields(Seen)), 0)
    began = time.monotonic()
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        try:
            seen = simulate(seed)
        except Broken as error:
            print(f"BROKEN  {error}\nagain:  make simulate SEEDS=1 FROM={seed}")
            cause = error.__cause__
            if cause is not None and not isinstance(cause, Broken):
                raise
            return 1
        for name in totals:
            totals[name] += getattr(seen, name)
    words = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in totals.items())
    print(f"{arguments.seeds} worlds held in {time.monotonic() - began:.1f} s: {words}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
