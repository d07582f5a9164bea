from __future__ import annotations

from flink_actions.server.turns import Turns, TurnStep


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Place:
    """The place in quarantine, and those who ask for it every second."""

    def __init__(self, *waiting: str) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock, 10.0)
        self.waiting = list(waiting)
        self.open_count = 0
        self.ask()

    def ask(self) -> None:
        for who in self.waiting:
            self.turns.wait(who)

    def until_step(self, seconds: int = 10_000) -> tuple[TurnStep, int]:
        for second in range(1, seconds + 1):
            self.clock.now += 1
            self.ask()
            step = self.turns.look(self.open_count)
            if step is not TurnStep.GO_ON:
                return step, second
        return TurnStep.GO_ON, seconds


def test_nobody_is_sent_away_while_nobody_waits() -> None:
    place = Place()
    place.turns.begin("a")
    place.open_count = 1
    assert place.until_step() == (TurnStep.GO_ON, 10_000)


def test_who_came_first_is_next_and_who_has_had_a_turn_is_last() -> None:
    place = Place("b", "c")
    place.turns.begin("a")
    assert place.until_step() == (TurnStep.DRAIN, 10)
    assert place.until_step() == (TurnStep.END, 1)
    place.turns.wait("a")
    assert [who for who in "abc" if place.turns.is_next(who)] == ["b"]
    place.turns.begin("b")
    place.waiting = ["c", "a"]
    place.ask()
    assert [who for who in "abc" if place.turns.is_next(who)] == ["c"]


def test_who_asks_no_more_keeps_nobody_waiting() -> None:
    place = Place("b", "c")
    place.waiting = ["c"]
    assert not place.turns.is_next("c")
    for _ in range(6):
        place.clock.now += 1
        place.ask()
    assert place.turns.is_next("c")


def test_what_takes_long_is_cut_short_and_has_twice_the_time_in_each_next_turn() -> None:
    place = Place("b")
    seconds = []
    for _ in range(3):
        place.turns.begin("a")
        place.open_count = 1
        assert place.until_step() == (TurnStep.DRAIN, 10)
        step, patience = place.until_step()
        assert step is TurnStep.CUT_SHORT
        seconds.append(patience)
        place.open_count = 0
        assert place.until_step() == (TurnStep.END, 1)
        place.turns.begin("b")
        place.turns.wait("a")
    assert seconds == [20, 40, 80]
    # A turn that ends by itself, and all is as it was.
    place.turns.begin("a")
    assert place.until_step() == (TurnStep.DRAIN, 10)
    assert place.until_step() == (TurnStep.END, 1)
    place.turns.begin("a")
    assert place.turns.patience_seconds == 20


def test_what_does_not_end_when_it_is_cancelled_takes_the_turn_along_and_is_told() -> None:
    place = Place("b")
    place.turns.begin("a")
    place.open_count = 1
    assert [place.until_step()[0] for _ in range(2)] == [TurnStep.DRAIN, TurnStep.CUT_SHORT]
    assert not place.turns.is_overrun
    assert place.until_step() == (TurnStep.END, 5)
    assert place.turns.is_overrun


def test_a_lost_connection_neither_lengthens_a_turn_nor_ends_it() -> None:
    place = Place("b")
    place.turns.begin("a")
    assert place.until_step(8) == (TurnStep.GO_ON, 8)
    place.turns.begin("a")
    place.open_count = 1
    assert place.until_step() == (TurnStep.DRAIN, 2)
    place.turns.begin("a")
    assert place.until_step() == (TurnStep.DRAIN, 1)
