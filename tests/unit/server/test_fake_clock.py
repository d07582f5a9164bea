from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.fake_clock import run_with_fake_clock


def test_an_hour_passes_at_once_and_in_order() -> None:
    async def wait() -> tuple[list[int], float]:
        seen: list[int] = []

        async def one(seconds: int) -> None:
            await asyncio.sleep(seconds)
            seen.append(seconds)

        await asyncio.gather(one(3600), one(60), one(61))
        return seen, asyncio.get_running_loop().time()

    begun = time.monotonic()
    seen, now = run_with_fake_clock(wait())
    assert seen == [60, 61, 3600]
    assert now == pytest.approx(3600, abs=0.1)
    assert time.monotonic() - begun < 5


def test_a_deadlock_is_an_error_and_not_a_hanging_test() -> None:
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_with_fake_clock(wait_for_ever())


def test_a_task_that_nobody_ends_is_an_error_and_ended() -> None:
    ended: list[asyncio.Task[None]] = []

    async def leave_behind() -> None:
        ended.append(asyncio.create_task(asyncio.sleep(3600)))
        await asyncio.sleep(1)

    with pytest.raises(AssertionError, match="nobody has ended 1 tasks"):
        run_with_fake_clock(leave_behind())
    assert ended[0].cancelled()


def test_a_task_that_was_told_to_end_may_do_so_behind_its_owner() -> None:
    async def tell() -> str:
        telling = asyncio.create_task(asyncio.sleep(3600))
        await asyncio.sleep(1)
        telling.cancel()
        return "told"

    assert run_with_fake_clock(tell()) == "told"
