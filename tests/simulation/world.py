"""One seeded world: a job, the workers that it meets, the network between them, and all that goes wrong.

What is real: the server's `Sessions` with all that is below it (handshake, fences, session, credit, held outcomes,
drain, retirement), the dispatcher, durable calls, mirrors, kept work, and every message as bytes. What is a model: the
operator (`job`, `subtask`, `link`, `lanes`, `watermarks`), the supervisor's directory (`workers.Crew`) and the network.
Time is the fake loop's, every choice is the seed's: a seed that fails fails again.

The source has two partitions, whose inputs of one key may come in another order after a restore. Actions read and write
memory, make durable calls whose values never repeat, chain, fail, hang and take their time as their input says. So an
output that stands for another input, another timeline, or another memory shows.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from dataclasses import dataclass

from tests.simulation.checks import Checks
from tests.simulation.faults import Faults
from tests.simulation.job import Job, Snapshot
from tests.simulation.scenario import Broken, Input, Scenario
from tests.simulation.workers import LINGER_SECONDS, Crew, Entry, Worker
from tests.support.fake_clock import run_with_fake_clock

__all__ = ["Broken", "Seen", "World", "simulate"]

QUIET_SECONDS = 900.0
_MOST_LOSSES_AT_REST = 10
# Clocks of TaskManagers differ by so much.
_CLOCK_SKEW_MS = 3000


class World:
    """All of it, from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.scenario = Scenario.of(self.random)
        self.inputs = self.scenario.inputs
        self.checks = Checks(self)
        self.job: Job | None = None
        self.completed = Snapshot()
        self.unreachable_until = 0.0
        self.restores = self.deaths = self.checkpoints = self.handed_back = 0
        self.rivals = self.bounces = self.superseded = self.memory_asked = self.stale_replies = 0
        self.struck: Counter[str] = Counter()
        self._troubles = {name: list(one.troubles) for name, one in self.inputs.items()}
        self._zombies: list[Job] = []
        self._job_ids: dict[str, str] = {}
        self._jobs = 0
        self._is_settling = False
        self._broken: BaseException | None = None

    # ---- what parts of it ask and tell ----

    def latency(self) -> float:
        """Of one message."""
        return self.random.expovariate(1 / self.scenario.mean_latency)

    def break_down(self, error: BaseException) -> None:
        """Something did not hold, wherever it was noticed."""
        self._broken = self._broken or error

    @property
    def is_broken(self) -> bool:
        return self._broken is not None

    @property
    def has_zombies(self) -> bool:
        return bool(self._zombies)

    def next_trouble(self, worker: Worker, one: Input) -> str | None:
        """What an attempt at this input meets now. That is the outside's, and no restore gives it back."""
        left = self._troubles[one.name]
        if not left or not worker.is_alive:
            return None
        return left.pop(0)

    def job_id_of(self, start: str) -> str:
        """Which job a start belongs to."""
        return self._job_ids[start]

    def on_directory(self, entries: list[Entry]) -> None:
        """The directory has changed; each subtask hears of it after a while of its own."""
        for job in [*self._zombies, *([self.job] if self.job is not None else [])]:
            self._tell_directory(job)

    def _tell_directory(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        for subtask in job.subtasks:
            # What it is told is what is true then, so that an older state never overtakes a newer one.
            loop.call_later(self.latency(), lambda subtask=subtask: subtask.on_directory(self.crew.entries))

    def on_checkpoint(self, taken: Snapshot) -> None:
        """A checkpoint has completed."""
        self.completed = taken
        self.checkpoints += 1

    def on_job_failed(self, job: Job) -> None:
        """It says itself that it must end; Flink restores it if it is the one that counts."""
        if job is self.job and not job.is_over:
            self.restore(self.completed)
        elif job in self._zombies:
            self._end_zombie(job)

    # ---- the job's lives ----

    def restore(self, snapshot: Snapshot, *, zombie_seconds: float = 0.0, is_new_job: bool = False) -> None:
        """The job starts anew from a snapshot, perhaps with another parallelism."""
        former = self.job
        assert former is not None
        self.restores += 1
        if zombie_seconds and not former.is_over:
            self._zombies.append(former)
            asyncio.get_running_loop().call_later(zombie_seconds, self._end_zombie, former)
        else:
            former.end()
        self._start_job(snapshot, is_new_job=is_new_job)

    def _start_job(self, snapshot: Snapshot, *, is_new_job: bool = False) -> None:
        self._jobs += is_new_job
        skew = self.random.uniform(-_CLOCK_SKEW_MS, _CLOCK_SKEW_MS)
        clock_ms = 1_000_000 + round(asyncio.get_running_loop().time() * 1000 + skew)
        job = self.job = Job(
            self, snapshot, parallelism=self.random.choice([1, 2, 3]), job_id=f"j{self._jobs}", clock_ms=clock_ms
        )
        for subtask in job.subtasks:
            self._job_ids[subtask.start_id.hex()] = job.job_id
            # Its former self, or a rival, may still be leaving.
            subtask.may_find_namespace_in_use = True
        self._tell_directory(job)

    def _end_zombie(self, job: Job) -> None:
        if job in self._zombies:
            self._zombies.remove(job)
            job.end()

    # ---- what happens ----

    async def run(self) -> None:
        """Faults for a while, then none; then everything has to come to its end."""
        self.crew = Crew(self)
        self.crew.start_all()
        self._start_job(self.completed)
        faults = Faults(self)
        checkpoints = asyncio.Task(self._take_checkpoints(), loop=asyncio.get_running_loop())
        try:
            for _ in range(self.scenario.faults):
                await self._pass(self.random.expovariate(0.5))
                await faults.strike()
            await self._settle()
        finally:
            checkpoints.cancel()
            for job in [*self._zombies, self.job]:
                if job is not None:
                    job.end()
            await self.crew.end()
        if self._broken is not None:
            raise self._broken
        self.checks.check_outputs()

    async def _pass(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self._broken is not None:
            raise self._broken

    async def _take_checkpoints(self) -> None:
        while True:
            await asyncio.sleep(self.random.expovariate(1 / self.scenario.checkpoint_seconds))
            assert self.job is not None
            if not self.job.is_over and not self.job.is_frozen:
                _, complete = self.job.snapshot()
                asyncio.get_running_loop().call_later(self.random.expovariate(5), complete)

    async def _settle(self) -> None:
        waited = 0.0
        while self.job is None or not self.job.is_done:
            await self._pass(1.0)
            waited += 1.0
            if waited > QUIET_SECONDS:
                assert self.job is not None
                raise Broken(f"11: nothing goes wrong any more, and this does not end: {self.job.what_is_left()}")
        await self.crew.settle()
        await self._pass(LINGER_SECONDS * 6)
        for _ in range(_MOST_LOSSES_AT_REST):
            if not self.checks.are_outcomes_held:
                break
            # A slow network loses sessions even now: each may want its outcomes until its linger time is over.
            await self._pass(LINGER_SECONDS * 2)
        self.checks.check_rest()


@dataclass(frozen=True)
class Seen:
    """What a world has been through."""

    checkpoints: int
    restores: int
    deaths: int
    cuts: int
    reloads: int
    drains: int
    savepoints: int
    zombies: int
    rivals: int
    handed_back: int
    payments: int
    repeated: int
    bounces: int
    superseded: int
    memory_asked: int
    stale_replies: int

    @staticmethod
    def of(world: World) -> Seen:
        """Of a world that has come to its end."""
        struck = world.struck
        return Seen(
            world.checkpoints,
            world.restores,
            world.deaths,
            struck["_cut_all"] + struck["_cut_one"] + struck["_half_open"] + struck["_silence"],
            struck["_reload"],
            struck["_drain_worker"],
            struck["_stop_with_savepoint"],
            struck["_leave_zombie"],
            world.rivals,
            world.handed_back,
            world.checks.payments.total(),
            sum(times - 1 for times in world.checks.payments.values()),
            world.bounces,
            world.superseded,
            world.memory_asked,
            world.stale_replies,
        )


def simulate(seed: int) -> Seen:
    """Run the world of a seed; raises what did not hold, with the seed in its text."""
    world = World(seed)
    logging.disable(logging.CRITICAL)
    try:
        run_with_fake_clock(world.run())
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Broken(f"seed {seed}: {error or repr(error)}") from error
    finally:
        logging.disable(logging.NOTSET)
    return Seen.of(world)
