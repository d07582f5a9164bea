"""Seeded bugs: one-line mistakes, at least one for each rule that the code under simulation could break.

Those marked "model" break the model of the operator, and show that the checks would see it; the operator itself is
Java, and README.md says which of its tests cover the rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flink_actions.engine import dispatcher, durable, identity, kept, mirrors, running_time, scope, task_paths
from flink_actions.server import credit, fences, handshake, held, operator_start, session, sessions
from flink_actions.wire import invocations

from tests.simulation import holders, job, lanes, subtask, watermarks

__all__ = ["BUGS", "Patch"]

Patch = Callable[[pytest.MonkeyPatch], None]


def names_calls_alike(patch: pytest.MonkeyPatch) -> None:
    """Rule 1: an idempotency key does not name the arguments."""
    original = identity.idempotency_key
    patch.setattr(durable, "idempotency_key", lambda name, function, _, ordinal: original(name, function, b"", ordinal))


def names_invocations_by_run_number(patch: pytest.MonkeyPatch) -> None:
    """Rule 1, model: the id does not name the input."""
    patch.setattr(lanes, "event_digest", lambda *_, **__: bytes(16))


def hands_back_on_any_memory(patch: pytest.MonkeyPatch) -> None:
    """Rule 2: the memory that a Result was computed on is not compared."""
    original = kept.KeptWork.hand_back

    def hand_back(self: Any, invocation: Any) -> Any:
        same = [name for name in self._results if name[0] == invocation.invocation_id]
        if same:
            self._results[same[0][0], invocation.memory_version] = self._results[same[0]]
            self._names_of_key[invocation.key][same[0][0], invocation.memory_version] = None
        return original(self, invocation)

    patch.setattr(kept.KeptWork, "hand_back", hand_back)


def takes_any_mirror(patch: pytest.MonkeyPatch) -> None:
    """Rule 3: a mirror answers whatever its version."""
    original = mirrors.Mirrors.resolve

    def resolve(self: Any, invocation: Any) -> Any:
        mirror = self._mirrors.get(invocation.key)
        if mirror is not None and invocation.memory_version:
            mirror.version = invocation.memory_version
        return original(self, invocation)

    patch.setattr(mirrors.Mirrors, "resolve", resolve)


def forgets_to_clear_sensory_memory(patch: pytest.MonkeyPatch) -> None:
    """Rule 3: a delta that clears sensory memory clears nothing."""
    patch.setattr(invocations.WireInvocation, "clear_sensory", property(lambda self: False))


def replays_what_ended_the_attempt(patch: pytest.MonkeyPatch) -> None:
    """Rule 4: no record is dropped."""
    patch.setattr(durable.DurableCalls, "to_drop", lambda self, error: [])


def goes_on_after_a_stop(patch: pytest.MonkeyPatch) -> None:
    """Rule 6, model: what comes after the snapshot of a stop is applied."""

    def freeze(self: Any) -> Any:
        taken, _ = self.snapshot()
        self.is_frozen = True
        return taken

    patch.setattr(job.Job, "freeze", freeze)


def forgets_all_under_any_cut(patch: pytest.MonkeyPatch) -> None:
    """Rule 7: a completed checkpoint drops what came after it."""
    original = kept.KeptWork.on_cut
    patch.setattr(
        kept.KeptWork, "on_cut", lambda self, start, session, _, epoch: original(self, start, session, 1 << 60, epoch)
    )


def forgets_the_rest_of_a_covered_run(patch: pytest.MonkeyPatch) -> None:
    """Rule 7: an invocation that is covered takes the later ones of its run along."""
    original = kept.KeptWork._forget_covered

    def forget(self: Any, frame: Any, epoch: int) -> None:
        original(self, frame, epoch)
        for outcome in frame.outcomes:
            invocation = getattr(outcome, "invocation", None)
            for name in [] if invocation is None else list(self._names_of_key.get(invocation.key, ())):
                if self._results[name].run_number <= invocation.run_number:
                    self._drop_result(name)

    patch.setattr(kept.KeptWork, "_forget_covered", forget)


def keeps_nothing_of_an_ended_start(patch: pytest.MonkeyPatch) -> None:
    """Rule 7: what was kept goes with the start that computed it."""

    def end_start(self: Any, start: object, unsent: object = (), epoch: int = 0) -> None:
        self._frames.pop(start, None)
        self._calls.clear()

    patch.setattr(kept.KeptWork, "end_start", end_start)


def lets_superseded_starts_go_on(patch: pytest.MonkeyPatch) -> None:
    """Rule 8: the fence ends nothing."""
    patch.setattr(sessions.Sessions, "_fence", lambda self, accepted: None)


def welcomes_stale_epochs(patch: pytest.MonkeyPatch) -> None:
    """Rule 8: a lower epoch than the one that is known is welcomed."""
    original = fences.EpochFences.claim

    def claim(self: Any, operator: Any, wanted: Any) -> Any:
        verdict = original(self, operator, wanted)
        return () if isinstance(verdict, fences.StaleEpoch) else verdict

    patch.setattr(fences.EpochFences, "claim", claim)


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


def says_nothing_again(patch: pytest.MonkeyPatch) -> None:
    """Rule 9: what was not acknowledged is not said on the next session."""
    patch.setattr(durable.DurableCalls, "send_again", lambda self: None)


def holds_no_outcome(patch: pytest.MonkeyPatch) -> None:
    """Rule 9: what came while there was no session is gone."""
    patch.setattr(held.HeldOutcomes, "add", lambda self, outcomes: None)


def lingers_too_long(patch: pytest.MonkeyPatch) -> None:
    """Rule 9: orphans are cancelled long after the operator has gone elsewhere."""
    original = operator_start.OperatorStart._after_linger

    def after(self: Any, act: Callable[[], None], already_seconds: float = 0.0) -> None:
        original(self, act, already_seconds - 60.0)

    patch.setattr(operator_start.OperatorStart, "_after_linger", after)


def numbers_no_tasks(patch: pytest.MonkeyPatch) -> None:
    """Rule 11: records of concurrent calls are found by their place alone, in the order in which they came."""
    patch.setattr(task_paths.TaskNode, "path", property(lambda self: ""))
    patch.setattr(durable, "_is_equal", lambda record, request: record.function_id == request.function_id)


def does_not_unite_records(patch: pytest.MonkeyPatch) -> None:
    """Rule 12: calls that only the worker knows are not looked at."""
    patch.setattr(kept.KeptWork, "calls_of", lambda self, _: [])


def keeps_records_from_the_middle(patch: pytest.MonkeyPatch) -> None:
    """Rules 11 and 12: the operator's records are not kept beside the worker's own."""
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


def does_not_wait_for_acknowledgements(patch: pytest.MonkeyPatch) -> None:
    """Rule 12: the next call starts at once."""

    async def at_once(self: Any, node: Any) -> None: ...

    patch.setattr(durable.DurableCalls, "_until_acknowledged", at_once)


def tells_nothing_that_it_holds(patch: pytest.MonkeyPatch) -> None:
    """Rule 13: a restored job is not told where its work is kept."""
    patch.setattr(kept.KeptWork, "holdings", lambda self: [])


def tells_of_results_only(patch: pytest.MonkeyPatch) -> None:
    """Rule 13: of invocations that were not finished nobody says that there are records."""
    original = kept.KeptWork.holdings

    def holdings(self: Any) -> Any:
        unfinished = {name for name in self._calls if not any(name == known for known, _ in self._results)}
        return [one for one in original(self) if one[0] not in unfinished]

    patch.setattr(kept.KeptWork, "holdings", holdings)


def does_not_wait_for_holders(patch: pytest.MonkeyPatch) -> None:
    """Rule 13, model: what is sent before all have told goes to whose key it is."""
    patch.setattr(holders.Holders, "are_awaited", lambda self, now: False)


def lets_two_jobs_share_a_namespace(patch: pytest.MonkeyPatch) -> None:
    """Rule 15: another job under the same namespace is welcomed."""
    patch.setattr(handshake, "_check_namespace", lambda hello, live: None)


def applies_what_was_cancelled(patch: pytest.MonkeyPatch) -> None:
    """Rule 17, model: replies to attempts that are over are taken for those to the present one."""
    original = subtask.Subtask._take

    def take(self: Any, talk: Any, handle: int) -> Any:
        if handle not in self._handles and handle in self._superseded:
            lane, _ = self._superseded[handle]
            handle = next((sent.handle for sent in self._handles.values() if sent.lane is lane), handle)
        return original(self, talk, handle)

    patch.setattr(subtask.Subtask, "_take", take)


def bounces_pinned_runs(patch: pytest.MonkeyPatch) -> None:
    """Rule 18: a worker that retires does not go on with the runs of its generation."""

    def give_back_all(self: Any, batch: Any, _: Any) -> list[Any]:
        self.give_back([invocation.handle for invocation in batch])
        return []

    patch.setattr(session.Session, "_give_back_others", give_back_all)


def has_no_time_limits(patch: pytest.MonkeyPatch) -> None:
    """Rule 19: an attempt goes on after its time."""
    patch.setattr(dispatcher.Dispatcher, "_limit_time", lambda self, attempt, time: None)


def counts_too_much_time(patch: pytest.MonkeyPatch) -> None:
    """Rule 19: the time that is left is taken for a tenth of it."""
    original = running_time.RunningTime.__init__
    patch.setattr(
        running_time.RunningTime, "__init__", lambda self, limit_ms, clock: original(self, limit_ms // 10, clock)
    )


def retries_at_once(patch: pytest.MonkeyPatch) -> None:
    """Rule 20, model: what waits for its time is sent all the same."""
    original = subtask.Subtask._on_failed

    def on_failed(self: Any, sent: Any, policy: Any, failure: Any) -> None:
        original(self, sent, policy, failure)
        if sent.invocation.due is not None:
            self._dispatch(sent.lane, sent.talk)

    patch.setattr(subtask.Subtask, "_on_failed", on_failed)


def acknowledges_no_frames(patch: pytest.MonkeyPatch) -> None:
    """Rule 21: the window is never opened again."""
    patch.setattr(credit.FrameWindow, "step", lambda self, sequence: None)


def loses_credit(patch: pytest.MonkeyPatch) -> None:
    """Rule 21: what failures and bounces took is not given back."""
    original = credit.Credit.give_back

    def give_back(self: Any, outcomes: Any) -> None:
        original(self, [outcome for outcome in outcomes if type(outcome).__name__ != "Failed"])

    patch.setattr(credit.Credit, "give_back", give_back)


def refuses_the_only_one_open(patch: pytest.MonkeyPatch) -> None:
    """Rule 21: one Invoke more than was granted is refused, though nothing is open for the operator."""
    patch.setattr(credit.Credit, "abandon", lambda self, handles: None)


def releases_watermarks_early(patch: pytest.MonkeyPatch) -> None:
    """Invariant 11, model: a watermark leaves when the first input before it is finished."""

    def on_finished(self: Any, name: str) -> None:
        for names, _ in self._segments:
            if name in names:
                names.clear()
        self._last.discard(name)
        self._release()

    patch.setattr(watermarks.Segments, "on_finished", on_finished)


def loses_what_is_under_way(patch: pytest.MonkeyPatch) -> None:
    """Invariant 12, model: a snapshot leaves out the records between source and subtask."""
    original = job.Snapshot.copy

    def copy(self: Any) -> Any:
        taken = original(self)
        taken.under_way = []
        return taken

    patch.setattr(job.Snapshot, "copy", copy)


# With the first world that found it.
BUGS: dict[Patch, int] = {
    names_calls_alike: 0,
    names_invocations_by_run_number: 6,
    hands_back_on_any_memory: 2,
    takes_any_mirror: 1,
    forgets_to_clear_sensory_memory: 1,
    replays_what_ended_the_attempt: 0,
    goes_on_after_a_stop: 1,
    forgets_all_under_any_cut: 6,
    forgets_the_rest_of_a_covered_run: 135,
    keeps_nothing_of_an_ended_start: 0,
    lets_superseded_starts_go_on: 1,
    welcomes_stale_epochs: 2,
    runs_two_attempts_at_once: 4,
    runs_an_open_invocation_again: 2,
    says_nothing_again: 23,
    holds_no_outcome: 1,
    lingers_too_long: 2,
    numbers_no_tasks: 0,
    does_not_unite_records: 1,
    keeps_records_from_the_middle: 18,
    does_not_wait_for_acknowledgements: 5,
    tells_nothing_that_it_holds: 7,
    tells_of_results_only: 7,
    does_not_wait_for_holders: 12,
    lets_two_jobs_share_a_namespace: 4,
    applies_what_was_cancelled: 4,
    bounces_pinned_runs: 2,
    has_no_time_limits: 0,
    counts_too_much_time: 0,
    retries_at_once: 0,
    acknowledges_no_frames: 0,
    loses_credit: 0,
    refuses_the_only_one_open: 4,
    releases_watermarks_early: 0,
    loses_what_is_under_way: 0,
}
