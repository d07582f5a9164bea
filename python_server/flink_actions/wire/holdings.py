"""What a worker keeps for a restarted job, as it is told."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from flink_actions.wire.v1 import session_pb2

__all__ = ["encode_holdings"]

# Of 8 bytes and two short numbers each: a page stays below the smallest frame limit, and takes some 3 ms to make.
_IDS_OF_A_PAGE = 2048
_ID_BYTES = 8


def encode_holdings(held: Iterable[tuple[bytes, tuple[int, int]]]) -> Iterator[session_pb2.Holdings]:
    """Pages of what is held, each made when it is asked for. The last one says so, and may be empty.

    Args:
        held: Invocation ids, each with the epoch and the attempt that it was last worked on for.
    """
    rest, is_last = iter(held), False
    while not is_last:
        part = list(itertools.islice(rest, _IDS_OF_A_PAGE))
        is_last = len(part) < _IDS_OF_A_PAGE
        yield session_pb2.Holdings(
            invocations=b"".join([name[:_ID_BYTES] for name, _ in part]),
            epoch=[epoch for _, (epoch, _) in part],
            attempt=[attempt for _, (_, attempt) in part],
            is_last=is_last,
        )
