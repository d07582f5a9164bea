"""Streams that delay, break, and break for one side only. Whole frames, in order, as gRPC has them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc.aio
from flink_actions.wire.v1 import session_pb2

from tests.simulation.scenario import Broken

if TYPE_CHECKING:
    from tests.simulation.workers import Worker
    from tests.simulation.world import World

__all__ = ["Stream"]


class Stream:
    """One rpc to a worker. `to_operator` ends with None; what was under way when it broke never arrives."""

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self.worker = worker
        self._to_worker: asyncio.Queue[Any] = asyncio.Queue()
        self.to_operator: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._due = [0.0, 0.0]
        # For the operator's side; the worker's may not know yet.
        self.is_over = False
        self._is_broken = False
        self._worker_knows = False
        self._hello: session_pb2.Hello | None = None
        # Not create_task: the loop's task factory is for the tasks of actions.
        self._server = asyncio.Task(worker.sessions.serve(None, self), loop=asyncio.get_running_loop())
        self._server.add_done_callback(self._on_served)
        worker.streams.append(self)

    def _deliver(self, side: int, queue: asyncio.Queue[Any], item: Any) -> None:
        loop = asyncio.get_running_loop()
        due = max(self._due[side], loop.time() + self._world.latency())
        self._due[side] = due + 1e-6

        def arrive() -> None:
            if not self._is_broken:
                queue.put_nowait(item)

        loop.call_at(due, arrive)

    # the worker's side, as gRPC has it

    async def read(self) -> Any:
        return await self._to_worker.get()

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        if self._worker_knows:
            raise grpc.aio.UsageError("RPC already finished.")
        if self._hello is not None and session_pb2.WorkerFrame.FromString(data).HasField("welcome"):
            self._world.checks.on_welcome(self.worker, self._hello)
            self._hello = None
        self._deliver(1, self.to_operator, data)

    def peer(self) -> str:
        return "simulated"

    # the operator's side

    def send(self, frame: session_pb2.OperatorFrame) -> None:
        if frame.HasField("hello"):
            self._hello = frame.hello
        self.send_raw(frame.SerializeToString())

    def send_raw(self, data: bytes) -> None:
        if not self.is_over:
            self._deliver(0, self._to_worker, data)

    def cut(self) -> None:
        """The connection breaks, and both sides notice."""
        self.cut_silently()
        self._worker_knows = True
        self._server.cancel()

    def cut_silently(self) -> None:
        """The connection breaks, and the worker does not notice: it hears nothing any more."""
        self._is_broken = True
        if not self.is_over:
            self.is_over = True
            self.to_operator.put_nowait(None)

    def freeze(self) -> None:
        """Nothing arrives any more, and neither side is told."""
        self._is_broken = True

    def _on_served(self, task: asyncio.Task[None]) -> None:
        self.worker.streams.remove(self)
        if not task.cancelled() and task.exception() is not None:
            self._world.break_down(Broken(f"the server failed: {task.exception()!r}"))
        if not self.is_over:
            self.is_over = True
            self._deliver(1, self.to_operator, None)
