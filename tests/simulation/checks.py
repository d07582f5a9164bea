"""What must never be seen: the invariants of CORRECTNESS.md that show while things happen, and those of the end.

The numbers are that file's. What a dead worker's code does counts for nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from flink_actions.engine.identity import arguments_digest, idempotency_key
from flink_actions.engine.invocation import CancelReason
from flink_actions.sdk import values
from flink_actions.wire.v1 import session_pb2

from tests.simulation.code import RETRY_AFTER_SECONDS, TIME_LIMIT_SECONDS, start_of
from tests.simulation.scenario import Broken, Input, key_group

if TYPE_CHECKING:
    from tests.simulation.job import Snapshot
    from tests.simulation.lanes import Invocation, Lane, Run
    from tests.simulation.link import Talk
    from tests.simulation.subtask import Subtask
    from tests.simulation.workers import Worker
    from tests.simulation.world import World

__all__ = ["Checks"]

_Call = tuple[str, int]


class Checks:
    """Sees all that happens in one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        # Idempotency key → value of the newest time that it was paid.
        self.paid: dict[str, str] = {}
        self.payments: Counter[str] = Counter()
        self._call_of_key: dict[str, _Call] = {}
        # Idempotency key → the starts for which it was paid.
        self._payers: dict[str, set[str]] = {}
        # (start, input, step of its run, interruptions before the coroutine began) → calls made again.
        self._repeated: Counter[tuple[str, str, str, int]] = Counter()
        # (start, input, step of its run) → times that an attempt at it was taken from its worker.
        self._moves: Counter[tuple[str, str, str]] = Counter()
        # (worker, start, invocation) → how many of these there had been when its last coroutine began.
        self._moves_before: dict[tuple[Worker, str, str], int] = {}
        # Invocations of which the operator has ended an attempt that its worker had not.
        self._superseded: set[str] = set()
        # Idempotency key → the invocation, and the worker that had made the call when the operator recorded it last.
        self._recorders: dict[str, tuple[str, Worker]] = {}
        # Invocation → (epoch, attempt) that it was begun for, for which start, and where.
        self._ranks: dict[str, dict[tuple[int, int], tuple[str, Worker]]] = {}
        # (start, invocation) → who had told what they hold when it was first sent, or would have told in time, without
        # those that got it since.
        self._unasked: dict[tuple[str, str], set[Worker]] = {}
        self._begun: set[tuple[int, str, int]] = set()
        self._finished: set[tuple[Any, ...]] = set()
        self._what_of_id: dict[str, tuple[str, str]] = {}
        # (worker, invocation) and (start, invocation) → coroutines.
        self._running: Counter[tuple[Any, str]] = Counter()
        self._beginnings: dict[str, list[Any]] = {}
        self._highest_epoch: dict[tuple[int, str, int], int] = {}
        self._applied: set[tuple[int, int, bytes]] = set()
        self._failed: Counter[tuple[bytes, str]] = Counter()

    def _break(self, text: str) -> None:
        self._world.break_down(Broken(text))

    # ---- workers ----

    def on_welcome(self, worker: Worker, hello: session_pb2.Hello) -> None:
        """A start is welcomed: from here on no lower epoch begins work on its key groups (8)."""
        for group in range(hello.key_group_first, hello.key_group_last + 1):
            place = (worker.number, hello.job_id, group)
            self._highest_epoch[place] = max(hello.epoch, self._highest_epoch.get(place, 0))

    def on_begun(self, worker: Worker, one: Input, action: str, ctx: Any) -> None:
        """A coroutine has begun."""
        epoch, start = start_of(ctx)
        if not worker.is_alive:
            # It counts for nothing, but is counted when it leaves.
            self._running[worker, ctx.invocation_id] += 1
            self._beginnings.setdefault(ctx.invocation_id, [])
            return
        self._begun.add((worker.number, ctx.invocation_id, ctx.attempt))
        self._moves_before[worker, start, ctx.invocation_id] = self._moves[start, one.name, _step_of(action)]
        self._running[worker, ctx.invocation_id] += 1
        if self._running[worker, ctx.invocation_id] > 1:
            self._break(f"6: two coroutines are at {action} of {one.name} in one worker")
        others = [other for other, begun in self._beginnings.get(ctx.invocation_id, []) if begun == start]
        is_lease_over = ctx.invocation_id in self._superseded
        if any(other.is_alive and other is not worker for other in others) and not is_lease_over:
            self._break(f"6: two workers are at {action} of {one.name} for one start")
        self._beginnings.setdefault(ctx.invocation_id, []).append((worker, start))
        self._ranks.setdefault(ctx.invocation_id, {})[epoch, ctx.attempt] = (start, worker)
        job_id = self._world.job_id_of(start)
        known = self._highest_epoch.get((worker.number, job_id, key_group(one.key)), 0)
        if epoch < known:
            self._break(f"8: {one.name} is begun for epoch {epoch}, and {known} was welcomed by that worker")
        if ctx.timestamp != one.timestamp:
            self._break(f"{one.name} has timestamp {ctx.timestamp} instead of {one.timestamp}")
        known_as = self._what_of_id.setdefault(ctx.invocation_id, (one.name, action))
        if known_as != (one.name, action):
            self._break(f"3: {known_as} and {(one.name, action)} share an invocation id")

    def on_left(self, worker: Worker, ctx: Any) -> None:
        """A coroutine has ended."""
        _, start = start_of(ctx)
        self._running[worker, ctx.invocation_id] -= 1
        begun = self._beginnings[ctx.invocation_id]
        if (worker, start) in begun:
            begun.remove((worker, start))
        if worker.is_alive and ctx._scope.is_ended and _is_orphaned(worker, ctx):
            # The worker has waited for the start for its linger time: should that come back, the attempt begins anew.
            self._count_move(start, ctx.invocation_id)

    def on_finished(self, worker: Worker, one: Input, action: str, ctx: Any) -> None:
        """An action has come to its end: no worker does that twice for one attempt, or what it has kept (7)."""
        if not worker.is_alive:
            return
        _, start = start_of(ctx)
        attempt = (worker.number, start, ctx.invocation_id, ctx.attempt)
        result = (ctx.invocation_id, ctx._invocation.memory_version)
        work = (worker.number, *result)
        # When a start has been away for longer than it is waited for, the worker ends it, and keeps what it held of it
        # within its limits: should the same start come back after all, what was dropped by then is done again.
        lease = (*attempt, ctx._scope)
        is_dropped = result in worker.dropped.results
        if lease in self._finished or (attempt in self._finished and not is_dropped):
            self._break(f"6: one attempt at {action} of {one.name} was finished twice")
        is_same_start = (worker.number, start, ctx.invocation_id) in self._finished
        if work in self._finished and not is_same_start and not is_dropped:
            self._break(f"7: {action} of {one.name} was done again by the worker that has its Result, on that memory")
        self._finished |= {attempt, lease, work, (worker.number, start, ctx.invocation_id)}
        # It is there again.
        worker.dropped.results.discard(result)

    def on_paid(self, worker: Worker, start: str, invocation: str, key: str, call: _Call) -> None:
        """A durable call is made, for a start and in an invocation."""
        known = self._call_of_key.setdefault(key, call)
        if known != call:
            self._break(f"3: calls {known} and {call} share an idempotency key")
        if key in worker.completed and invocation not in worker.dropped.calls:
            self._break(f"5: {call} was made again by the very worker that has its record")
        if _digest_of(call) in self._recorded(start, call):
            self._break(f"5: {call} was made again although the operator has its record")
        self._check_holders(worker, start, key, call)
        self._count_repetition(worker, start, invocation, key, call)
        self.payments[key] += 1
        self.paid[key] = f"{call[0]}.{call[1]}#{self.payments[key]}"

    def _check_holders(self, worker: Worker, start: str, key: str, call: _Call) -> None:
        """Whoever has the record lives, and was not asked: what happened to others is no excuse (5, 13)."""
        invocation, holder = self._recorders.get(key, ("", worker))
        if holder is worker or invocation in self._superseded:
            return
        # Of several that worked on it the last has the most; of earlier timelines there may be more, and it is void. A
        # start asks for what earlier ones did: what a later one does while it lingers it cannot know of.
        ranks = self._ranks[invocation]
        epoch = max(epoch for (epoch, _), (other, _) in ranks.items() if other == start)
        earlier = {rank: one for rank, (other, one) in ranks.items() if other != start and one.is_alive}
        last = earlier[max(earlier)] if earlier and max(earlier)[0] < epoch else None
        is_usable = not holder.sessions._is_draining and invocation not in holder.dropped.calls
        if last is holder and is_usable and holder in self._unasked.get((start, invocation), ()):
            self._break(
                f"5: {call} was made again by {worker.number}, and {holder.number}, which has its record, lives"
            )

    def _count_repetition(self, worker: Worker, start: str, invocation: str, key: str, call: _Call) -> None:
        """For one start, only what took an attempt from its worker repeats calls: the last one of each task.

        Of an attempt that was taken away, and does not know yet, a call is not the next one's.
        """
        if start in self._payers.setdefault(key, set()):
            one = self._world.inputs[call[0]]
            step = "act" if call[1] < 100 else str(call[1])
            place = (start, call[0], step, self._moves_before[worker, start, invocation])
            self._repeated[place] += 1
            if self._repeated[place] > (one.calls if one.gathers and step == "act" else 1):
                self._break(f"5: more than the last call of each task of {one.name} was made again")
        self._payers[key].add(start)

    def _recorded(self, start: str, call: _Call) -> set[bytes]:
        """Arguments of the calls that are recorded in the lane that this call is of."""
        job = self._world.job
        assert job is not None
        key = self._world.inputs[call[0]].key
        for subtask in job.subtasks:
            lane = subtask.lanes.get(key)
            is_payer = subtask.start_id.hex() == start
            if is_payer and lane is not None and lane.run is not None and lane.run.name == call[0]:
                invocation = lane.run.queue[0]
                if invocation.id.hex() in self._superseded:
                    # The record may have come when the next attempt was on its way already.
                    return set()
                return {record.arguments_digest for record in invocation.calls.values() if not record.started_only}
        return set()

    # ---- the operator ----

    def on_moved(self, subtask: Subtask, invocation: Invocation) -> None:
        """An attempt was taken from its worker, or its worker from it."""
        self._count_move(subtask.start_id.hex(), invocation.id.hex())

    def _count_move(self, start: str, invocation_id: str) -> None:
        name, action = self._what_of_id.get(invocation_id, ("", ""))
        self._moves[start, name, _step_of(action)] += 1

    def on_superseded(self, subtask: Subtask, invocation: Invocation) -> None:
        """The operator has waited long enough: what its worker still does may overlap with the next attempt."""
        self._superseded.add(invocation.id.hex())
        self.on_moved(subtask, invocation)

    def on_recorded(
        self, subtask: Subtask, worker: Worker, invocation: Invocation, record: session_pb2.CallRecord
    ) -> None:
        """The operator has a record from this worker."""
        if record.HasField("value") and subtask.job is self._world.job:
            key = idempotency_key(invocation.id, record.function_id, record.arguments_digest, 0).hex()
            self._recorders[key] = (invocation.id.hex(), worker)

    def on_dispatched(self, subtask: Subtask, lane: Lane, invocation: Invocation, worker: Worker) -> None:
        """An attempt is about to be sent: not before it is due (9)."""
        assert lane.run is not None
        place = (subtask.start_id.hex(), invocation.id.hex())
        told_or_awaited = subtask.holders.told | subtask.holders.awaited(asyncio.get_running_loop().time())
        self._unasked.setdefault(place, told_or_awaited).discard(worker)
        if invocation.due is not None:
            self._break(f"9: {lane.run.name} is sent although it waits")

    def on_applied(self, subtask: Subtask, lane: Lane, invocation: Invocation, result: Any) -> None:
        """A Result is about to be applied: on the memory that it was computed on (2), once (4)."""
        assert lane.run is not None
        if result.version and result.base != lane.version:
            self._break(
                f"2: a Result of {lane.run.name} on memory {result.base.hex()}, the key has {lane.version.hex()}"
            )
        place = (self._world.restores, id(subtask), invocation.id)
        if place in self._applied:
            self._break(f"4: two Results of one invocation of {lane.run.name} are applied")
        self._applied.add(place)

    def on_failure(self, lane: Lane, invocation: Invocation, failure: session_pb2.Failure, sent_at: float) -> None:
        """Only scripted failures, and time limits that are over, count (9)."""
        assert lane.run is not None
        one = self._world.inputs[lane.run.name]
        waited = asyncio.get_running_loop().time() - sent_at
        if failure.ran_ms > round(waited * 1000):
            self._break(f"9: {one.name} was sent {waited:.1f} s ago, and is said to have run for {failure.ran_ms} ms")
        if failure.kind == session_pb2.Failure.TIMEOUT:
            if round(min(waited, failure.ran_ms / 1000), 3) < TIME_LIMIT_SECONDS:
                self._break(f"9: {one.name} is over its time limit after {waited:.1f} s")
            if "hang" not in one.troubles:
                self._break(f"11: {one.name} was over its time limit, and nothing in it hangs: what did it wait for?")
            return
        is_scripted = "refused" in failure.message
        if invocation.action == "follow":
            is_scripted &= one.is_last_ignored
        else:
            is_scripted &= one.is_dead_lettered or bool(one.troubles)
        if not is_scripted:
            kind = session_pb2.Failure.Kind.Name(failure.kind)
            self._break(f"9: {one.name} failed ({kind}): {failure.message}\n{failure.stack}")
        if failure.kind == session_pb2.Failure.RETRYABLE and failure.retry_after_ms != RETRY_AFTER_SECONDS * 1000:
            self._break(f"9: {one.name} may be tried again after {failure.retry_after_ms} ms")

    def on_bounced(self, subtask: Subtask, talk: Talk, run: Run) -> None:
        """A worker gives back what it did not begin, or not end within its drain: the latter is an interruption.

        Never a run of its own generation, while it only retires.
        """
        worker, invocation = talk.stream.worker, run.queue[0]
        if (worker.number, invocation.id.hex(), invocation.attempt) in self._begun:
            self.on_moved(subtask, invocation)
        if run.generation == worker.generation_id and worker.is_alive and not worker.sessions._is_draining:
            self._break(f"18: {run.name} began in the generation of a worker that lives, and was given back by it")

    def on_need_memory(self, lane: Lane, is_claimed: bool) -> None:
        """A worker lacks the memory: allowed at any time (10)."""
        self._world.memory_asked += 1

    def on_snapshot(self, taken: Snapshot) -> None:
        """Lanes, what is under way, and what is finished: all inputs that were read, each once (12)."""
        inside = [name for lane in taken.lanes.values() for name in lane.names]
        found = Counter([*inside, *taken.under_way, *taken.finished])
        if found != Counter(taken.order):
            self._break(f"12: a snapshot has {sorted(found.elements())} of {sorted(taken.order)}")

    # ---- in the end ----

    @property
    def are_outcomes_held(self) -> bool:
        """Whether a worker keeps what a lost session may not have delivered."""
        workers = self._world.crew.alive
        return any(start.held.outcomes for worker in workers for start in worker.sessions._starts.values())

    def check_rest(self) -> None:
        """Nothing goes wrong any more, all has come to its end: nobody waits for anything (11)."""
        job = self._world.job
        assert job is not None
        for worker in self._world.crew.alive:
            if worker.dispatcher.open_count:
                self._break(f"11: {worker.dispatcher.open_count} invocations are still open in a worker")
        if self.are_outcomes_held:
            self._break("11: outcomes are still held for Invokes that will not come")
        for (who, what), count in self._running.items():
            if count and who.is_alive:
                self._break(f"11: {self._what_of_id.get(what)} still runs")
        if not self._world.is_broken:
            job.check_credit()

    def check_outputs(self) -> None:
        """Outputs and memory are those of a sequential run over the inputs as they came (1, 2)."""
        job = self._world.job
        assert job is not None
        for lane in [lane for subtask in job.subtasks for lane in subtask.lanes.values()]:
            order = [name for name in job.order if self._world.inputs[name].key == lane.key]
            outputs = [output for output in job.outputs if output["key"] == lane.key]
            _Replay(lane, [self._world.inputs[name] for name in order], outputs).check()
        read = sum(len(partition) for partition in self._world.scenario.partitions)
        if len(job.order) != read or len(job.finished) != read:
            raise Broken(f"1: {len(job.finished)} inputs finished of {read}")


class _Replay:
    """One key, told anew by its outputs."""

    def __init__(self, lane: Lane, inputs: list[Input], outputs: list[dict[str, Any]]) -> None:
        self._lane = lane
        self._inputs = inputs
        self._outputs = iter(outputs)
        self._history: list[str] = []
        self._flag: str | None = None

    def check(self) -> None:
        for one in self._inputs:
            output = self._next(one)
            if one.is_dead_lettered:
                self._expect(one, output, {"dead": one.name})
                continue
            self._expect(
                one, output, {"name": one.name, "before": self._history, "flag": self._flag, "left over": None}
            )
            self._check_calls(one, output["paid"][: one.calls], [f"{one.name}.{step}" for step in range(one.calls)])
            self._flag = one.name if self._flag is None else None
            self._history = [*self._history, one.name, *output["paid"]]
            self._check_follows(one)
        left = list(self._outputs)
        if left:
            raise Broken(f"1: {self._lane.key}: outputs too many: {left}")
        self._check_memory()

    def _check_follows(self, one: Input) -> None:
        trace: list[Any] = [one.name]
        for step in range(one.follows - one.is_last_ignored):
            output = self._next(one)
            self._expect(one, output, {"step": step, "before": self._history, "trace": trace})
            self._check_calls(one, output["paid"], [f"{one.name}.{100 + step}"])
            self._history = [*self._history, f"{one.name}/{step}", *output["paid"]]
            trace = [*trace, step]

    def _next(self, one: Input) -> dict[str, Any]:
        output = next(self._outputs, None)
        if output is None:
            raise Broken(f"1: {self._lane.key}: no output of {one.name}")
        return output

    def _expect(self, one: Input, output: dict[str, Any], expected: dict[str, Any]) -> None:
        wrong = {name: output.get(name) for name, value in expected.items() if output.get(name) != value}
        if wrong or output["for"] != one.name:
            raise Broken(f"1: {one.name} came to {output}, and should have come to {expected}")

    def _check_calls(self, one: Input, paid: list[str], expected: list[str]) -> None:
        if [value.partition("#")[0] for value in paid] != expected:
            raise Broken(f"3: {one.name} was given the calls {paid} instead of {expected}")

    def _check_memory(self) -> None:
        memory = {path: json.loads(value) for path, value in self._lane.memory.items()}
        expected: dict[str, Any] = {}
        if self._history:
            expected["history"] = self._history
        if self._flag is not None:
            expected["flag"] = self._flag
        if memory != expected:
            raise Broken(f"2: {self._lane.key}: memory {memory} is not what its runs wrote: {expected}")


def _step_of(action: str) -> str:
    """As calls are numbered: "act", or the number of what follows; empty of what never began."""
    return "act" if action == "act" else str(100 + int(action[len("follow") :] or 0)) if action else ""


def _is_orphaned(worker: Worker, ctx: Any) -> bool:
    attempt = worker.dispatcher._running.get(ctx._invocation.invocation_id)
    return attempt is not None and attempt.context is ctx and attempt.cancel_reason is CancelReason.ORPHANED


def _digest_of(call: _Call) -> bytes:
    return arguments_digest(values.encode_canonical({"args": call, "kwargs": {}}, "arguments"))
