"""Hurts a real job for some minutes, and then looks whether it kept its promises.

    python -m tests.chaos                        one minute of faults, from a seed that it prints
    python -m tests.chaos --minutes 10
    python -m tests.chaos --seed 4711            the same faults, pauses and durations again
    python -m tests.chaos --workers 4            processes of the server
    python -m tests.chaos --level synchronous    with the action state store, in a Kafka broker
    make chaos MINUTES=10 SEED=4711 LEVEL=synchronous

A standalone Flink cluster (a JobManager, a TaskManager with the job, a spare one), an action server with its workers,
and a TCP proxy between them, all on loopback. The job reads two partitions of files without end, keyed, through an
agent with memory, two steps, an event before an await and durable calls, into committed files. Faults: kill -9 of
workers, supervisor, whole server, TaskManagers; os.abort() in an action; SIGSTOP of workers and TaskManagers, also
until they are given up; connections reset, stalled, half open, refused, these too beyond the linger time; reloads; at
level synchronous SIGSTOP of the broker. Then the faults stop and all inputs must be answered.

It ends with a table of the faults, counts of what was repeated, and a verdict: every input answered once in the
committed files, memory one fold per key, nobody answered with another's result, no recorded call made again but where
all who had the record died, and at level synchronous not even then; a call that is made again has the idempotency key
of its first time; no process ends that no fault has ended, and no log speaks of a defect. Exit code 1 if a promise was
broken; then seed, offenders and the folder with all logs stand at the end. Takes the time of the faults and some 40 s.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.run import run_chaos


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="how long faults go on (default 1)")
    parser.add_argument("--seed", type=int, default=None, help="of faults and inputs (default: one that is drawn)")
    parser.add_argument("--workers", type=int, default=2, help="processes of the server (default 2)")
    parser.add_argument(
        "--level", choices=["checkpoint", "synchronous"], default="checkpoint", help="of the calls (default checkpoint)"
    )
    parser.add_argument(
        "--folder", type=Path, help="for logs, ledger, inputs and outputs; is kept (default: a new one)"
    )
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    print(
        f"seed {seed}, {options.minutes:g} minute(s), {options.workers} workers, level {options.level}; "
        f"logs in {folder}",
        flush=True,
    )
    started = time.monotonic()
    verdict = run_chaos(
        folder.absolute(), seed, options.minutes * 60, workers=options.workers, durability=options.level
    )
    print(f"took {time.monotonic() - started:.0f} s")
    if not verdict.broken:
        print(f"all promises kept (seed {seed})")
        if options.folder is None:
            shutil.rmtree(folder)
        return 0
    print(f"\nBROKEN, seed {seed}, logs in {folder}")
    for promise in verdict.broken:
        print(f"  {promise}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
