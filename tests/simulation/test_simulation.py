"""The promises hold in seeded worlds, and worlds in which one line is wrong are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flink_actions.engine import dispatcher, durable, kept, mirrors, scope
from flink_actions.server import credit, held, operator_start, sessions

from tests.simulation import world
from tests.simulation.world import Broken, simulate

# In which each seeded bug has to show. About 0.15 s each.
WORLDS = 200

Patch = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize("seed", range(40))
def test_the_promises_hold(seed: int) -> None:
    simulate(seed)


def test_a_seed_always_makes_the_same_world() -> None:
    assert simulate(7) == simulate(7)


def test_worlds_are_hard_enough() -> None:
    seen = [simulate(seed) for seed in range(10)]
    for name in ("checkpoints", "restores", "deaths", "cuts", "handed_back", "repeated"):
        assert sum(getattr(one, name) for one in seen) > 5, name


def hands_back_on_any_memory(patch: pytest.MonkeyPatch) -> None:
    """Rule 2: `base` is not compared."""
    original = kept.KeptWork.hand_back

    def hand_back(self: Any, invocation: Any) -> Any:
        result = self._results.get(invocation.invocation_id)
        if result is not None:
            result.base = invocation.memory_version
        return original(self, invocation)

    patch.setattr(kept.KeptWork, "hand_back", hand_back)


def names_invocations_by_run_number(patch: pytest.MonkeyPatch) -> None:
    """Rule 1: the id does not name the input."""
    patch.setattr(world, "event_digest", lambda *_, **__: bytes(16))


def forgets_all_under_any_cut(patch: pytest.MonkeyPatch) -> None:
    """Rule 7: a completed checkpoint drops what came after it."""
    original = kept.KeptWork.on_cut
    patch.setattr(kept.KeptWork, "on_cut", lambda self, start, session, _: original(self, start, session, 1 << 60))


def keeps_nothing_of_an_ended_start(patch: pytest.MonkeyPatch) -> None:
    """Rule 7: what was kept goes with the start that computed it."""

    def end_start(self: Any, start: object, unsent: object = ()) -> None:
        self._frames.pop(start, None)
        self._calls.clear()

    patch.setattr(kept.KeptWork, "end_start", end_start)


def does_not_unite_records(patch: pytest.MonkeyPatch) -> None:
    """Rule 12: calls that only the worker knows are not looked at."""
    patch.setattr(kept.KeptWork, "calls_of", lambda self, _: [])


def keeps_records_from_the_middle(patch: pytest.MonkeyPatch) -> None:
    """Rule 11 and 12: the operator's records are not kept beside the worker's own."""
    original = durable.DurableCalls._unite_records

    def unite(self: Any) -> None:
        work = self._scope.kept
        if work is not None:
            known, work.add_call = work.add_call, lambda *_: None
            try:
                original(self)
            finally:
                work.add_call = known

    patch.setattr(durable.DurableCalls, "_unite_records", unite)


def takes_any_mirror(patch: pytest.MonkeyPatch) -> None:
    """Rule 3: a mirror answers whatever its version."""
    original = mirrors.Mirrors.resolve

    def resolve(self: Any, invocation: Any) -> Any:
        mirror = self._mirrors.get(invocation.key)
        if mirror is not None and invocation.memory_version:
            mirror.version = invocation.memory_version
        return original(self, invocation)

    patch.setattr(mirrors.Mirrors, "resolve", resolve)


def replays_what_ended_the_attempt(patch: pytest.MonkeyPatch) -> None:
    """Rule 4: no record is dropped."""
    patch.setattr(durable.DurableCalls, "to_drop", lambda self, error: [])


def does_not_wait_for_acknowledgements(patch: pytest.MonkeyPatch) -> None:
    """Rule 12: the next call starts at once."""

    async def at_once(self: Any, node: Any) -> None: ...

    patch.setattr(durable.DurableCalls, "_until_acknowledged", at_once)


def says_nothing_again(patch: pytest.MonkeyPatch) -> None:
    """Rule 9: what was not acknowledged is not said on the next session."""
    patch.setattr(durable.DurableCalls, "send_again", lambda self: None)


def runs_two_attempts_at_once(patch: pytest.MonkeyPatch) -> None:
    """Rule 9: an attempt does not wait for the end of the one before."""

    def follow(self: Any, predecessor: Any, invocation: Any, owner: Any) -> None:
        del self._running[predecessor.invocation_id]
        self._enqueue([invocation], owner, lambda: None)

    patch.setattr(dispatcher.Dispatcher, "_follow", follow)


def runs_an_open_invocation_again(patch: pytest.MonkeyPatch) -> None:
    """Rule 9: an Invoke that is sent again does not attach."""

    def admit(self: Any, batch: Any) -> Any:
        self.open.update({invocation.handle: invocation for invocation in batch})
        return batch

    patch.setattr(scope.Scope, "admit", admit)


def lets_superseded_starts_go_on(patch: pytest.MonkeyPatch) -> None:
    """Rule 8: the fence ends nothing, and nothing lingers out."""
    patch.setattr(sessions.Sessions, "_fence", lambda self, accepted: None)
    patch.setattr(operator_start.OperatorStart, "_after_linger", lambda self, act: None)
    patch.setattr(dispatcher.Dispatcher, "_cancel_attempt", lambda *_: None)


def holds_no_outcome(patch: pytest.MonkeyPatch) -> None:
    """Rule 9: what came while there was no session is gone."""
    patch.setattr(held.HeldOutcomes, "add", lambda self, outcomes: None)


def gives_no_credit_back(patch: pytest.MonkeyPatch) -> None:
    """Rule 21: frames are never acknowledged."""
    patch.setattr(credit.FrameWindow, "step", lambda self, sequence: None)


BUGS: list[Patch] = [
    hands_back_on_any_memory,
    names_invocations_by_run_number,
    forgets_all_under_any_cut,
    keeps_nothing_of_an_ended_start,
    does_not_unite_records,
    keeps_records_from_the_middle,
    takes_any_mirror,
    replays_what_ended_the_attempt,
    does_not_wait_for_acknowledgements,
    says_nothing_again,
    runs_two_attempts_at_once,
    runs_an_open_invocation_again,
    lets_superseded_starts_go_on,
    holds_no_outcome,
    gives_no_credit_back,
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_seeded_bug_is_found(bug: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    bug(monkeypatch)
    found = next(filter(None, map(breaks, range(WORLDS))), None)
    assert found is not None, f"{WORLDS} worlds held although {bug.__doc__}"
    print(f"{bug.__name__}: {found[:200]}")


def breaks(seed: int) -> str | None:
    """What does not hold in a world, with its seed."""
    try:
        simulate(seed)
    except Broken as broken:
        return str(broken)
    return None
