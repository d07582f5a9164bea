"""What a worker keeps for a restarted job, as it is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flink_actions.wire.v1 import session_pb2

__all__ = ["encode_holdings"]

# Of 8 bytes and two short numbers each: a page stays below the smallest frame limit, and takes a millisecond to make.
_IDS_OF_A_PAGE = 2048
_ID_BYTES = 8


def encode_holdings(held: Sequence[tuple[bytes, tuple[int, int]]]) -> Iterator[session_pb2.Holdings]:
    """Pages of what is held, each made when it is asked for; none if nothing is held.

    Args:
        held: Invocation ids, each with the epoch and the attempt that it was last worked on for.
    """
    for at in range(0, len(held), _IDS_OF_A_PAGE):
        part = held[at : at + _IDS_OF_A_PAGE]
        yield session_pb2.Holdings(
            invocations=b"".join([name[:_ID_BYTES] for name, _ in part]),
            epoch=[epoch for _, (epoch, _) in part],
            attempt=[attempt for _, (_, attempt) in part],
            is_last=at + _IDS_OF_A_PAGE >= len(held),
        )
