"""The directory at the server's address: tells jobs which workers there are, and tells them at once when that changes.

Every watcher gets the whole state and then the whole state again after each change. A slow watcher skips states that
were replaced before it could read them; nothing is lost by that, because a dead incarnation stays listed for a while.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Container, Sequence
from dataclasses import dataclass

import grpc.aio

from flink_actions.engine.failures import shortened
from flink_actions.server.black_box import NO_SUSPECTS, Suspects
from flink_actions.server.control import AgentOffer, KeptFor
from flink_actions.server.protocol import PROTOCOL_MAX, PROTOCOL_MIN, SERVER_VERSION
from flink_actions.wire.v1 import directory_pb2, directory_pb2_grpc, plan_pb2

__all__ = ["Directory", "DirectoryService", "Generation", "WorkerStatus"]


@dataclass(frozen=True)
class Generation:
    """The workers that were started from one version of the user's code."""

    id: bytes
    code_digest: bytes
    agents: tuple[AgentOffer, ...]

    def __str__(self) -> str:
        return self.id.hex()[:8]

    def is_of(self, code_digest: bytes, agents: Sequence[AgentOffer]) -> bool:
        """Whether a worker that loaded this belongs here: the same code and the same plans."""
        ours = {offer.agent: offer.plan_digest for offer in self.agents}
        theirs = {offer.agent: offer.plan_digest for offer in agents}
        return self.code_digest == code_digest and ours == theirs


@dataclass(frozen=True)
class WorkerStatus:
    """One incarnation of one worker, as the directory shows it."""

    worker: str
    incarnation: bytes
    state: directory_pb2.WorkerEntry.State
    generation: bytes = b""
    address: str = ""
    exit_reason: str = ""
    suspects: Suspects = NO_SUSPECTS
    is_quarantine: bool = False
    kept: tuple[KeptFor, ...] = ()

    def to_wire(self) -> directory_pb2.WorkerEntry:
        """As jobs see it."""
        return directory_pb2.WorkerEntry(
            worker=self.worker,
            incarnation=self.incarnation,
            generation=self.generation,
            address=self.address,
            state=self.state,
            role=directory_pb2.WorkerEntry.QUARANTINE if self.is_quarantine else directory_pb2.WorkerEntry.REGULAR,
            exit_reason=self.exit_reason,
            suspects=self.suspects.ids,
            suspects_known=self.suspects.are_known,
            kept=[directory_pb2.KeptWork(namespace=one.namespace, operator_uid=one.operator_uid) for one in self.kept],
        )


class Directory:
    """The current state, and who wants to hear of the next one. Used on the supervisor's event loop only."""

    def __init__(self) -> None:
        self._supervisor_id = os.urandom(16)
        self._changed = asyncio.Event()
        self._is_closed = False
        self.state = self._build((), (), "")
        self.generations: tuple[Generation, ...] = ()

    def publish(
        self,
        generations: Sequence[Generation],
        workers: Sequence[WorkerStatus],
        *,
        draining: Container[bytes] = (),
        load_error: str = "",
    ) -> None:
        """Make this the state and wake every watcher. `draining` holds ids of generations."""
        self.generations = tuple(generations)
        self.state = self._build(generations, workers, load_error, draining, self.state.revision + 1)
        self._wake()

    def close(self) -> None:
        """End every watch: the supervisor is about to leave."""
        self._is_closed = True
        self._wake()

    async def watch(self) -> AsyncIterator[directory_pb2.DirectoryState]:
        """The state now, and again after every change, until `close`."""
        while not self._is_closed:
            changed, state = self._changed, self.state
            yield state
            # The event is replaced with the state, so a change during the yield has set this one already.
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _build(
        self,
        generations: Sequence[Generation],
        workers: Sequence[WorkerStatus],
        load_error: str,
        draining: Container[bytes] = (),
        revision: int = 0,
    ) -> directory_pb2.DirectoryState:
        return directory_pb2.DirectoryState(
            supervisor_id=self._supervisor_id,
            server_version=SERVER_VERSION,
            protocol_min=PROTOCOL_MIN,
            protocol_max=PROTOCOL_MAX,
            revision=revision,
            generations=[_generation_to_wire(one, one.id in draining) for one in generations],
            workers=[worker.to_wire() for worker in workers],
            # The author's words, of any length: jobs watch this message, and the server lives by it.
            reload_error=shortened(load_error),
        )


def _generation_to_wire(generation: Generation, is_draining: bool) -> directory_pb2.Generation:
    return directory_pb2.Generation(
        id=generation.id,
        code_digest=generation.code_digest,
        agents=[
            directory_pb2.AgentDigest(agent=offer.agent, plan_digest=offer.plan_digest) for offer in generation.agents
        ],
        is_draining=is_draining,
    )


class DirectoryService(directory_pb2_grpc.DirectoryServicer):
    """`Directory` as the rpc that jobs call. Args: the directory, and who hears that a job has suspects."""

    def __init__(self, directory: Directory, on_quarantine_wanted: Callable[[], None]) -> None:
        self._directory = directory
        self._on_quarantine_wanted = on_quarantine_wanted

    async def Watch(
        self, request: directory_pb2.WatchRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[directory_pb2.DirectoryState]:
        if request.protocol_max < PROTOCOL_MIN or request.protocol_min > PROTOCOL_MAX:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"the job speaks protocol {request.protocol_min} to {request.protocol_max}, this server "
                f"{PROTOCOL_MIN} to {PROTOCOL_MAX}: upgrade the older of the two",
            )
        async for state in self._directory.watch():
            yield state

    async def Quarantine(
        self, request: directory_pb2.QuarantineRequest, context: grpc.aio.ServicerContext
    ) -> directory_pb2.QuarantineResponse:
        self._on_quarantine_wanted()
        return directory_pb2.QuarantineResponse()

    async def Describe(
        self, request: directory_pb2.DescribeRequest, context: grpc.aio.ServicerContext
    ) -> directory_pb2.DescribeResponse:
        response = directory_pb2.DescribeResponse(server_version=SERVER_VERSION)
        if self._directory.generations:
            newest = self._directory.generations[-1]
            response.generation = newest.id
            response.plans.extend(plan_pb2.Plan.FromString(offer.plan) for offer in newest.agents)
        return response
