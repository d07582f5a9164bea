"""One start of the whole job: sources, what is between them and the subtasks, and snapshots. A model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flink_actions.wire.v1 import plan_pb2, session_pb2

from tests.simulation.lanes import Lane
from tests.simulation.link import Talk
from tests.simulation.scenario import KEY_GROUPS, LAST_WATERMARK, Broken
from tests.simulation.subtask import Subtask

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Job", "Snapshot"]


@dataclass
class Snapshot:
    """What a checkpoint has of a job, the records between source and subtask included (unaligned)."""

    read: list[int] = field(default_factory=lambda: [0, 0])
    under_way: list[str] = field(default_factory=list)
    lanes: dict[str, Lane] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    epoch: int = 0

    def copy(self) -> Snapshot:
        """For one restore: what that does must not change the snapshot."""
        return Snapshot(
            list(self.read),
            list(self.under_way),
            {key: lane.copy() for key, lane in self.lanes.items()},
            list(self.outputs),
            list(self.order),
            list(self.finished),
            self.epoch,
        )


class Job:
    """From a restore (the first one of nothing) to the end of its TaskManagers."""

    def __init__(self, world: World, restored: Snapshot, *, parallelism: int, job_id: str, clock_ms: int) -> None:
        self.world = world
        self.parallelism = parallelism
        self.job_id = job_id
        self.plans: dict[bytes, plan_pb2.Plan] = {}
        self.is_over = self.is_frozen = False
        state = restored.copy()
        self.epoch = max(clock_ms, state.epoch + 1)
        self.read, self.outputs, self.order, self.finished = state.read, state.outputs, state.order, state.finished
        self._checkpoints = self.last_completed = 0
        bounds = [index * KEY_GROUPS // parallelism for index in range(parallelism + 1)]
        self.subtasks = [Subtask(self, index, bounds[index], bounds[index + 1] - 1) for index in range(parallelism)]
        self._channels = [_Channel() for _ in self.subtasks]
        for lane in state.lanes.values():
            self._subtask_of(lane.key).restore(lane)
        for name in state.under_way:
            self._channels[self._subtask_of(world.inputs[name].key).index].put(name)
        loop = asyncio.get_running_loop()
        parts = [self._read_source(number) for number in range(len(self.read))]
        parts += [self._consume(subtask) for subtask in self.subtasks]
        self._tasks = [asyncio.Task(self.subtasks[0].guard(part), loop=loop) for part in parts]

    def _subtask_of(self, key: str) -> Subtask:
        return next(subtask for subtask in self.subtasks if subtask.owns(key))

    def end(self, *, says_bye: bool = False) -> None:
        """Its TaskManagers are gone."""
        self.is_over = True
        for task in self._tasks:
            task.cancel()
        for subtask in self.subtasks:
            subtask.end(says_bye=says_bye)

    def on_fatal(self, subtask: Subtask) -> None:
        """A subtask was told that it must end, and so the job does."""
        self.world.on_job_failed(self)

    # ---- sources and channels ----

    async def _read_source(self, number: int) -> None:
        world, names = self.world, self.world.scenario.partitions[number]
        while self.read[number] < len(names):
            await asyncio.sleep(world.random.expovariate(3))
            name = names[self.read[number]]
            self.read[number] += 1
            self.order.append(name)
            self._channels[self._subtask_of(world.inputs[name].key).index].put(name)
            if world.random.random() < 0.3:
                self._tell_watermark(number, world.inputs[name].timestamp)
        self._tell_watermark(number, LAST_WATERMARK)

    def _tell_watermark(self, partition: int, timestamp: int) -> None:
        for channel in self._channels:
            channel.put((partition, timestamp))

    async def _consume(self, subtask: Subtask) -> None:
        channel = self._channels[subtask.index]
        while True:
            await channel.filled.wait()
            await asyncio.sleep(self.world.random.expovariate(20))
            if self.is_frozen:
                return
            item = channel.take()
            if isinstance(item, str):
                subtask.on_input(item)
            else:
                subtask.on_watermark(*item)

    # ---- what comes out ----

    def emit(self, name: str, key: str, output: dict[str, Any]) -> None:
        """An output leaves; it counts when a checkpoint covers it."""
        if self.is_frozen:
            raise Broken(f"an output of {name} has left after the snapshot of a stop")
        self.outputs.append({**output, "for": name, "key": key})

    def on_finished(self, name: str) -> None:
        """All that an input has caused has left."""
        self.finished.append(name)

    def read_plan(self, welcome: session_pb2.Welcome) -> plan_pb2.Plan:
        """The plan that a worker serves, which it leaves out if it is known here."""
        if welcome.HasField("plan"):
            self.plans[welcome.plan_digest] = welcome.plan
        return self.plans[welcome.plan_digest]

    # ---- snapshots ----

    def snapshot(self) -> tuple[Snapshot, Callable[[], None]]:
        """Take one, at any boundary of mails; gives back what completes it."""
        lanes = {lane.key: lane.copy() for subtask in self.subtasks for lane in subtask.lanes.values()}
        under_way = [item for channel in self._channels for item in channel.items if isinstance(item, str)]
        epoch = max(subtask.epoch for subtask in self.subtasks)
        taken = Snapshot(
            list(self.read), under_way, lanes, list(self.outputs), list(self.order), list(self.finished), epoch
        )
        self.world.checks.on_snapshot(taken)
        cuts = {talk: talk.applied for talk in self._talks()}
        self._checkpoints += 1
        number = self._checkpoints

        def complete() -> None:
            # A later one that has completed subsumes it.
            if self.is_over or self.is_frozen or number < self.last_completed or self.world.job is not self:
                return
            self.last_completed = number
            self.world.on_checkpoint(taken)
            for talk, cut in cuts.items():
                self._tell_completed(talk, number, cut)

        return taken, complete

    def _talks(self) -> list[Talk]:
        return [link.talk for subtask in self.subtasks for link in subtask.links.values() if link.talk is not None]

    def _tell_completed(self, talk: Talk, number: int, cut: int) -> None:
        """Notifications get lost, and come twice."""
        completed = session_pb2.CheckpointCompleted(checkpoint_id=number, cut=cut)
        for _ in range(self.world.random.choice([0, 1, 1, 2])):
            if talk.is_open:
                talk.stream.send(session_pb2.OperatorFrame(checkpoint_completed=completed))

    def freeze(self) -> Snapshot:
        """Stop with a savepoint: from the snapshot on nothing is applied, sent or emitted."""
        taken, _ = self.snapshot()
        self.is_frozen = True
        for subtask in self.subtasks:
            subtask.is_frozen = True
        return taken

    @property
    def is_done(self) -> bool:
        """All was read, and all that was read has come to its end."""
        names = self.world.scenario.partitions
        return (
            all(read == len(part) for read, part in zip(self.read, names, strict=True))
            and not any(channel.items for channel in self._channels)
            and all(subtask.is_done and subtask.emitted == LAST_WATERMARK for subtask in self.subtasks)
        )

    def what_is_left(self) -> str:
        """For a person."""
        lanes = [lane for subtask in self.subtasks for lane in subtask.lanes.values() if lane.run or lane.waiting]
        marks = [subtask.emitted for subtask in self.subtasks]
        return f"inputs {[lane.names for lane in lanes]}, watermarks {marks}, read {self.read}"

    def check_credit(self) -> None:
        """At rest."""
        for talk in self._talks():
            talk.check_credit()


class _Channel:
    """What is under way to one subtask: names of inputs, and watermarks with their partitions."""

    def __init__(self) -> None:
        self.items: list[str | tuple[int, int]] = []
        self.filled = asyncio.Event()

    def put(self, item: str | tuple[int, int]) -> None:
        self.items.append(item)
        self.filled.set()

    def take(self) -> str | tuple[int, int]:
        """The oldest."""
        item = self.items.pop(0)
        if not self.items:
            self.filled.clear()
        return item
