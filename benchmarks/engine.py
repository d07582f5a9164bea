"""How fast one worker's engine and codec are, without a network: frame bytes in, action run, frame bytes out, on one
core.

    python benchmarks/engine.py [--seconds 1.5] [--case NAME ...] [--profile NAME]

Prints a table: invocations per CPU second (median of many windows, the worst and the best of them), microseconds each,
and as a yardstick of the machine at that moment what one input takes orjson to read and write.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import itertools
import os
import pstats
import statistics
import time
import timeit
from collections.abc import Callable, Iterator

import orjson
from flink_actions import Agent, Event, EventType, InputEvent, OutputEvent, RunnerContext, action
from flink_actions.engine.dispatcher import Dispatcher
from flink_actions.engine.invocation import Outcome
from flink_actions.engine.outbox import Outbox
from flink_actions.engine.plan import compile_plan
from flink_actions.engine.scope import Scope
from flink_actions.wire.codec import decode_invocations, encode_notes, encode_outcomes
from flink_actions.wire.v1 import session_pb2

PER_FRAME = 256
# A checkpoint covers so many frames: those of about a second.
FRAMES_PER_CHECKPOINT = 256
MAX_FRAME_BYTES = 4 << 20
WINDOWS = 60
KEYS = 1000


class Bench(Agent):
    """One action per case."""

    @action("trivial")
    async def trivial(self, event: Event, ctx: RunnerContext) -> None:
        attributes = event.attributes
        ctx.send_event(OutputEvent(output={"id": attributes["id"], "text": attributes["text"], "score": 0.5}))

    @action(EventType.InputEvent)
    async def untouched(self, event: InputEvent, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=event.input["id"]))

    @action("memory")
    async def memory(self, event: Event, ctx: RunnerContext) -> None:
        attributes = event.attributes
        memory = ctx.short_term_memory
        count = memory.get("count", default=0) + 1
        total = memory.get("total", default=0.0) + attributes["score"]
        memory.set("count", count)
        memory.set("total", total)
        ctx.send_event(OutputEvent(output={"id": attributes["id"], "text": attributes["text"], "score": total}))

    @action("waits")
    async def waits(self, event: Event, ctx: RunnerContext) -> None:
        attributes = event.attributes
        await asyncio.sleep(0)
        ctx.send_event(OutputEvent(output={"id": attributes["id"], "text": attributes["text"], "score": 0.5}))

    @action("durable")
    async def durable(self, event: Event, ctx: RunnerContext) -> None:
        attributes = event.attributes
        score = await ctx.durable_execute_async(_score, attributes["id"])
        ctx.send_event(OutputEvent(output={"id": attributes["id"], "text": attributes["text"], "score": score}))

    @action("thread")
    def thread(self, event: Event, ctx: RunnerContext) -> None:
        attributes = event.attributes
        ctx.send_event(OutputEvent(output={"id": attributes["id"], "text": attributes["text"], "score": 0.5}))


async def _score(name: str) -> float:
    return 0.5


def _payload(number: int) -> bytes:
    record = {
        "id": f"k{number:08d}",
        "score": 0.25,
        "source": "bench",
        "text": "x" * 210,
        "tags": ["a", "b", "c"],
        "when": 1700000000,
    }
    return orjson.dumps(record | {"more": {"one": 1, "two": "2" * 24, "three": [1, 2, 3]}})


class Job:
    """One operator's side: makes frames of one action, and keeps the memory version of each key as the operator
    does."""

    def __init__(
        self,
        action_index: int,
        event_type: str,
        memory_bytes: int = 0,
        *,
        has_memory: bool = False,
        has_checkpoints: bool = False,
        time_limit_ms: int = 0,
    ) -> None:
        self._action, self._event_type = action_index, event_type
        self._handles = itertools.count(1)
        self._keys: Iterator[int] = itertools.cycle(range(KEYS))
        self._payloads = [_payload(number) for number in range(64)]
        self.has_checkpoints = has_checkpoints
        self._time_limit_ms = time_limit_ms
        self._memory_bytes = memory_bytes
        self._has_memory = has_memory or memory_bytes > 0
        self.sent_frames = 0
        self._versions: dict[int, bytes] = {}
        self._key_of: dict[int, int] = {}

    def frame(self) -> bytes:
        frame = session_pb2.OperatorFrame(sequence=1)
        for _ in range(PER_FRAME):
            handle, key = next(self._handles), next(self._keys)
            invoke = frame.invokes.add(
                handle=handle,
                invocation_id=handle.to_bytes(16, "big"),
                key=b'"%d"' % key,
                run_number=handle,
                action=self._action,
                attempt=1,
                event_type=self._event_type,
                payload=self._payloads[handle & 63],
                event_source=bytes(16),
                timestamp=1_700_000_000_000,
                watermark=1_700_000_000_000,
                remaining_ms=self._time_limit_ms,
            )
            if not self._has_memory:
                continue
            self._key_of[handle] = key
            version = self._versions.get(key)
            if version is not None:
                invoke.memory_version = version
            elif self._memory_bytes:
                invoke.memory_form = session_pb2.FULL
                invoke.memory_version = self._versions[key] = os.urandom(8)
                for part in range(20):
                    invoke.memory_path.append(f"part{part}")
                    invoke.memory_value.append(orjson.dumps("m" * (self._memory_bytes // 20)))
        return frame.SerializeToString()

    def on_answer(self, answer: bytes) -> int:
        """Learn the new versions; gives back how many results there were."""
        results = session_pb2.WorkerFrame.FromString(answer).results
        handles = list(results.handle)
        if self._has_memory:
            changed = iter(results.memory_version)
            for handle, count in zip(handles, results.short_term_count, strict=True):
                key = self._key_of.pop(handle)
                if count:
                    self._versions[key] = next(changed)
        return len(handles)


async def _window(
    dispatcher: Dispatcher, scope: Scope, outbox: Outbox, woken: asyncio.Event, job: Job, seconds: float
) -> float:
    """Invocations per CPU second of the worker; a shared machine's clock says less.

    Making the frames and reading the answers is the operator's side and is not counted.
    """
    done, spent = 0, 0.0
    while spent < seconds:
        frames = [job.frame() for _ in range(2)]
        answers: list[bytes] = []
        spoken: list[bytes] = []
        began = time.process_time()
        for frame in frames:
            dispatcher.submit(decode_invocations(session_pb2.OperatorFrame.FromString(frame)), scope, _ignore)
        while scope.open_count or len(outbox):
            await woken.wait()
            woken.clear()
            notes = outbox.drain_notes()
            if notes:
                spoken += [frame.SerializeToString() for frame in encode_notes(notes, MAX_FRAME_BYTES)]
            outcomes = outbox.drain()
            frames_out = [answer.SerializeToString() for answer in encode_outcomes(outcomes, MAX_FRAME_BYTES)]
            if job.has_checkpoints:
                _keep(scope, job, outcomes)
            answers += frames_out
        spent += time.process_time() - began
        answered = sum(job.on_answer(answer) for answer in answers)
        assert answered == len(frames) * PER_FRAME, f"{answered} results for {len(frames) * PER_FRAME} invocations"
        done += answered
    return done / spent


def _keep(scope: Scope, job: Job, outcomes: list[Outcome]) -> None:
    """As a session does with what has left, and at a checkpoint with what the one before it covers."""
    job.sent_frames += 1
    scope.keep_sent(job, job.sent_frames, outcomes)
    if job.sent_frames % FRAMES_PER_CHECKPOINT == 0:
        scope.on_cut(job, job.sent_frames - 8)


def _ignore() -> None:
    pass


CASES: dict[str, Callable[[], Job]] = {
    "trivial (370 B in, 300 B out)": lambda: Job(0, "trivial"),
    "input looked at, number out": lambda: Job(1, "_input_event"),
    "two short-term values read, written": lambda: Job(2, "memory", has_memory=True),
    "the same beside 100 kB of memory": lambda: Job(2, "memory", memory_bytes=100_000),
    "trivial, checkpoints": lambda: Job(0, "trivial", has_checkpoints=True),
    "a time limit, checkpoints": lambda: Job(0, "trivial", has_checkpoints=True, time_limit_ms=60_000),
    "memory, checkpoints": lambda: Job(2, "memory", has_memory=True, has_checkpoints=True),
    "suspends once": lambda: Job(3, "waits"),
    "one durable call": lambda: Job(4, "durable"),
    "def action": lambda: Job(5, "thread"),
}


async def _measure(make: Callable[[], Job], seconds: float, windows: int) -> list[float]:
    dispatcher = Dispatcher()
    job = make()
    scope = dispatcher.open_scope(
        compile_plan(Bench(), "bench"), namespace="bench", operator_uid="bench", keeps_work=job.has_checkpoints
    )
    woken = asyncio.Event()
    outbox = Outbox(woken.set)
    scope.attach(outbox)
    try:
        await _window(dispatcher, scope, outbox, woken, job, seconds / 2)
        return [await _window(dispatcher, scope, outbox, woken, job, seconds) for _ in range(windows)]
    finally:
        await dispatcher.close()


def _yardstick() -> float:
    """Microseconds to decode and encode one input with orjson, at best; 1.0 on the quiet machine that the "
    "goals are for."""
    payload = _payload(1)
    return min(timeit.repeat(lambda: orjson.dumps(orjson.loads(payload)), number=2000, repeat=20)) / 2000 * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.05, help="of one window")
    parser.add_argument("--case", action="append", help="beginning of a case's name; all without it")
    parser.add_argument("--profile", action="store_true", help="one window under cProfile instead")
    parser.add_argument("--uvloop", action="store_true")
    arguments = parser.parse_args()
    # As the server does: what was loaded stays, and short-lived objects are not scanned every 700.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    run: Callable[..., list[float]] = asyncio.run
    if arguments.uvloop:
        import uvloop

        run = uvloop.run
    chosen = {
        name: make
        for name, make in CASES.items()
        if not arguments.case or any(name.startswith(c) for c in arguments.case)
    }
    print(f"{'case':<38}{'invocations/s':>14}{'worst':>10}{'best':>10}{'us each':>9}{'us at best':>12}   orjson us")
    for name, make in chosen.items():
        if arguments.profile:
            with cProfile.Profile() as profile:
                run(_measure(make, arguments.seconds, 1))
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)
            continue
        rates = run(_measure(make, arguments.seconds, WINDOWS))
        middle, best = statistics.median(rates), max(rates)
        row = f"{name:<38}{middle:>14,.0f}{min(rates):>10,.0f}{best:>10,.0f}{1e6 / middle:>9.2f}{1e6 / best:>12.2f}"
        print(f"{row}{_yardstick():>12.2f}", flush=True)


if __name__ == "__main__":
    main()
