"""One seeded world: an operator, the workers that it meets, the network between them, and all that goes wrong.

What is real: the server's `Sessions` with all that is below it (session, credit, held outcomes, fences), the
dispatcher, durable calls, mirrors, kept work, and every message as bytes. What is a model: the operator's lanes, its
state and checkpoints (`JobModel`), and streams that delay, cut and lose. Time is the fake loop's, every choice is the
seed's: a seed that fails fails again.

The source has two partitions, whose inputs of one key may come in another order after a restore. An action reads and
writes memory, makes durable calls (one after the other, or gathered; some with a reconciler) whose values never repeat,
fails as often as its input says, and sends one output. So an output that stands for another input, another timeline, or
another memory shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from flink_actions import Agent, OutputEvent, current_call
from flink_actions.engine.dispatcher import Dispatcher, EngineSettings
from flink_actions.engine.identity import arguments_digest, event_digest, invocation_id, run_id
from flink_actions.engine.plan import compile_plan
from flink_actions.sdk import values
from flink_actions.server.config import ServerSettings
from flink_actions.server.loop_lag import LoopLag
from flink_actions.server.sessions import Offer, Sessions, WorkerIdentity
from flink_actions.wire.codec import encode_plan
from flink_actions.wire.v1 import session_pb2

from tests.support.fake_clock import run_with_fake_clock
from tests.support.session_client import split_results

INPUT_EVENT = "_input_event"
LINGER_SECONDS = 2.0
QUIET_SECONDS = 600.0
MOST_FAILURES = 2


class Broken(AssertionError):
    """A promise did not hold."""


@dataclass(frozen=True)
class Input:
    """One record of the stream, and what its action is going to do."""

    name: str
    key: str
    calls: int
    gathers: bool
    reconciles: bool
    failures: int
    seconds: float
    is_slow_to_end: bool

    @property
    def payload(self) -> bytes:
        return json.dumps(self.name).encode()


class Worker:
    """One incarnation of a worker process."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.is_alive = True
        # Idempotency keys of calls that were made here and whose value was given to the engine.
        self.completed: set[str] = set()
        self.running: Counter[str] = Counter()
        settings = ServerSettings(linger_seconds=LINGER_SECONDS)
        agent = Agent().add_action("act", [INPUT_EVENT], self.act)
        plan = compile_plan(agent, "agent")
        engine = EngineSettings(kept_bytes=1 << 30, mirror_bytes=world.random.choice([1, 1 << 20]))
        self.dispatcher = Dispatcher(engine, random_bytes=world.random.randbytes)
        self.lag = LoopLag()
        identity = WorkerIdentity("w0", number.to_bytes(16, "big"), b"g" * 16)
        self.sessions = Sessions(
            identity, {"agent": Offer(plan, encode_plan(plan))}, self.dispatcher, settings, self.lag
        )
        self.tasks: set[asyncio.Task[None]] = set()

    async def kill(self) -> None:
        """As kill -9: nothing that its code does from now on counts."""
        self.is_alive = False
        for stream in list(self.world.streams):
            stream.cut()
        await self.dispatcher.close()

    async def act(self, event: Any, ctx: Any) -> None:
        world = self.world
        one = world.inputs[event.input]
        if not self.is_alive:
            return
        self.running[ctx.invocation_id] += 1
        try:
            if self.running[ctx.invocation_id] > 1:
                raise Broken(f"two coroutines run {one.name} at once")
            await self._act(one, ctx)
        except asyncio.CancelledError:
            if self.is_alive and one.is_slow_to_end:
                # Cleaning up takes its time.
                await asyncio.sleep(world.random.expovariate(1))
            raise
        finally:
            self.running[ctx.invocation_id] -= 1

    async def _act(self, one: Input, ctx: Any) -> None:
        world = self.world
        history = ctx.short_term_memory.get("history", default=[])

        async def pay(name: str, step: int) -> str:
            return await self._pay(name, step)

        async def call(step: int) -> str:
            async def reconcile() -> str:
                paid = world.paid.get(current_call().idempotency_key)
                return paid if paid is not None else await self._pay(one.name, step)

            await asyncio.sleep(world.random.expovariate(1 / one.seconds))
            reconciler = reconcile if one.reconciles and step % 2 else None
            return await ctx.durable_execute_async(pay, one.name, step, reconciler=reconciler, durable_id="pay")

        if one.gathers:
            paid = await asyncio.gather(*[call(step) for step in range(one.calls)])
        else:
            paid = [await call(step) for step in range(one.calls)]
        if one.failures and world.failures_left[one.name] > 0:
            if self.is_alive:
                world.failures_left[one.name] -= 1
            await ctx.durable_execute_async(self._refuse, one.name, durable_id="refuse")
        elif one.failures:
            paid = [*paid, await ctx.durable_execute_async(self._accept, one.name, durable_id="refuse")]
        await asyncio.sleep(world.random.expovariate(1 / one.seconds))
        world.on_finished(self, one.name, ctx)
        ctx.short_term_memory.set("history", [*history, one.name, *paid])
        ctx.send_event(OutputEvent({"name": one.name, "before": history, "paid": paid}))

    async def _refuse(self, name: str) -> None:
        raise ValueError(f"refused {name}")

    async def _accept(self, name: str) -> str:
        return f"accepted {name}"

    async def _pay(self, name: str, step: int) -> str:
        world = self.world
        key = current_call().idempotency_key
        if not self.is_alive:
            raise asyncio.CancelledError
        world.on_paid(self, key, (name, step))
        await asyncio.sleep(world.random.expovariate(10))
        if self.is_alive:
            self.completed.add(key)
        return world.paid[key]


class Stream:
    """One rpc: bytes in both directions, in order, delayed; cut, it loses what is under way."""

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self._to_worker: asyncio.Queue[Any] = asyncio.Queue()
        self.to_operator: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._due = [0.0, 0.0]
        self.is_cut = False
        self._server = asyncio.Task(worker.sessions.serve(None, self), loop=asyncio.get_running_loop())  # type: ignore[arg-type]
        self._server.add_done_callback(self._on_served)
        world.streams.append(self)

    def _deliver(self, side: int, queue: asyncio.Queue[Any], item: Any) -> None:
        loop = asyncio.get_running_loop()
        due = max(self._due[side], loop.time() + self._world.latency())
        self._due[side] = due + 1e-6

        def arrive() -> None:
            if not self.is_cut:
                queue.put_nowait(item)

        loop.call_at(due, arrive)

    # the worker's side, as gRPC has it

    async def read(self) -> Any:
        return await self._to_worker.get()

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        if self.is_cut:
            raise grpc.aio.UsageError("RPC already finished.")
        self._deliver(1, self.to_operator, data)

    def peer(self) -> str:
        return "simulated"

    # the operator's side

    def send(self, frame: session_pb2.OperatorFrame) -> None:
        if not self.is_cut:
            self._deliver(0, self._to_worker, frame.SerializeToString())

    def cut(self) -> None:
        """The connection breaks: what had arrived has arrived, the rest never does."""
        if not self.is_cut:
            self.is_cut = True
            self._world.streams.remove(self)
            self._server.cancel()
            self.to_operator.put_nowait(None)

    def _on_served(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._world.break_down(Broken(f"the server failed: {task.exception()!r}"))
        if not self.is_cut:
            self._deliver(1, self.to_operator, None)


@dataclass
class Lane:
    """One key, as the operator's state has it."""

    waiting: list[str] = field(default_factory=list)
    run_number: int = 0
    version: bytes = b""
    memory: dict[str, bytes] = field(default_factory=dict)
    current: str | None = None
    attempt: int = 0
    failures: int = 0
    due: float = 0.0
    calls: dict[tuple[str, int], session_pb2.CallRecord] = field(default_factory=dict)

    def copy(self) -> Lane:
        return Lane(
            list(self.waiting),
            self.run_number,
            self.version,
            dict(self.memory),
            self.current,
            self.attempt,
            self.failures,
            self.due,
            dict(self.calls),
        )


@dataclass
class State:
    """What a checkpoint has."""

    lanes: dict[str, Lane]
    read: list[int]
    outputs: list[dict[str, Any]]
    order: list[str]

    def copy(self) -> State:
        return State(
            {key: lane.copy() for key, lane in self.lanes.items()},
            list(self.read),
            list(self.outputs),
            list(self.order),
        )


class JobModel:
    """One start of the operator, from a state on."""

    def __init__(self, world: World, state: State, epoch: int) -> None:
        self.world = world
        self.state = state
        self.epoch = epoch
        self.start_id = world.random.randbytes(16)
        self.handles: dict[int, tuple[str, str]] = {}
        self.last_handle = 0
        self.stream: Stream | None = None
        self.sequence = 0
        self.applied = 0
        self.acknowledged = 0
        self.claims: dict[str, bytes] = {}
        self.need_whole: set[str] = set()
        self.open: dict[str, session_pb2.Invoke] = {}
        self.sent: set[str] = set()
        self.incarnation = b""
        self.applied_ids: set[bytes] = set()
        self.checkpoint = self.completed_checkpoint = 0
        self.is_ended = False
        self.was_welcomed = False
        # In this session: before, nothing may be sent.
        self.is_welcome = False
        self.tasks = [asyncio.create_task(self._guard(part())) for part in (self._read_source, self._talk)]
        for lane in state.lanes.values():
            if lane.current is not None:
                lane.attempt += 1

    async def _guard(self, part: Any) -> None:
        try:
            await part
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.world.break_down(error)

    def end(self) -> None:
        """The TaskManager dies."""
        self.is_ended = True
        if self.stream is not None:
            self.stream.cut()
        for task in self.tasks:
            task.cancel()

    # ---- the source ----

    async def _read_source(self) -> None:
        world, state = self.world, self.state
        while True:
            await asyncio.sleep(world.random.expovariate(4))
            left = [part for part in range(2) if state.read[part] < len(world.partitions[part])]
            if not left:
                return
            part = world.random.choice(left)
            name = world.partitions[part][state.read[part]]
            state.read[part] += 1
            lane = state.lanes.setdefault(world.inputs[name].key, Lane())
            lane.waiting.append(name)
            state.order.append(name)
            self._advance(world.inputs[name].key)

    def _advance(self, key: str) -> None:
        lane = self.state.lanes[key]
        if lane.current is None and lane.waiting:
            lane.current = lane.waiting.pop(0)
            lane.run_number += 1
            lane.attempt, lane.failures, lane.due = 1, 0, 0.0
            lane.calls = {}
        if lane.current is not None and key not in self.open:
            self._send(key)

    # ---- the session ----

    async def _talk(self) -> None:
        world = self.world
        while True:
            await asyncio.sleep(world.random.expovariate(5))
            if world.worker is None:
                continue
            stream = self.stream = Stream(world, world.worker)
            self.claims, self.sequence, self.applied, self.acknowledged = {}, 0, 0, 0
            self.sent, self.is_welcome = set(), False
            hello = session_pb2.Hello(
                protocol_min=1,
                protocol_max=1,
                namespace="n",
                job_id="j",
                operator_uid="o",
                agent="agent",
                parallelism=1,
                max_parallelism=128,
                key_group_last=127,
                start_id=self.start_id,
                epoch=self.epoch,
                was_welcomed=self.was_welcomed,
                max_frame_bytes=1 << 20,
                has_checkpoints=True,
            )
            stream.send(session_pb2.OperatorFrame(hello=hello))
            while (data := await stream.to_operator.get()) is not None:
                if world.random.random() < 0.3:
                    await asyncio.sleep(world.random.expovariate(10))
                frame = session_pb2.WorkerFrame.FromString(data)
                if frame.HasField("reject"):
                    raise Broken(f"the only live operator was refused: {frame.reject.message}")
                self._on_frame(stream, frame)
            stream.cut()
            self.stream = None

    def _on_frame(self, stream: Stream, frame: session_pb2.WorkerFrame) -> None:
        if frame.HasField("welcome"):
            self._on_welcome(frame.welcome)
            return
        self.applied = frame.sequence
        self.acknowledged = max(self.acknowledged, frame.ack)
        for note in [*frame.calls_started, *frame.calls_completed]:
            self._on_call(stream, note)
        for result in split_results(frame.results):
            self._on_result(result, result.handle in frame.results.handed_back)
        for failure in frame.failures:
            self._on_failure(failure)
        for handle in frame.need_memory:
            self._on_need_memory(handle)
        for bounce in frame.bounces:
            self._again(bounce.handle)
        if frame.HasField("ping"):
            stream.send(session_pb2.OperatorFrame(pong=session_pb2.Pong(id=frame.ping.id)))
        self._send_due()

    def _on_welcome(self, welcome: session_pb2.Welcome) -> None:
        self.was_welcomed = self.is_welcome = True
        if welcome.incarnation != self.incarnation:
            # Another process: what the one before was at has ended with it.
            for key in list(self.open):
                lane = self.state.lanes[key]
                if self.incarnation:
                    lane.attempt += 1
                del self.open[key]
            self.incarnation = welcome.incarnation
        for key, lane in self.state.lanes.items():
            if lane.current is not None:
                if key not in self.open:
                    self._prepare(key)
                else:
                    self.open[key].ClearField("memory_form")
        self._send_due()

    def _prepare(self, key: str) -> session_pb2.Invoke:
        """The next attempt of a lane's invocation, under a handle of its own."""
        world, lane = self.world, self.state.lanes[key]
        name = lane.current
        assert name is not None
        one = world.inputs[name]
        digest = event_digest(INPUT_EVENT, one.payload, is_raw=False, timestamp=None)
        run = run_id("n", "o", key.encode(), lane.run_number, digest)
        self.last_handle += 1
        message = session_pb2.Invoke(
            handle=self.last_handle,
            invocation_id=invocation_id(run, "act", 0, digest),
            key=json.dumps(key).encode(),
            run_number=lane.run_number,
            attempt=lane.attempt,
            failures=lane.failures,
            event_type=INPUT_EVENT,
            payload=one.payload,
            event_source=run,
            memory_version=lane.version,
            # For the action to know which start wants it.
            traceparent=f"epoch-{self.epoch}",
        )
        if lane.attempt > 1:
            message.calls.extend(lane.calls.values())
        known = world.ids.setdefault(message.invocation_id, name)
        if known != name:
            raise Broken(f"{known} and {name} share an invocation id")
        self.handles[message.handle] = (key, name)
        self.open[key] = message
        return message

    def _send(self, key: str) -> None:
        self._prepare(key)
        self._send_due()

    def _send_due(self) -> None:
        """All that may be sent now, in frames of any size."""
        now = asyncio.get_running_loop().time()
        stream = self.stream
        if stream is None or not self.is_welcome or stream.is_cut:
            return
        ready = [key for key in self.open if key not in self.sent and self.state.lanes[key].due <= now]
        while ready and self.sequence - self.acknowledged < 2:
            size = self.world.random.randint(1, 8)
            frame, ready = ready[:size], ready[size:]
            self.sequence += 1
            for key in frame:
                self._write_memory(key, self.open[key])
                self.sent.add(key)
            invokes = [self.open[key] for key in frame]
            stream.send(session_pb2.OperatorFrame(sequence=self.sequence, invokes=invokes))

    def _write_memory(self, key: str, message: session_pb2.Invoke) -> None:
        """As the worker is believed to have it, rightly or not; whole if it has said that it does not."""
        lane = self.state.lanes[key]
        for column in ("memory_form", "memory_path", "memory_value"):
            message.ClearField(column)
        if not lane.version:
            return
        if key in self.need_whole or self.world.random.random() < 0.3:
            self.need_whole.discard(key)
            message.memory_form = session_pb2.FULL
            message.memory_path.extend(lane.memory)
            message.memory_value.extend(lane.memory.values())

    # ---- replies ----

    def _lane_of(self, handle: int) -> tuple[str, Lane] | None:
        """The lane whose open attempt this is; replies to others are late."""
        key, _ = self.handles[handle]
        message = self.open.get(key)
        return (key, self.state.lanes[key]) if message is not None and message.handle == handle else None

    def _on_call(self, stream: Stream, note: Any) -> None:
        found = self._lane_of(note.handle)
        if found is not None:
            place = (note.place.task, note.place.index)
            if isinstance(note, session_pb2.CallStarted):
                record = session_pb2.CallRecord(
                    place=note.place,
                    function_id=note.function_id,
                    arguments_digest=note.arguments_digest,
                    started_only=True,
                )
            else:
                record = session_pb2.CallRecord()
                record.CopyFrom(note)
                record.ClearField("handle")
            found[1].calls[place] = record
        recorded = session_pb2.CallsRecorded(handle=note.handle, places=[note.place])
        stream.send(session_pb2.OperatorFrame(calls_recorded=[recorded]))

    def _on_result(self, result: Any, is_handed_back: bool) -> None:
        found = self._lane_of(result.handle)
        if found is None:
            return
        key, lane = found
        message = self.open.pop(key)
        if result.version and result.base != lane.version:
            raise Broken(f"{lane.current}: a Result on memory {result.base.hex()}, the key has {lane.version.hex()}")
        if message.invocation_id in self.applied_ids:
            raise Broken(f"{lane.current}: a second Result for one invocation")
        self.applied_ids.add(message.invocation_id)
        if result.version:
            lane.version = result.version
            lane.memory.update(result.short_term)
        self.state.outputs.append({**result.output, "for": lane.current, "key": key})
        self.world.handed_back += is_handed_back
        lane.current = None
        self.sent.discard(key)
        self._advance(key)

    def _on_failure(self, failure: session_pb2.Failure) -> None:
        found = self._lane_of(failure.handle)
        if found is None:
            return
        key, lane = found
        assert lane.current is not None
        one = self.world.inputs[lane.current]
        kind = session_pb2.Failure.Kind.Name(failure.kind)
        if "refused" not in failure.message or lane.failures + 1 > one.failures * self.world.lives(lane.current):
            raise Broken(f"{lane.current} failed ({kind}): {failure.message}\n{failure.stack}")
        lane.failures += 1
        lane.attempt += 1
        for place in failure.drop_calls:
            lane.calls.pop((place.task, place.index), None)
        loop = asyncio.get_running_loop()
        lane.due = loop.time() + self.world.random.uniform(0, 3)
        del self.open[key]
        self.sent.discard(key)
        self._prepare(key)
        loop.call_at(lane.due, self._send_due)

    def _on_need_memory(self, handle: int) -> None:
        found = self._lane_of(handle)
        if found is None:
            return
        key, lane = found
        if not lane.version:
            raise Broken("memory was asked for where there is none")
        self.need_whole.add(key)
        self.sent.discard(key)

    def _again(self, handle: int) -> None:
        found = self._lane_of(handle)
        if found is None:
            return
        key, lane = found
        lane.attempt += 1
        del self.open[key]
        self.sent.discard(key)
        self._prepare(key)

    def recorded_digests(self, key: str) -> set[bytes]:
        """Arguments of the calls that are recorded in a lane."""
        lane = self.state.lanes.get(key)
        records = [] if lane is None else lane.calls.values()
        return {record.arguments_digest for record in records if not record.started_only}

    # ---- checkpoints ----

    def snapshot(self) -> Callable[[], None]:
        """Take one; gives back what completes it."""
        state, cut, stream = self.state.copy(), self.applied, self.stream
        self.checkpoint += 1
        number = self.checkpoint

        def complete() -> None:
            # A later one that has completed subsumes it.
            if self.is_ended or number < self.completed_checkpoint:
                return
            self.completed_checkpoint = number
            self.world.completed = state
            self.world.checkpoints += 1
            if stream is not None and stream is self.stream and not stream.is_cut:
                stream.send(
                    session_pb2.OperatorFrame(
                        checkpoint_completed=session_pb2.CheckpointCompleted(checkpoint_id=number, cut=cut)
                    )
                )

        return complete

    @property
    def is_done(self) -> bool:
        world = self.world
        return all(self.state.read[part] == len(world.partitions[part]) for part in range(2)) and all(
            lane.current is None and not lane.waiting for lane in self.state.lanes.values()
        )


class World:
    """All of it, from one seed."""

    def __init__(self, seed: int, *, inputs: int = 40, keys: int = 5, faults: int = 12) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.fault_count = faults
        self.streams: list[Stream] = []
        self.inputs: dict[str, Input] = {}
        self.partitions: list[list[str]] = [[], []]
        for number in range(inputs):
            one = Input(
                f"i{number}",
                f"k{self.random.randrange(keys)}",
                self.random.choice([0, 1, 2, 4, 7]),
                self.random.random() < 0.5,
                self.random.random() < 0.3,
                self.random.choice([0, 0, 0, 1, MOST_FAILURES]),
                self.random.choice([0.02, 0.2, 1.0]),
                self.random.random() < 0.3,
            )
            self.inputs[one.name] = one
            self.partitions[self.random.randrange(2)].append(one.name)
        self.failures_left = {name: one.failures for name, one in self.inputs.items()}
        # Idempotency key → value of the newest time that it was paid.
        self.paid: dict[str, str] = {}
        self.payments: Counter[str] = Counter()
        self.finished: set[tuple[Any, ...]] = set()
        self.restores_at_payment: dict[str, int] = {}
        # (input, deaths of workers until then) → calls made again.
        self.repeated: Counter[tuple[str, int]] = Counter()
        self.call_of_key: dict[str, tuple[str, int]] = {}
        self.ids: dict[bytes, str] = {}
        self.worker: Worker | None = None
        self.job: JobModel | None = None
        self.completed = State({}, [0, 0], [], [])
        self.incarnations = 0
        self.checkpoints = self.handed_back = self.restores = self.deaths = self.cuts = 0
        self.broken: BaseException | None = None
        self.checkpoint_seconds = self.random.choice([0.5, 3.0, 20.0])
        self.slow_network = self.random.random() < 0.5

    def latency(self) -> float:
        return self.random.expovariate(5 if self.slow_network else 200)

    def break_down(self, error: BaseException) -> None:
        """Something did not hold, wherever it was noticed."""
        self.broken = self.broken or error

    # ---- what is looked at on the way ----

    def lives(self, name: str) -> int:
        """In how many timelines an input may have failed as often as it says."""
        return 1 + self.restores

    def on_paid(self, worker: Worker, key: str, call: tuple[str, int]) -> None:
        known = self.call_of_key.setdefault(key, call)
        if known != call:
            self.break_down(Broken(f"calls {known} and {call} share an idempotency key"))
        if key in worker.completed:
            self.break_down(Broken(f"{call} was made again by the very worker that has its record"))
        if self.job is not None and _digest_of(call) in self.job.recorded_digests(self.inputs[call[0]].key):
            self.break_down(Broken(f"{call} was made again although the operator has its record"))
        if self.payments[key] and self.restores_at_payment[key] == self.restores:
            # Nothing of the operator was lost in between: it is the death of a worker that repeats this call.
            self.repeated[call[0], self.deaths] += 1
            one = self.inputs[call[0]]
            if self.repeated[call[0], self.deaths] > (one.calls if one.gathers else 1):
                self.break_down(Broken(f"more than the last call of each task of {one.name} was made again"))
        self.restores_at_payment[key] = self.restores
        self.payments[key] += 1
        self.paid[key] = f"{call[0]}.{call[1]}#{self.payments[key]}"

    def on_finished(self, worker: Worker, name: str, ctx: Any) -> None:
        """An action has come to its end."""
        attempt = (worker.number, ctx.trace, name, ctx.attempt)
        work = (worker.number, ctx.invocation_id, ctx._invocation.memory_version)
        if worker.is_alive and attempt in self.finished:
            self.break_down(Broken(f"one attempt at {name} was finished twice"))
        if worker.is_alive and work in self.finished:
            self.break_down(Broken(f"{name} was done again by the very worker that has its Result, on the same memory"))
        self.finished |= {attempt, work}

    # ---- what happens ----

    async def run(self) -> None:
        """Faults for a while, then none; then everything has to come to its end."""
        self._start_worker()
        self.job = JobModel(self, self.completed.copy(), 1)
        chores = [asyncio.create_task(self._take_checkpoints())]
        try:
            for _ in range(self.fault_count):
                await self._pass(self.random.expovariate(0.7))
                await self._fault()
            await self._settle()
        finally:
            for chore in chores:
                chore.cancel()
            if self.job is not None:
                self.job.end()
            if self.worker is not None:
                await self.worker.kill()
                self.worker.lag.stop()
        if self.broken is not None:
            raise self.broken
        self._check_outputs()

    async def _pass(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self.broken is not None:
            raise self.broken

    def _start_worker(self) -> None:
        self.incarnations += 1
        self.worker = Worker(self, self.incarnations)

    async def _fault(self) -> None:
        kind = self.random.choice(["cut", "cut", "worker", "restore", "restore", "both"])
        if kind == "cut":
            self.cuts += 1
            for stream in list(self.streams):
                stream.cut()
            return
        if kind in ("worker", "both"):
            self.deaths += 1
            worker, self.worker = self.worker, None
            assert worker is not None
            await worker.kill()
            worker.lag.stop()
        if kind in ("restore", "both"):
            self._restore()
        if self.worker is None:
            await self._pass(self.random.expovariate(5))
            self._start_worker()

    def _restore(self) -> None:
        assert self.job is not None
        self.restores += 1
        epoch = self.job.epoch + 1
        self.job.end()
        self.job = JobModel(self, self.completed.copy(), epoch)

    async def _take_checkpoints(self) -> None:
        while True:
            await asyncio.sleep(self.random.expovariate(1 / self.checkpoint_seconds))
            assert self.job is not None
            complete = self.job.snapshot()
            asyncio.get_running_loop().call_later(self.random.expovariate(5), complete)

    async def _settle(self) -> None:
        waited = 0.0
        while not (self.job is not None and self.job.is_done):
            await self._pass(1.0)
            waited += 1.0
            if waited > QUIET_SECONDS:
                assert self.job is not None
                stuck = {key: lane.current for key, lane in self.job.state.lanes.items() if lane.current}
                raise Broken(f"nothing goes wrong any more, and these do not end: {stuck}")
        await self._pass(LINGER_SECONDS * 3)
        assert self.worker is not None
        if self.worker.dispatcher.open_count:
            raise Broken(f"{self.worker.dispatcher.open_count} invocations are still open in the worker")

    # ---- what is looked at in the end ----

    def _check_outputs(self) -> None:
        assert self.job is not None
        state = self.job.state
        for key, lane in state.lanes.items():
            order = [name for name in state.order if self.inputs[name].key == key]
            outputs = [output for output in state.outputs if output["key"] == key]
            if [output["for"] for output in outputs] != order:
                raise Broken(f"{key}: outputs {[output['for'] for output in outputs]} of inputs {order}")
            history: list[str] = []
            for output in outputs:
                if output["name"] != output["for"]:
                    raise Broken(f"{output['for']} was answered with the Result of {output['name']}")
                if output["before"] != history:
                    raise Broken(f"{output['for']} started from {output['before']}, its key had {history}")
                one = self.inputs[output["name"]]
                expected = [f"{one.name}.{step}" for step in range(one.calls)]
                found = [paid.partition("#")[0] for paid in output["paid"][: one.calls]]
                if found != expected:
                    raise Broken(f"{one.name}: calls {found} instead of {expected}")
                history = [*history, one.name, *output["paid"]]
            if lane.memory and json.loads(lane.memory["history"]) != history:
                raise Broken(f"{key}: memory {lane.memory['history']!r} is not what its runs wrote: {history}")
        expected_count = sum(len(partition) for partition in self.partitions)
        if len(state.outputs) != expected_count:
            raise Broken(f"{len(state.outputs)} outputs of {expected_count} inputs")


def _digest_of(call: tuple[str, int]) -> bytes:
    return arguments_digest(values.encode_canonical({"args": call, "kwargs": {}}, "arguments"))


@dataclass(frozen=True)
class Seen:
    """What a world has been through."""

    checkpoints: int
    restores: int
    deaths: int
    cuts: int
    handed_back: int
    payments: int
    repeated: int


def simulate(seed: int) -> Seen:
    """Run the world of a seed; raises what did not hold, with the seed in its text."""
    world = World(seed)
    logging.disable(logging.CRITICAL)
    try:
        run_with_fake_clock(world.run())
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Broken(f"seed {seed}: {error}") from error
    finally:
        logging.disable(logging.NOTSET)
    with contextlib.suppress(KeyError):
        del world.inputs
    return Seen(
        world.checkpoints,
        world.restores,
        world.deaths,
        world.cuts,
        world.handed_back,
        world.payments.total(),
        sum(times - 1 for times in world.payments.values()),
    )
