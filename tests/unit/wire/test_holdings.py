"""What a worker keeps for a restarted job, as pages."""

from __future__ import annotations

import pytest
from flink_actions.wire.holdings import encode_holdings

# The smallest frame limit that a job may name.
SMALLEST_FRAME = 64 * 1024


@pytest.mark.parametrize("count", [1, 2048, 2049, 100_000])
def test_all_that_is_held_is_told_in_frames_that_fit_and_the_last_says_so(count: int) -> None:
    held = [(number.to_bytes(16, "little"), (1_800_000_000_000 + number, number + 1)) for number in range(count)]
    pages = list(encode_holdings(held))
    assert b"".join(page.invocations for page in pages) == b"".join(name[:8] for name, _ in held)
    assert [epoch for page in pages for epoch in page.epoch] == [epoch for _, (epoch, _) in held]
    assert [attempt for page in pages for attempt in page.attempt] == [attempt for _, (_, attempt) in held]
    assert [page.is_last for page in pages] == [*[False] * (len(pages) - 1), True]
    assert max(page.ByteSize() for page in pages) < SMALLEST_FRAME / 1.5


def test_that_nothing_is_held_is_told_too() -> None:
    assert [page.is_last for page in encode_holdings([])] == [True]
