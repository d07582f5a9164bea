"""One start of an operator subtask: lanes, to whom invocations go, and what their answers change. A model."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flink_actions.server.protocol import ALL_RESUMED
from flink_actions.wire.v1 import plan_pb2, session_pb2

from tests.simulation import lanes
from tests.simulation.code import STEP_EVENT
from tests.simulation.holders import Holders
from tests.simulation.lanes import Event, Invocation, Lane, Run
from tests.simulation.link import Link, Talk, handles_of
from tests.simulation.scenario import INPUT_EVENT, KEY_GROUPS, Broken, key_group
from tests.simulation.watermarks import Segments
from tests.simulation.workers import Entry, Role, Worker
from tests.support.session_client import OUTPUT_EVENT, split_results

if TYPE_CHECKING:
    from tests.simulation.job import Job

__all__ = ["Subtask"]

# How long frames of a worker that is known to be gone are still waited for, as the operator does.
_LAST_FRAMES_SECONDS = 0.1
# How long a worker that may hold something is waited for to tell what it is.
_HOLDINGS_SECONDS = 10.0
_NO_RETRY = (session_pb2.Failure.TERMINAL, session_pb2.Failure.REPLAY_MISMATCH, session_pb2.Failure.UNKNOWN_ACTION)


@dataclass
class _Sent:
    """An attempt that a worker has, or is about to get."""

    handle: int
    lane: Lane
    invocation: Invocation
    talk: Talk
    # When it left for the first time: its code has run no longer than since then.
    sent_at: float | None = None
    is_queued: bool = True
    # By the session that it belongs to, from an earlier one.
    is_resumed: bool = False


class Subtask:
    """From initializeState to its end."""

    def __init__(self, job: Job, index: int, first_group: int, last_group: int) -> None:
        self.job = job
        self.world = job.world
        self.index = index
        self._groups = (first_group, last_group)
        self.epoch = job.epoch
        self.start_id = self.world.random.randbytes(16)
        # Older ones do not.
        self._says_all_resumed = self.start_id[0] % 4 > 0
        self.was_welcomed = False
        self.lanes: dict[str, Lane] = {}
        self.links: dict[Worker, Link] = {}
        self.holders = Holders()
        self._entries: list[Entry] = []
        self._used_generations: dict[bytes, None] = {}
        self._handles: dict[int, _Sent] = {}
        # Attempts that this side ended: their last records still count.
        self._superseded: dict[int, tuple[Lane, Invocation]] = {}
        # The same by the session that they were sent on: told again to the one that resumes it.
        self._ended: dict[Talk, list[int]] = {}
        self._last_handle = 0
        # Key → who is believed to have its memory, which version, and whether sensory memory was cleared since.
        self._claims: dict[str, tuple[Talk, bytes, bool]] = {}
        self.is_frozen = False
        self.is_over = False
        self.may_find_namespace_in_use = False
        self.segments = Segments(self._on_watermark_leaves)
        self._watermarks: dict[int, int] = {}
        self._watermark: int | None = None
        self.emitted: int | None = None
        # Unfinished inputs that arrived before each watermark: kept apart from the segments, to check them.
        self._arrived: list[str | int] = []

    # ---- life ----

    def owns(self, key: str) -> bool:
        return self._groups[0] <= key_group(key) <= self._groups[1]

    async def guard(self, part: Coroutine[Any, Any, None]) -> None:
        """Run a part of it; what does not hold there ends the world."""
        try:
            await part
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.world.break_down(error)

    def restore(self, lane: Lane) -> None:
        """A lane out of state: what was ready or sent goes again, what waits goes on waiting."""
        self.lanes[lane.key] = lane
        for name in lane.names:
            self._take_note(name)
        if lane.run is not None and lane.run.queue[0].due is not None:
            self._wake_at(lane.run.queue[0].due)

    def end(self, *, says_bye: bool = False) -> None:
        """The TaskManager dies, or the job is stopped."""
        self.is_over = True
        for link in list(self.links.values()):
            if says_bye and link.stream is not None:
                link.stream.send(session_pb2.OperatorFrame(bye=session_pb2.Bye(reason=session_pb2.Bye.FINISHED)))
                asyncio.get_running_loop().call_later(1.0, link.stream.cut)
                link.stream = None
            link.end()

    def hello(self) -> session_pb2.Hello:
        """As this start says it."""
        return session_pb2.Hello(
            protocol_min=1,
            protocol_max=1,
            namespace=lanes.NAMESPACE,
            job_id=self.job.job_id,
            operator_uid=lanes.OPERATOR,
            agent="agent",
            subtask=self.index,
            parallelism=self.job.parallelism,
            max_parallelism=KEY_GROUPS,
            key_group_first=self._groups[0],
            key_group_last=self._groups[1],
            start_id=self.start_id,
            epoch=self.epoch,
            was_welcomed=self.was_welcomed,
            known_plan_digest=self.world.random.choice([b"", *self.job.plans]),
            max_frame_bytes=1 << 20,
            has_checkpoints=True,
            asks_for_holdings=True,
            capabilities=[ALL_RESUMED] if self._says_all_resumed else [],
        )

    def on_directory(self, entries: list[Entry]) -> None:
        """What the directory says now."""
        if self.is_over:
            return
        self._entries = entries
        is_first, listed = not self.links, {entry.worker for entry in entries}
        for worker in list(self.links):
            if worker not in listed:
                asyncio.get_running_loop().call_later(_LAST_FRAMES_SECONDS, self._bury, worker)
        for entry in entries:
            if entry.worker not in self.links:
                self.links[entry.worker] = Link(self, entry.worker)
                if is_first and entry.role is not Role.DRAINING:
                    due = asyncio.get_running_loop().time() + _HOLDINGS_SECONDS
                    self.holders.wait_for(entry.worker, due)
                    self._wake_at(due)
        self.pump()

    def _bury(self, worker: Worker) -> None:
        link = self.links.pop(worker, None)
        self.holders.on_given_up(worker)
        if link is not None and not self.is_over:
            link.on_dead()

    # ---- what comes from upstream ----

    def on_input(self, name: str) -> None:
        """A record is there."""
        key = self.world.inputs[name].key
        lane = self.lanes.setdefault(key, Lane(key))
        lane.waiting.append(name)
        self._take_note(name)
        self.pump()

    def _take_note(self, name: str) -> None:
        self.segments.on_input(name)
        self._arrived.append(name)

    def on_watermark(self, partition: int, timestamp: int) -> None:
        """One of the sources promises that nothing older comes."""
        self._watermarks[partition] = max(timestamp, self._watermarks.get(partition, timestamp))
        if len(self._watermarks) < len(self.world.scenario.partitions):
            return
        together = min(self._watermarks.values())
        if self._watermark is None or together > self._watermark:
            self._watermark = together
            self._arrived.append(together)
            self.segments.on_watermark(together)

    def _on_watermark_leaves(self, timestamp: int) -> None:
        before = self._arrived[: self._arrived.index(timestamp)]
        if any(isinstance(one, str) for one in before):
            self.world.break_down(Broken(f"watermark {timestamp} has left before inputs {before}"))
        del self._arrived[: len(before) + 1]
        self.emitted = timestamp

    # ---- where invocations go ----

    def _route(self, lane: Lane) -> Talk | None:
        if self.holders.are_awaited(asyncio.get_running_loop().time()):
            return None
        run = lane.run or Run.of(self.world.inputs[lane.waiting[0]], lane.run_number + 1, b"")
        holder = self.holders.of(run.queue[0].id)
        if holder is not None:
            return self.links[holder].talk
        open_ = [
            (entry, link.talk)
            for entry in self._entries
            if (link := self.links.get(entry.worker)) is not None and link.talk is not None
        ]
        generation = b"" if lane.run is None else lane.run.generation
        newest = self._newest([talk for entry, talk in open_ if entry.role is Role.SERVING and talk.drains is None])
        if generation and generation != newest:
            pinned = [
                talk
                for entry, talk in open_
                if talk.generation == generation
                and entry.role is not Role.DRAINING
                and talk.drains != session_pb2.Drain.SHUTDOWN
            ]
            if pinned:
                return _rendezvous(lane.key, pinned)
            if self._is_reachable_soon(generation):
                return None
        serving = [
            talk
            for entry, talk in open_
            if talk.generation == newest and entry.role is Role.SERVING and talk.drains is None
        ]
        return _rendezvous(lane.key, serving)

    def _newest(self, serving: list[Talk]) -> bytes:
        """The generation of new runs: the last one there is, and never an older one than was used while it lives."""
        listed = sorted({entry.worker.generation_id for entry in self._entries}, reverse=True)
        for generation in listed:
            if any(talk.generation == generation for talk in serving):
                self._used_generations[generation] = None
                return generation
            if generation in self._used_generations and self._is_reachable_soon(generation):
                return generation
        return b""

    def _is_reachable_soon(self, generation: bytes) -> bool:
        return any(
            entry.worker.generation_id == generation and entry.role is not Role.DRAINING for entry in self._entries
        )

    def pump(self) -> None:
        """Begin what may begin, and send what may be sent."""
        if self.is_frozen or self.is_over:
            return
        now = asyncio.get_running_loop().time()
        at_work = {sent.lane.key for sent in self._handles.values()}
        for lane in self.lanes.values():
            if lane.key in at_work or not (lane.run or lane.waiting):
                continue
            if lane.run is not None and lane.run.queue[0].due is not None:
                if lane.run.queue[0].due > now:
                    continue
                lane.run.queue[0].due = None
            talk = self._route(lane)
            if talk is not None:
                self._dispatch(lane, talk)
        for talk in [link.talk for link in self.links.values() if link.talk is not None]:
            self._send(talk)

    def _dispatch(self, lane: Lane, talk: Talk) -> None:
        if lane.run is None:
            lane.run_number += 1
            lane.run = Run.of(self.world.inputs[lane.waiting.pop(0)], lane.run_number, talk.generation)
        lane.run.generation = talk.generation
        invocation = lane.run.queue[0]
        invocation.attempt += 1
        self._last_handle += 1
        self._handles[self._last_handle] = _Sent(self._last_handle, lane, invocation, talk)
        self.world.checks.on_dispatched(self, lane, invocation, talk.stream.worker)
        self.holders.on_asked(talk.stream.worker, invocation.id)
        if self.world.scenario.patience is not None:
            # Longer each time: a replay must get further than the attempt before.
            patience = self.world.scenario.patience * invocation.attempt
            asyncio.get_running_loop().call_later(patience, self._on_overdue, self._last_handle)

    def _send(self, talk: Talk) -> None:
        queued = [sent for sent in self._handles.values() if sent.talk is talk and sent.is_queued]
        while queued and talk.has_window and not talk.stream.is_over:
            frame: list[session_pb2.Invoke] = []
            size = 0
            for sent in queued[: self.world.random.randint(1, 8)]:
                message = self._invoke(sent)
                if not talk.may_send(message.ByteSize(), len(frame), size):
                    break
                frame.append(message)
                size += message.ByteSize()
                sent.is_queued = False
                if sent.sent_at is None:
                    sent.sent_at = asyncio.get_running_loop().time()
                self._claims[sent.lane.key] = (talk, sent.lane.version, False)
            if not frame:
                break
            queued = queued[len(frame) :]
            talk.send(frame)
        if self._says_all_resumed and not talk.has_said_all_resumed and not any(sent.is_resumed for sent in queued):
            talk.say_all_resumed()

    def _invoke(self, sent: _Sent) -> session_pb2.Invoke:
        lane, invocation, run = sent.lane, sent.invocation, sent.lane.run
        assert run is not None
        one, event = self.world.inputs[run.name], invocation.event
        action = sent.talk.action_index[invocation.action]
        message = session_pb2.Invoke(
            handle=sent.handle,
            invocation_id=invocation.id,
            key=lanes.key_bytes(lane.key),
            run_number=lane.run_number,
            action=action,
            attempt=invocation.attempt,
            failures=invocation.failures,
            event_type=INPUT_EVENT if event is None else event.type,
            payload=lanes.payload_of(one) if event is None else event.payload,
            event_source=run.id if event is None else event.source,
            event_position=0 if event is None else event.position,
            timestamp=one.timestamp,
            watermark=self.emitted,
            memory_version=lane.version,
            run_generation=run.generation,
            # For the action to know which start wants it.
            traceparent=f"{self.epoch}/{self.start_id.hex()}",
        )
        # Whole, however long it was on its way: nothing is used up while its code does not run.
        message.remaining_ms = sent.talk.plan.actions[action].timeout_ms
        self._add_calls(message, sent)
        self._add_memory(message, sent)
        return message

    def _add_calls(self, message: session_pb2.Invoke, sent: _Sent) -> None:
        records = list(sent.invocation.calls.values())
        if len(records) < 3 or message.attempt == 1:
            message.calls.extend(records)
            return
        # Too many for the Invoke: behind it, in frames of their own.
        message.more_calls = True
        for number, record in enumerate(records):
            following = session_pb2.CallRecord()
            following.CopyFrom(record)
            following.handle = sent.handle
            following.is_last = number == len(records) - 1
            asyncio.get_running_loop().call_soon(
                sent.talk.stream.send, session_pb2.OperatorFrame(call_records=[following])
            )

    def _add_memory(self, message: session_pb2.Invoke, sent: _Sent) -> None:
        """As the worker is believed to have it, rightly or not."""
        lane, run = sent.lane, sent.lane.run
        assert run is not None
        talk, version, is_cleared = self._claims.get(lane.key, (None, b"", False))
        if not lane.version:
            return
        if talk is sent.talk and is_cleared:
            message.memory_form = session_pb2.DELTA
            message.memory_from = version
            message.clear_sensory = True
        elif (talk is sent.talk and version == lane.version) or self.world.random.random() < 0.1:
            message.memory_form = session_pb2.AS_YOU_HAVE_IT
        else:
            message.memory_form = session_pb2.FULL
            message.sensory_count = len(run.sensory)
            for path, value in [*run.sensory.items(), *lane.memory.items()]:
                message.memory_path.append(path)
                message.memory_value.append(value)

    # ---- what becomes of sessions ----

    def on_welcome(self, talk: Talk, interrupted: Talk | None, welcome: session_pb2.Welcome) -> None:
        """A session has begun; it takes over what an interrupted one had open, under the same handles."""
        self.was_welcomed = True
        self.holders.on_welcome(talk.stream.worker, welcome)
        if interrupted is not None:
            ended = self._ended[talk] = self._ended.pop(interrupted, [])
            if ended:
                talk.stream.send(handles_of(ended))
            for sent in self._handles.values():
                if sent.talk is interrupted:
                    sent.talk, sent.is_queued, sent.is_resumed = talk, True, True
        self.pump()

    def on_interrupted(self, talk: Talk) -> None:
        """It may come back."""

    def on_given_up(self, talk: Talk) -> None:
        """Whatever it was at goes elsewhere, as another attempt."""
        self.holders.on_given_up(talk.stream.worker)
        self._ended.pop(talk, None)
        for handle, sent in list(self._handles.items()):
            if sent.talk is talk:
                del self._handles[handle]
                self.world.checks.on_moved(self, sent.invocation)
        self.pump()

    def on_stale(self, known_epoch: int) -> None:
        """A worker knows a younger start. One that was never welcomed may have a slow clock."""
        if self.epoch > known_epoch:
            return
        if self.was_welcomed:
            self.job.on_fatal(self)
        else:
            self.epoch = known_epoch + 1

    def on_fenced(self) -> None:
        """A younger start has taken the key groups."""
        self.job.on_fatal(self)

    def on_frame(self, talk: Talk, frame: session_pb2.WorkerFrame) -> None:
        """Apply a frame whole."""
        if self.is_frozen or self.is_over:
            return
        talk.on_frame(frame)
        if frame.HasField("holdings"):
            self.holders.on_page(talk.stream.worker, frame.holdings)
        for result in split_results(frame.results):
            self._on_result(talk, result, result.handle in frame.results.handed_back)
        for note in [*frame.calls_started, *frame.calls_completed]:
            self._on_call(talk, note)
        for failure in frame.failures:
            self._on_failure(talk, failure)
        for handle in frame.need_memory:
            self._on_need_memory(talk, handle)
        for bounce in frame.bounces:
            self._on_bounce(talk, bounce.handle)
        talk.applied = max(talk.applied, frame.sequence)
        if frame.HasField("ping"):
            talk.stream.send(session_pb2.OperatorFrame(pong=session_pb2.Pong(id=frame.ping.id)))
        self._say_what_needs_not_be_said(talk)
        self.pump()

    def _say_what_needs_not_be_said(self, talk: Talk) -> None:
        """Hints and repetitions, each of which must change nothing."""
        random = self.world.random
        if random.random() > 0.1:
            return
        key = random.choice(list(self.lanes) or ["none"])
        frames = [
            session_pb2.OperatorFrame(forget_keys=[lanes.key_bytes(key)]),
            session_pb2.OperatorFrame(received=talk.applied),
            session_pb2.OperatorFrame(received=max(0, talk.applied - 1)),
            handles_of([self._last_handle + 1000, 0]),
            session_pb2.OperatorFrame(
                calls_recorded=[session_pb2.CallsRecorded(handle=self._last_handle + 1000, places=[_place("0", 3)])]
            ),
            session_pb2.OperatorFrame(call_records=[session_pb2.CallRecord(handle=self._last_handle + 1000)]),
        ]
        talk.stream.send(random.choice(frames))

    # ---- answers ----

    def _take(self, talk: Talk, handle: int) -> _Sent | None:
        """The attempt that is answered, not open any more; none if nobody waits for it."""
        talk.open.pop(handle, None)
        sent = self._handles.get(handle)
        if sent is None or sent.talk is not talk or sent.is_queued:
            self.world.stale_replies += 1
            return None
        return self._handles.pop(handle)

    def _on_call(self, talk: Talk, note: session_pb2.CallStarted | session_pb2.CallRecord) -> None:
        sent = self._handles.get(note.handle)
        lane, invocation = (sent.lane, sent.invocation) if sent is not None else (None, None)
        if sent is None and note.handle in self._superseded:
            lane, invocation = self._superseded[note.handle]
        is_current = lane is not None and lane.run is not None and lane.run.queue[0] is invocation
        if is_current and invocation is not None:
            record = session_pb2.CallRecord()
            if isinstance(note, session_pb2.CallRecord):
                record.CopyFrom(note)
                record.ClearField("handle")
            else:
                record = session_pb2.CallRecord(
                    place=note.place,
                    function_id=note.function_id,
                    arguments_digest=note.arguments_digest,
                    started_only=True,
                )
            place = (note.place.task, note.place.index)
            known = invocation.calls.get(place)
            if not (record.started_only and known is not None) and (sent is not None or known is None):
                invocation.calls[place] = record
                self.world.checks.on_recorded(self, talk.stream.worker, invocation, record)
        recorded = session_pb2.CallsRecorded(handle=note.handle, places=[note.place])
        for _ in range(self.world.random.choice([1, 1, 1, 2])):
            talk.stream.send(session_pb2.OperatorFrame(calls_recorded=[recorded]))

    def _on_bounce(self, talk: Talk, handle: int) -> None:
        sent = self._take(talk, handle)
        if sent is not None:
            assert sent.lane.run is not None
            self.world.bounces += 1
            self.world.checks.on_bounced(self, talk, sent.lane.run)

    def _on_result(self, talk: Talk, result: Any, is_handed_back: bool) -> None:
        sent = self._take(talk, result.handle)
        if sent is None:
            return
        lane, invocation, run = sent.lane, sent.invocation, sent.lane.run
        assert run is not None
        self.holders.on_answered(invocation.id)
        self.world.checks.on_applied(self, lane, invocation, result)
        self.world.handed_back += is_handed_back
        if result.version:
            _write(run.sensory, result.sensory)
            _write(lane.memory, result.short_term)
            lane.version = result.version
            self._claims[lane.key] = (talk, result.version, False)
        for position, event in enumerate(result.events):
            if event.type == OUTPUT_EVENT:
                self.job.emit(run.name, lane.key, lanes.output_of(event.payload))
            elif event.type == STEP_EVENT:
                timestamp = self.world.inputs[run.name].timestamp
                run.add("follow", Event(event.type, event.payload, invocation.id, position), timestamp)
        self._on_invocation_over(lane)

    def _on_invocation_over(self, lane: Lane) -> None:
        run = lane.run
        assert run is not None
        run.queue.pop(0)
        if run.queue:
            return
        if run.sensory:
            # Sensory memory ends with its run, which makes other memory than the worker has.
            lane.version = self.world.random.randbytes(8)
            if lane.key in self._claims:
                talk, version, _ = self._claims[lane.key]
                self._claims[lane.key] = (talk, version, True)
        lane.run = None
        self.job.on_finished(run.name)
        self._arrived.remove(run.name)
        self.segments.on_finished(run.name)

    def _on_failure(self, talk: Talk, failure: session_pb2.Failure) -> None:
        sent = self._take(talk, failure.handle)
        if sent is None or failure.kind == session_pb2.Failure.CANCELLED:
            # Cancelled, and not by this side: the worker had given the session up.
            return
        self.holders.on_answered(sent.invocation.id)
        for place in failure.drop_calls:
            sent.invocation.calls.pop((place.task, place.index), None)
        assert sent.sent_at is not None
        self.world.checks.on_failure(sent.lane, sent.invocation, failure, sent.sent_at)
        policy = talk.plan.actions[talk.action_index[sent.invocation.action]].on_failure
        self._on_failed(sent, policy, failure)

    def _on_overdue(self, handle: int) -> None:
        """This side has waited long enough: the attempt is over, whatever the worker says of it later.

        The protocol lets an operator do that; the real one leaves time limits to the worker.
        """
        sent = self._handles.get(handle)
        if sent is None or self.is_frozen or self.is_over or sent.is_queued:
            return
        del self._handles[handle]
        sent.talk.open.pop(handle, None)
        self._superseded[handle] = (sent.lane, sent.invocation)
        self.world.checks.on_superseded(self, sent.invocation)
        self.world.superseded += 1
        self._ended.setdefault(sent.talk, []).append(handle)
        if sent.talk.is_open:
            sent.talk.stream.send(handles_of([handle]))
        # Not the user's failure: here it is the operator's impatience that is tried.
        self.pump()

    def _on_failed(self, sent: _Sent, policy: plan_pb2.FailurePolicy, failure: session_pb2.Failure) -> None:
        lane, invocation = sent.lane, sent.invocation
        assert lane.run is not None
        invocation.failures += 1
        if failure.kind not in _NO_RETRY and invocation.failures < policy.max_attempts:
            wait = policy.initial_backoff_ms * (policy.multiplier_permille / 1000) ** (invocation.failures - 1)
            wait = min(wait, policy.max_backoff_ms)
            wait *= 1 - self.world.random.random() * policy.jitter_permille / 1000
            invocation.due = asyncio.get_running_loop().time() + max(wait, failure.retry_after_ms) / 1000
            self._wake_at(invocation.due)
            return
        if policy.decision == plan_pb2.FailurePolicy.DEAD_LETTER:
            self.job.emit(lane.run.name, lane.key, {"dead": lane.run.name})
        self._on_invocation_over(lane)

    def _wake_at(self, due: float) -> None:
        asyncio.get_running_loop().call_at(due, self.pump)

    def _on_need_memory(self, talk: Talk, handle: int) -> None:
        sent = self._handles.get(handle)
        talk.open.pop(handle, None)
        if sent is None or sent.talk is not talk or sent.is_queued:
            return
        if not sent.lane.version:
            raise Broken("memory was asked for where there is none")
        self.world.checks.on_need_memory(sent.lane, talk is self._claims.get(sent.lane.key, (None,))[0])
        self._claims.pop(sent.lane.key, None)
        # It has not begun, and waits for credit like a new one.
        sent.is_queued, sent.sent_at = True, None

    @property
    def is_done(self) -> bool:
        return all(lane.run is None and not lane.waiting for lane in self.lanes.values()) and self.segments.is_empty


def _rendezvous(key: str, talks: list[Talk]) -> Talk | None:
    return max(talks, key=lambda talk: zlib.crc32(f"{talk.worker}/{key}".encode()), default=None)


def _write(memory: dict[str, bytes], changes: Any) -> None:
    for path, value in changes:
        if value:
            memory[path] = value
        else:
            memory.pop(path, None)


def _place(task: str, index: int) -> session_pb2.CallPlace:
    return session_pb2.CallPlace(task=task, index=index)
