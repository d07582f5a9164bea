"""Worker processes and what the directory says of them. Real: all of a worker below its socket."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flink_actions.engine.dispatcher import EngineSettings
from flink_actions.engine.plan import compile_plan
from flink_actions.server.config import ServerSettings
from flink_actions.server.loop_lag import LoopLag
from flink_actions.server.sessions import Offer, Sessions, WorkerIdentity
from flink_actions.wire.codec import encode_plan

from tests.simulation.code import Code
from tests.simulation.dropped import DroppedWork, WatchedDispatcher
from tests.simulation.network import Stream

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["LINGER_SECONDS", "Crew", "Entry", "Role", "Worker"]

LINGER_SECONDS = 3.0
_DRAIN_SECONDS = 2.0
_RETIRE_SECONDS = 6.0


class Worker:
    """One incarnation of a worker process."""

    def __init__(self, world: World, name: str, number: int, generation: int) -> None:
        self.world = world
        self.name = name
        self.number = number
        self.generation = generation
        self.incarnation = number.to_bytes(16, "big")
        self.is_alive = True
        self.streams: list[Stream] = []
        # Idempotency keys of calls that were made here and whose value was given to the engine.
        self.completed: set[str] = set()
        # Nobody reaches it before then.
        self.unreachable_until = 0.0
        scenario = world.scenario
        settings = ServerSettings(
            linger_seconds=LINGER_SECONDS,
            frame_window=scenario.frame_window,
            credit_invocations=scenario.credit_invocations,
            credit_bytes=scenario.credit_bytes,
        )
        plan = compile_plan(Code(world, self).agent(generation), "agent")
        engine = EngineSettings(kept_bytes=scenario.kept_bytes, mirror_bytes=scenario.mirror_bytes)
        self.dropped = DroppedWork()
        self.dispatcher = WatchedDispatcher(
            self.dropped, engine, random_bytes=world.random.randbytes, clock=asyncio.get_running_loop().time
        )
        self._lag = LoopLag()
        self._lag.start()
        self.generation_id = generation.to_bytes(16, "big")
        identity = WorkerIdentity(name, self.incarnation, self.generation_id)
        self.sessions = Sessions(
            identity, {"agent": Offer(plan, encode_plan(plan))}, self.dispatcher, settings, self._lag
        )
        self._silence = asyncio.Task(self.sessions.check_silence(), loop=asyncio.get_running_loop())

    async def kill(self) -> None:
        """As kill -9: nothing that its code does from now on counts."""
        if self.is_alive:
            self._exit()
            await self.dispatcher.close()

    def _exit(self) -> None:
        self.is_alive = False
        self._silence.cancel()
        self._lag.stop()
        for stream in list(self.streams):
            stream.cut()

    async def leave(self, *, for_reload: bool) -> None:
        """As a worker that is told to: after its runs if newer code serves elsewhere, else within the drain's limit."""
        if for_reload:
            await self.sessions.retire(_RETIRE_SECONDS)
        if self.is_alive:
            await self.sessions.drain(0.0 if for_reload else _DRAIN_SECONDS)
            # What was written arrives: streams that their servers have ended are not cut.
            await asyncio.sleep(0)
            self._exit()


class Role(enum.Enum):
    """What the directory says of a worker."""

    SERVING = "takes all"
    RETIRING = "goes on with runs of its generation"
    DRAINING = "takes nothing"


@dataclass(frozen=True)
class Entry:
    """A line of the directory."""

    worker: Worker
    role: Role


class Crew:
    """All workers, and the directory that tells subtasks of them, late."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._roles: dict[Worker, Role] = {}
        self._incarnations = 0
        self._leaving: list[asyncio.Task[None]] = []
        self.generation = 0

    def start_all(self) -> None:
        """The first workers."""
        for number in range(self._world.scenario.workers):
            self._start(f"w{number}")

    @property
    def entries(self) -> list[Entry]:
        """The directory as it is."""
        return [Entry(worker, role) for worker, role in self._roles.items()]

    @property
    def alive(self) -> list[Worker]:
        return list(self._roles)

    def _start(self, name: str) -> None:
        self._incarnations += 1
        self._roles[Worker(self._world, name, self._incarnations, self.generation)] = Role.SERVING
        self._tell()

    def _tell(self) -> None:
        self._world.on_directory(self.entries)

    async def kill(self, worker: Worker) -> None:
        """It dies, its supervisor says so, and starts another in its place."""
        role = self._roles.pop(worker, None)
        await worker.kill()
        if role is None:
            return
        self._tell()
        if role is Role.SERVING:
            await asyncio.sleep(self._world.random.expovariate(3))
            self._start(worker.name)

    def drain(self, worker: Worker) -> None:
        """One is told to leave, as for a rolling restart."""
        if self._roles.get(worker) is Role.SERVING:
            self._start(worker.name + "'")
            self._let_go(worker, Role.DRAINING)

    def reload(self) -> None:
        """Newer code: its workers start, then the older ones are told to leave."""
        older = [worker for worker, role in self._roles.items() if role is Role.SERVING]
        self.generation += 1
        for worker in older:
            self._start(worker.name)
        for worker in older:
            self._let_go(worker, Role.RETIRING)

    def _let_go(self, worker: Worker, role: Role) -> None:
        self._roles[worker] = role
        self._tell()
        self._leaving.append(asyncio.Task(self._leave(worker, role), loop=asyncio.get_running_loop()))

    async def _leave(self, worker: Worker, role: Role) -> None:
        await worker.leave(for_reload=role is Role.RETIRING)
        if self._roles.pop(worker, None) is not None:
            self._tell()

    async def settle(self) -> None:
        """Who is on the way out leaves."""
        await asyncio.gather(*self._leaving)

    async def end(self) -> None:
        """The simulation is over."""
        for leaving in self._leaving:
            leaving.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        for worker in self.alive:
            await worker.kill()
