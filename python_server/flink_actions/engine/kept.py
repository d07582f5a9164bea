"""Work that is kept after it has left: Results, and records of durable calls, until a completed checkpoint covers them.

When a TaskManager dies and the worker lives, the job asks once more for all that came after its last checkpoint. What
it asks for is named by digests of its input, and a Result is given only to an invocation that starts from the memory it
was computed on: so nothing kept can ever answer something else (CORRECTNESS.md, rules 1, 2 and 7).

A Result is kept under the frame that carried it; while its start lives nobody looks for it, so it is packed away.
When a start has ended its frames are taken apart, and its Results are found by invocation id. Kept work goes

- under a cut: a frame of the same start at or below it, or of an earlier session of that start. With a Result, or a
  Failure, go the calls of its attempt: the checkpoint has them, or nobody asks for them again. Those of a later attempt
  at the same invocation stay;
- of an ended start, when a cut covers the same invocation, or a later run of the same key;
- likewise what a live start has not applied: it never left, or crossed the cancellation of its attempt. No cut of a
  frame speaks of it: it is taken out of its frame (`take_back`) and set apart for the next attempt (`set_apart`);
- when it is too much or too old: that is counted.

What left with a session that broke and may not have arrived is taken out of its frames, too (`take_back_from`): until
the start has said what of it it has not, no cut speaks of it.

Used on the event loop's thread.
"""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from flink_actions.engine.invocation import (
    CallPlace,
    CallRecord,
    Failed,
    HandedBack,
    Invocation,
    Measured,
    MemoryChanges,
    Outcome,
    SentEvent,
    Succeeded,
)
from flink_actions.engine.metrics import MetricDelta
from flink_actions.engine.packed import PackedOutcomes, size_of

_log = logging.getLogger(__name__)

# How late something was worked on: epoch of the start, and the attempt.
Rank: TypeAlias = tuple[int, int]

# What a result and a call record take in this process beside their text, about.
_RESULT_BYTES = 700
_CALL_BYTES = 400
# How much longer than its limit of time something may be kept.
_LOOK_AT_AGES_SECONDS = 1.0


class _Frame:
    """Outcomes that left together."""

    __slots__ = ("at", "packed", "sequence", "session")

    def __init__(self, session: object, sequence: int, outcomes: Sequence[Outcome], at: float) -> None:
        self.session = session
        self.sequence = sequence
        self.packed = PackedOutcomes(outcomes)
        self.at = at

    @property
    def size(self) -> int:
        return self.packed.size + _RESULT_BYTES * self.packed.count

    @property
    def outcomes(self) -> Sequence[Outcome]:
        return self.packed.unpack()


@dataclass(slots=True)
class _Result:
    """A Result of a start that has ended, or one that is set apart."""

    key: bytes
    run_number: int
    events: list[SentEvent]
    changes: MemoryChanges | None
    metrics: Sequence[MetricDelta]
    ran_ms: int
    size: int
    at: float
    rank: Rank
    # An earlier start had it: its metrics were counted then.
    is_counted: bool


@dataclass(slots=True)
class _Calls:
    """Call records of an invocation that has no covered Result."""

    records: dict[CallPlace, CallRecord]
    size: int
    at: float
    rank: Rank
    # An attempt was ended by one of them, which is gone; those after it may be of a path not taken again.
    has_dropped: bool = False


class KeptWork:
    """What one operator of one job may ask for again.

    Args:
        limit_bytes: Most bytes kept; the oldest goes first.
        limit_seconds: Longest time that something is kept.
        now: The event loop's clock.
    """

    def __init__(self, limit_bytes: int, limit_seconds: float, now: Callable[[], float]) -> None:
        self._limit_bytes = limit_bytes
        self._limit_seconds = limit_seconds
        self._now = now
        self._frames: dict[object, deque[_Frame]] = {}
        # By invocation id and the memory that they were computed on: after a restore the same invocation may have been
        # done again, on other memory, and the next restore may go back behind both. Ordered, as are the calls: a plain
        # dict looks for its first entry past all that went before it.
        self._results: OrderedDict[tuple[bytes, bytes], _Result] = OrderedDict()
        self._names_of_key: dict[bytes, dict[tuple[bytes, bytes], None]] = {}
        self._calls: OrderedDict[bytes, _Calls] = OrderedDict()
        # Invocations of which a start that has ended left calls: a first attempt of a later one may find them.
        self.calls_of_ended_starts: set[bytes] = set()
        self.size = 0
        self._ages_looked_at = now()
        # Results that answered an invocation; that could not, because the memory was another one; Results and
        # invocations' records that were dropped before a checkpoint covered them.
        self.handed_back = 0
        self.missed = 0
        self.dropped = 0

    @property
    def has_results_to_give(self) -> bool:
        """Whether an invocation may be answered from here."""
        return bool(self._results)

    def has_results_of(self, key: bytes) -> bool:
        """Whether an invocation of this key may be."""
        return key in self._names_of_key

    @property
    def has_work_of_ended_starts(self) -> bool:
        """Whether a later start may find anything here."""
        return bool(self._results or self.calls_of_ended_starts)

    def holdings(self) -> Iterator[tuple[bytes, Rank]]:
        """Invocations of which a later start may find something here, with the rank of that; some of them twice.

        They may be a hundred thousand: each is looked at when it is asked for, and what goes meanwhile is left out.
        """
        for name in list(self._results):
            result = self._results.get(name)
            if result is not None:
                yield name[0], result.rank
        for invocation_id in list(self.calls_of_ended_starts):
            calls = self._calls.get(invocation_id)
            if calls is not None and calls.records:
                yield invocation_id, calls.rank

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept that could be asked for."""
        return not (self._results or self._calls or any(self._frames.values()))

    # ---- results ----

    def add_sent(self, start: object, session: object, sequence: int, outcomes: Sequence[Outcome]) -> None:
        """Outcomes of a start have left, with a session's frames up to this one.

        Args:
            start: Whose they are.
            session: Numbers frames.
            sequence: Of the last frame.
            outcomes: In it and those before.
        """
        frame = _Frame(session, sequence, outcomes, self._now())
        self._frames.setdefault(start, deque()).append(frame)
        self.size += frame.size
        self._limit()

    def on_cut(self, start: object, session: object, sequence: int, epoch: int = 0) -> None:
        """A checkpoint that has completed covers a session's frames up to this one, and all of earlier sessions of the
        start, which is of this epoch."""
        frames = self._frames.get(start)
        if not frames or not sequence:
            return
        covered = [frame for frame in frames if frame.session is not session or frame.sequence <= sequence]
        self._frames[start] = deque(frame for frame in frames if frame.session is session and frame.sequence > sequence)
        for frame in covered:
            self.size -= frame.size
            if self._results or self._calls:
                self._forget_covered(frame, epoch)

    def _forget_covered(self, frame: _Frame, epoch: int) -> None:
        for outcome in frame.packed.others:
            if isinstance(outcome, Failed):
                self._forget_covered_calls(outcome.invocation_id, outcome.attempt, epoch)
        calls, names_of_key = self._calls, self._names_of_key
        for invocation_id, key, run_number, attempt in frame.packed.invocations():
            if invocation_id in calls:
                self._forget_covered_calls(invocation_id, attempt, epoch)
            if key not in names_of_key:
                continue
            for older in list(names_of_key[key]):
                # Of the same run others may still be asked for: they come after what is covered.
                if older[0] == invocation_id or self._results[older].run_number < run_number:
                    self._drop_result(older)

    def _forget_covered_calls(self, invocation_id: bytes, attempt: int, epoch: int) -> None:
        calls = self._calls.get(invocation_id)
        # Not while a later attempt may go on: the job has refused the Result, or tries again after the Failure.
        if calls is not None and not (calls.rank[0] == epoch and calls.rank[1] > attempt):
            self.forget_calls_of(invocation_id)

    def take_back_from(self, start: object, session: object, sequence: int) -> list[Outcome]:
        """What has left with a session's frames from this one on and may not have arrived: no cut covers it now."""
        frames = self._frames.get(start, ())
        taken = [frame for frame in frames if frame.session is session and frame.sequence >= sequence]
        if taken:
            self._frames[start] = deque(
                frame for frame in frames if frame.session is not session or frame.sequence < sequence
            )
            self.size -= sum(frame.size for frame in taken)
        return [outcome for frame in taken for outcome in frame.outcomes]

    def take_back(self, start: object, handles: Iterable[int]) -> list[Outcome]:
        """What has left under these handles and will not be applied: from now on no cut covers it."""
        wanted, taken = set(handles), list[Outcome]()
        # It is mostly among the last that have left.
        for frame in reversed(self._frames.get(start, ())):
            if not wanted:
                break
            if wanted.isdisjoint(frame.packed.handles()):
                continue
            outcomes = frame.outcomes
            found = [one for one in outcomes if one.handle in wanted and isinstance(one, (Succeeded, Failed))]
            if not found:
                continue
            handles_found = {one.handle for one in found}
            self.size -= frame.size
            frame.packed = PackedOutcomes([one for one in outcomes if one.handle not in handles_found])
            self.size += frame.size
            wanted -= handles_found
            taken += found
        return taken

    def set_apart(self, outcomes: Iterable[Outcome], epoch: int) -> None:
        """A live start of this epoch has not applied these, and does not wait for them: they may answer another attempt
        at the same work."""
        now = self._now()
        for outcome in outcomes:
            self._add_result(outcome, _RESULT_BYTES + size_of(outcome), now, epoch, is_counted=False)
        self._limit()

    def end_start(self, start: object, unsent: Iterable[Outcome] = (), epoch: int = 0) -> None:
        """A start, of this epoch, has ended; the next one may ask for what it had, and for what has not left, or not
        arrived for all that is known: the metrics of that are still to be counted."""
        now = self._now()
        for frame in self._frames.pop(start, ()):
            self.size -= frame.size
            each = frame.size // max(1, frame.packed.count)
            for outcome in frame.outcomes:
                self._add_result(outcome, each, frame.at, epoch, is_counted=True)
        self.calls_of_ended_starts.update(self._calls)
        for outcome in unsent:
            self._add_result(outcome, _RESULT_BYTES + size_of(outcome), now, epoch, is_counted=False)
        self._limit()

    def _add_result(self, outcome: Outcome, size: int, at: float, epoch: int, *, is_counted: bool) -> None:
        if not isinstance(outcome, Succeeded) or outcome.invocation is None:
            return
        invocation = outcome.invocation
        name, key = (invocation.invocation_id, invocation.memory_version), invocation.key
        self._drop_result(name)
        rank = (epoch, invocation.attempt)
        # What was handed back and not applied is a replay still.
        is_counted = is_counted or isinstance(outcome, HandedBack)
        self._results[name] = _Result(
            key,
            invocation.run_number,
            outcome.events,
            outcome.changes,
            outcome.metrics,
            outcome.ran_ms,
            size,
            at,
            rank,
            is_counted,
        )
        self._names_of_key.setdefault(key, {})[name] = None
        self.size += size

    def hand_back(self, invocation: Invocation) -> Measured | None:
        """The Result of this very invocation on this very memory, if it is here. It is kept on when it leaves."""
        name = (invocation.invocation_id, invocation.memory_version)
        kept = self._results.get(name)
        if kept is None:
            others = self._names_of_key.get(invocation.key, ())
            self.missed += any(known == invocation.invocation_id for known, _ in others)
            return None
        self._drop_result(name)
        self.handed_back += 1
        invocation.detach()
        handle, cost = invocation.handle, invocation.cost_bytes
        # What was never counted is no replay.
        form = HandedBack if kept.is_counted else Measured
        return form(handle, kept.events, kept.changes, cost, invocation, kept.metrics, kept.ran_ms)

    # ---- calls ----

    def begin_calls(self, invocation_id: bytes, rank: Rank = (0, 0)) -> None:
        """An attempt begins that may make calls: from now on they are kept, together with what is here of earlier ones.

        A call is kept with all those before it or not at all, or a replay would find records that begin in the middle.
        """
        calls = self._calls.get(invocation_id)
        if calls is not None:
            calls.rank = max(calls.rank, rank)
            return
        self._calls[invocation_id] = _Calls({}, _CALL_BYTES, self._now(), rank)
        self.size += _CALL_BYTES
        self._limit()

    def add_call(self, invocation_id: bytes, record: CallRecord) -> None:
        """An attempt has made this call, or begins it."""
        calls = self._calls.get(invocation_id)
        if calls is None:
            return  # dropped by the limits since the attempt began, and counted
        if calls.records.get(record.place) == record:
            return
        calls.records[record.place] = record
        size = _CALL_BYTES + len(record.value or b"")
        calls.size += size
        self.size += size
        self._limit()

    def calls_of(self, invocation_id: bytes) -> list[CallRecord]:
        """Calls of earlier attempts, oldest first."""
        calls = self._calls.get(invocation_id)
        return [] if calls is None else list(calls.records.values())

    def drop_calls(self, invocation_id: bytes, places: Iterable[CallPlace]) -> None:
        """The next attempt must not get these."""
        calls = self._calls.get(invocation_id)
        if calls is not None:
            calls.has_dropped = True
            for place in places:
                calls.records.pop(place, None)

    def forget_calls_of(self, invocation_id: bytes) -> None:
        """Nobody will ask for these again, or what asks has gone another way since."""
        self.calls_of_ended_starts.discard(invocation_id)
        calls = self._calls.pop(invocation_id, None)
        if calls is not None:
            self.size -= calls.size

    def has_dropped_calls_of(self, invocation_id: bytes) -> bool:
        """Whether a call that ended an attempt at this invocation was dropped."""
        calls = self._calls.get(invocation_id)
        return calls is not None and calls.has_dropped

    # ---- limits ----

    def _limit(self) -> None:
        while self.size > self._limit_bytes and self._drop_oldest():
            pass
        # Not each time: to look for the oldest costs as much as to keep one more.
        if self._now() >= self._ages_looked_at + _LOOK_AT_AGES_SECONDS:
            self.drop_too_old()

    def drop_too_old(self) -> None:
        """Forget what nobody has asked for within the limit of time."""
        now = self._ages_looked_at = self._now()
        oldest_allowed = now - self._limit_seconds
        while (at := self._oldest_at()) is not None and at < oldest_allowed:
            self._drop_oldest()

    def _oldest_at(self) -> float | None:
        ages = [frames[0].at for frames in self._frames.values() if frames]
        ages += [result.at for result in itertools.islice(self._results.values(), 1)]
        ages += [calls.at for calls in itertools.islice(self._calls.values(), 1)]
        return min(ages, default=None)

    def _drop_oldest(self) -> bool:
        """Drop what is oldest; false if nothing is kept."""
        at = self._oldest_at()
        if at is None:
            return False
        if not self.dropped:
            _log.warning(
                "finished work is dropped before a checkpoint covers it (limits: %d bytes, %g s): if the job's "
                "TaskManager dies it is done again; take checkpoints more often, or raise --kept-work-bytes or "
                "--kept-work-seconds",
                self._limit_bytes,
                self._limit_seconds,
            )
        for frames in self._frames.values():
            if frames and frames[0].at <= at:
                frame = frames.popleft()
                self.size -= frame.size
                self.dropped += frame.packed.succeeded_count
                return True
        if self._results:
            name, result = next(iter(self._results.items()))
            if result.at <= at:
                self._drop_result(name)
                self.dropped += 1
                return True
        self.forget_calls_of(next(iter(self._calls)))
        self.dropped += 1
        return True

    def _drop_result(self, name: tuple[bytes, bytes]) -> None:
        result = self._results.pop(name, None)
        if result is None:
            return
        self.size -= result.size
        names = self._names_of_key[result.key]
        del names[name]
        if not names:
            del self._names_of_key[result.key]
