from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from flink_actions.engine.step_slots import NOTHING, SOMETHING, StepSlots, show
from flink_actions.server.black_box import NO_SUSPECTS, BlackBox, map_slots

A, B = b"a" * 16, b"b" * 16


@pytest.fixture
def black_box() -> Iterator[BlackBox]:
    box = BlackBox(threads=2)
    yield box
    box.close()


def slots_of(black_box: BlackBox) -> StepSlots:
    return StepSlots(2, map_slots(black_box.fds[0]))


def in_a_thread_of_the_pool(slots: StepSlots, shown: bytes) -> None:
    thread = threading.Thread(target=lambda: show(slots.of_thread(), 0, shown))
    thread.start()
    thread.join()


@pytest.mark.parametrize(
    ("loop", "thread", "exit_code", "known", "ids"),
    [
        (A, NOTHING, 1, True, {A}),
        (A, B, 1, True, {A, B}),
        (A, B, -6, True, {A, B}),
        # The loop may run what no slot shows.
        (NOTHING, B, 1, False, set()),
        (NOTHING, NOTHING, 1, False, set()),
        # A thread runs what nobody can name.
        (A, SOMETHING, 1, False, set()),
        # Ended from outside: none of them has done it.
        (A, B, -9, False, set()),
        (A, B, -15, False, set()),
    ],
)
def test_suspects_are_named_only_where_the_culprit_must_be_among_them(
    black_box: BlackBox, loop: bytes, thread: bytes, exit_code: int, known: bool, ids: set[bytes]
) -> None:
    slots = slots_of(black_box)
    show(slots.loop, 0, loop)
    in_a_thread_of_the_pool(slots, thread)
    suspects = black_box.read(exit_code)
    assert suspects.are_known is known
    assert set(suspects.ids) == ids


@pytest.mark.parametrize(
    ("loop", "thread", "known", "ids"),
    [
        (A, NOTHING, True, {A}),
        # It may be the thread that lets the loop have no turn.
        (A, B, True, {A, B}),
        (NOTHING, B, False, set()),
        (NOTHING, NOTHING, False, set()),
    ],
)
@pytest.mark.parametrize("exit_code", [-6, -9])
def test_who_may_have_blocked_a_worker_is_whoever_was_stepped_and_not_who_got_the_signal(
    black_box: BlackBox, loop: bytes, thread: bytes, known: bool, ids: set[bytes], exit_code: int
) -> None:
    slots = slots_of(black_box)
    show(slots.loop, 0, loop)
    in_a_thread_of_the_pool(slots, thread)
    if exit_code == -6:
        report = f"Current thread 0x{threading.get_ident():x} (most recent call first):\n"
        os.write(black_box.fds[1], f'{report}  File "agent.py", line 7 in block\n'.encode())
    suspects = black_box.read(exit_code, was_blocked=True)
    assert suspects.are_known is known
    assert set(suspects.ids) == ids
    assert suspects.place == ("agent.py:7 in block" if exit_code == -6 else "")


def test_a_worker_that_never_came_to_anything_has_no_suspects(black_box: BlackBox) -> None:
    assert black_box.read(1) == NO_SUSPECTS


def test_each_thread_has_a_slot_of_its_own(black_box: BlackBox) -> None:
    slots = slots_of(black_box)
    show(slots.loop, 0, A)
    in_a_thread_of_the_pool(slots, A)
    in_a_thread_of_the_pool(slots, B)
    assert set(black_box.read(0).ids) == {A, B}
