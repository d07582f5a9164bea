"""All that goes wrong, by the seed's choice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from flink_actions.wire.v1 import session_pb2

from tests.simulation import lanes
from tests.simulation.network import Stream
from tests.simulation.scenario import KEY_GROUPS, Broken
from tests.simulation.workers import LINGER_SECONDS, Worker

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Faults"]


class Faults:
    """Each method is one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.random
        kinds: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (3, self._cut_all),
            (2, self._cut_one),
            (2, self._half_open),
            (1, self._silence),
            (2, self._make_unreachable),
            (3, self._kill_worker),
            (2, self._drain_worker),
            (2, self._reload),
            (3, self._kill_job),
            (2, self._leave_zombie),
            (2, self._kill_both),
            (2, self._stop_with_savepoint),
            (1, self._meet_rival),
            (1, self._meet_intruder),
        ]
        self._kinds = [kind for weight, kind in kinds for _ in range(weight)]

    async def strike(self) -> None:
        """One of them."""
        kind = self._random.choice(self._kinds)
        self._world.struck[kind.__name__] += 1
        await kind()

    # ---- the network ----

    def _streams(self) -> list[Stream]:
        return [stream for worker in self._world.crew.alive for stream in worker.streams]

    async def _cut_all(self) -> None:
        for stream in self._streams():
            stream.cut()

    async def _cut_one(self) -> None:
        if streams := self._streams():
            self._random.choice(streams).cut()

    async def _half_open(self) -> None:
        """The operator notices, the worker does not."""
        if streams := self._streams():
            self._random.choice(streams).cut_silently()

    async def _silence(self) -> None:
        """Nobody notices but by silence."""
        if streams := self._streams():
            self._random.choice(streams).freeze()

    async def _make_unreachable(self) -> None:
        """For a shorter or a longer time than a worker waits for its job."""
        until = asyncio.get_running_loop().time() + self._random.uniform(0, 4 * LINGER_SECONDS)
        worker = self._worker()
        if worker is None or self._random.random() < 0.3:
            self._world.unreachable_until = until
            await self._cut_all()
        else:
            worker.unreachable_until = until
            for stream in list(worker.streams):
                stream.cut()

    # ---- workers ----

    def _worker(self) -> Worker | None:
        return self._random.choice(self._world.crew.alive or [None])

    async def _kill_worker(self) -> None:
        worker = self._worker()
        if worker is not None:
            self._world.deaths += 1
            await self._world.crew.kill(worker)

    async def _drain_worker(self) -> None:
        worker = self._worker()
        if worker is not None:
            self._world.crew.drain(worker)

    async def _reload(self) -> None:
        self._world.crew.reload()

    # ---- the job ----

    async def _kill_job(self) -> None:
        self._world.restore(self._world.completed)

    async def _leave_zombie(self) -> None:
        """The job is restored, and its former self goes on for a while."""
        self._world.restore(self._world.completed, zombie_seconds=self._random.uniform(0.5, 10))

    async def _kill_both(self) -> None:
        for worker in list(self._world.crew.alive):
            self._world.deaths += 1
            await self._world.crew.kill(worker)
        await self._kill_job()

    async def _stop_with_savepoint(self) -> None:
        """Stopped, and submitted again: perhaps under another job id, perhaps with another parallelism."""
        world = self._world
        assert world.job is not None
        savepoint = world.job.freeze()
        await asyncio.sleep(self._random.expovariate(2))
        if world.job.is_over or not world.job.is_frozen:
            return
        world.job.end(says_bye=self._random.random() < 0.7)
        world.completed = savepoint
        await asyncio.sleep(self._random.expovariate(2))
        world.restore(savepoint, is_new_job=self._random.random() < 0.5)

    # ---- strangers ----

    async def _meet_rival(self) -> None:
        """Another job under the same namespace and operator uid: refused while this one is live there (15)."""
        world, worker = self._world, self._worker()
        if worker is None or world.has_zombies:
            return
        stream = Stream(world, worker)
        is_live = len(worker.sessions._live) > 0
        stream.send(session_pb2.OperatorFrame(hello=_hello(job_id="rival", epoch=1 << 50)))
        answer = await self._answer(stream)
        if answer is not None and answer.HasField("welcome"):
            world.rivals += 1
            live = [session.start.operator.job_id for session in worker.sessions._live.values()]
            if is_live and len(set(live)) > 1:
                raise Broken(f"15: jobs {live} are live under one namespace")
        stream.cut()

    async def _meet_intruder(self) -> None:
        """Somebody who does not speak the protocol, or speaks it wrongly: never a harm to others."""
        world, worker = self._world, self._worker()
        if worker is None:
            return
        stream = Stream(world, worker)
        if self._random.random() < 0.5:
            stream.send(session_pb2.OperatorFrame(hello=_hello(namespace="elsewhere")))
        for _ in range(self._random.randint(1, 5)):
            stream.send_raw(self._nonsense())
        while (answer := await self._answer(stream)) is not None:
            if answer.HasField("bye") and answer.bye.reason != session_pb2.Bye.PROTOCOL_ERROR:
                break
        stream.cut()

    def _nonsense(self) -> bytes:
        random = self._random
        frames = [
            session_pb2.OperatorFrame(hello=_hello()),
            session_pb2.OperatorFrame(sequence=7, invokes=[session_pb2.Invoke(handle=1)]),
            session_pb2.OperatorFrame(sequence=1, invokes=[session_pb2.Invoke(handle=1, action=99, key=b"\xff")]),
            session_pb2.OperatorFrame(sequence=1, invokes=[session_pb2.Invoke(handle=h) for h in range(2000)]),
            session_pb2.OperatorFrame(call_records=[session_pb2.CallRecord(handle=5, is_last=True)]),
            session_pb2.OperatorFrame(checkpoint_completed=session_pb2.CheckpointCompleted(cut=(1 << 64) - 1)),
            session_pb2.OperatorFrame(received=1 << 63, bye=session_pb2.Bye()),
        ]
        data = random.choice(frames).SerializeToString()
        return random.choice([data, random.randbytes(random.randrange(40)), data[: random.randrange(len(data) + 1)]])

    async def _answer(self, stream: Stream) -> session_pb2.WorkerFrame | None:
        try:
            data = await asyncio.wait_for(stream.to_operator.get(), 3.0)
        except asyncio.TimeoutError:
            return None
        return None if data is None else session_pb2.WorkerFrame.FromString(data)


def _hello(namespace: str = lanes.NAMESPACE, job_id: str = "stranger", epoch: int = 1) -> session_pb2.Hello:
    return session_pb2.Hello(
        protocol_min=1,
        protocol_max=1,
        namespace=namespace,
        job_id=job_id,
        operator_uid=lanes.OPERATOR,
        agent="agent",
        key_group_last=KEY_GROUPS - 1,
        start_id=b"s" * 16,
        epoch=epoch,
    )
