"""Many worlds, in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator

from tests.simulation.world import Broken, Seen, simulate

__all__ = ["outcomes"]


def _outcome(seed: int) -> tuple[int, Seen | str]:
    try:
        return seed, simulate(seed)
    except Broken as error:
        return seed, str(error)


def outcomes(seeds: range, processes: int) -> Iterator[tuple[int, Seen | str]]:
    """Each seed with what its world has been through, or what did not hold in it; as they end."""
    if processes == 1:
        yield from map(_outcome, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(_outcome, seeds, chunksize=4)
