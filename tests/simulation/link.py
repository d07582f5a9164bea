"""What a subtask has with one worker: streams that come and go, and what is sent on them. A model of the operator's
fleet, with its rules: a lost stream is no lost worker, and is tried again until somebody says that the worker is dead
or its linger time and a grace are over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flink_actions.wire.v1 import plan_pb2, session_pb2

from tests.simulation.network import Stream
from tests.simulation.scenario import Broken
from tests.simulation.workers import LINGER_SECONDS, Worker

if TYPE_CHECKING:
    from tests.simulation.subtask import Subtask

__all__ = ["Link", "Talk"]

# As the operator has it: how much longer than the worker's own linger time a lost worker is waited for.
GRACE_SECONDS = 2.0
_CONNECT_SECONDS = 5.0
_PING_SECONDS = LINGER_SECONDS / 3


class Talk:
    """One session, from Welcome to its end: window and credit as the operator keeps them."""

    def __init__(self, stream: Stream, welcome: session_pb2.Welcome, plan: plan_pb2.Plan) -> None:
        self.stream = stream
        self.plan = plan
        self.worker = welcome.worker
        self.generation = welcome.generation
        self.action_index = {action.name: index for index, action in enumerate(plan.actions)}
        self.is_open = True
        self.drains: int | None = None
        # Number of the last frame that was applied.
        self.applied = 0
        self.sequence = self.acknowledged = 0
        self._window = welcome.frame_window
        self._first_credit = session_pb2.Credit()
        self._first_credit.CopyFrom(welcome.credit)
        self._credit = session_pb2.Credit()
        self._credit.CopyFrom(welcome.credit)
        self._used = self._used_bytes = 0
        self.has_said_all_resumed = False
        # Handles of Invokes that are open for the operator.
        self.open: dict[int, None] = {}

    def on_frame(self, frame: session_pb2.WorkerFrame) -> None:
        """Take what a frame says of credit and window."""
        self.acknowledged = max(self.acknowledged, frame.ack)
        if frame.HasField("credit"):
            self._credit.invocations = max(self._credit.invocations, frame.credit.invocations)
            self._credit.bytes = max(self._credit.bytes, frame.credit.bytes)
        if frame.HasField("drain"):
            self.drains = frame.drain.reason

    @property
    def has_window(self) -> bool:
        return self.sequence - self.acknowledged < self._window

    def may_send(self, size: int, pending: int, pending_bytes: int) -> bool:
        """Whether one more Invoke may go, with those that are in the frame already."""
        if not self.open and not pending:
            return True
        return (
            self._used + pending < self._credit.invocations
            and self._used_bytes + pending_bytes + size <= self._credit.bytes
        )

    def send(self, invokes: list[session_pb2.Invoke]) -> None:
        """One frame with Invokes."""
        self.sequence += 1
        for invoke in invokes:
            self._used += 1
            self._used_bytes += invoke.ByteSize()
            self.open[invoke.handle] = None
        self.stream.send(session_pb2.OperatorFrame(sequence=self.sequence, invokes=invokes))

    def say_all_resumed(self) -> None:
        """What was open in an earlier session has been sent again."""
        self.has_said_all_resumed = True
        self.stream.send(session_pb2.OperatorFrame(all_resumed=True))

    def check_credit(self) -> None:
        """Nothing is open: all that was taken was given back."""
        for name, used in (("invocations", self._used), ("bytes", self._used_bytes)):
            granted, first = getattr(self._credit, name), getattr(self._first_credit, name)
            if granted != first + used:
                raise Broken(f"granted {granted} {name}, used {used}, and {first} were granted in the beginning")


class Link:
    """Owns the task that connects, again and again, until the worker is given up or the subtask ends."""

    def __init__(self, subtask: Subtask, worker: Worker) -> None:
        self._subtask = subtask
        self._world = subtask.world
        self.worker = worker
        self.talk: Talk | None = None
        self.stream: Stream | None = None
        # Broken, and its worker may still run what it was sent.
        self.interrupted: Talk | None = None
        self._give_up_timer: asyncio.TimerHandle | None = None
        self._is_over = False
        # It wants no session any more: Bye, or refused.
        self._is_unwanted = False
        self._task = asyncio.Task(subtask.guard(self._run()), loop=asyncio.get_running_loop())

    def end(self) -> None:
        """No more of it."""
        self._is_over = True
        if self._give_up_timer is not None:
            self._give_up_timer.cancel()
        if self.talk is not None:
            self.talk.is_open = False
        self.talk = None
        if self.stream is not None:
            self.stream.cut()
        self._task.cancel()

    def on_dead(self) -> None:
        """Its supervisor says so: what it was at goes elsewhere at once."""
        lost = [talk for talk in (self.talk, self.interrupted) if talk is not None]
        self.interrupted = None
        self.end()
        for talk in lost:
            self._subtask.on_given_up(talk)

    async def _run(self) -> None:
        random, loop = self._world.random, asyncio.get_running_loop()
        while not self._is_over:
            await asyncio.sleep(random.expovariate(5))
            is_reachable = loop.time() >= max(self.worker.unreachable_until, self._world.unreachable_until)
            if not self._is_unwanted and self.worker.is_alive and is_reachable:
                await self._converse()

    async def _converse(self) -> None:
        stream = self.stream = Stream(self._world, self.worker)
        hello = self._subtask.hello()
        stream.send(session_pb2.OperatorFrame(hello=hello))
        try:
            first = await self._next_frame(stream, _CONNECT_SECONDS)
            if first is None:
                return
            if first.HasField("reject"):
                self._on_reject(first.reject)
                return
            self._on_welcome(stream, first.welcome)
            await self._listen(stream)
        finally:
            stream.cut_silently() if self._world.random.random() < 0.3 else stream.cut()
            self.stream = None
            self._on_lost()

    async def _next_frame(self, stream: Stream, seconds: float) -> session_pb2.WorkerFrame | None:
        try:
            data = await asyncio.wait_for(stream.to_operator.get(), seconds)
        except asyncio.TimeoutError:
            return None
        return None if data is None else session_pb2.WorkerFrame.FromString(data)

    def _on_reject(self, reject: session_pb2.Reject) -> None:
        if reject.reason == session_pb2.Reject.STALE_EPOCH:
            self._subtask.on_stale(reject.known_epoch)
        elif reject.reason == session_pb2.Reject.DRAINING:
            self._is_unwanted = True
            self._subtask.holders.on_given_up(self.worker)
        elif reject.reason != session_pb2.Reject.NAMESPACE_IN_USE or not self._subtask.may_find_namespace_in_use:
            raise Broken(f"the job was refused: {reject.message}")

    def _on_welcome(self, stream: Stream, welcome: session_pb2.Welcome) -> None:
        if self._give_up_timer is not None:
            self._give_up_timer.cancel()
        talk = self.talk = Talk(stream, welcome, self._subtask.job.read_plan(welcome))
        interrupted, self.interrupted = self.interrupted, None
        self._subtask.on_welcome(talk, interrupted, welcome)

    async def _listen(self, stream: Stream) -> None:
        random, loop = self._world.random, asyncio.get_running_loop()
        talk, heard_at, pings = self.talk, loop.time(), 0
        pinger = asyncio.Task(self._ping(stream), loop=loop)
        try:
            while talk is not None and not self._is_over:
                try:
                    data = await asyncio.wait_for(stream.to_operator.get(), _PING_SECONDS)
                except asyncio.TimeoutError:
                    pings += 1
                    if loop.time() - heard_at > self._world.scenario.ping_timeout:
                        return
                    continue
                heard_at = loop.time()
                if data is None:
                    return
                if random.random() < 0.2:
                    # The mailbox is busy.
                    await asyncio.sleep(random.expovariate(10))
                frame = session_pb2.WorkerFrame.FromString(data)
                if frame.HasField("bye"):
                    self._subtask.on_frame(talk, frame)
                    self._on_bye(talk, frame.bye)
                    return
                if talk.is_open:
                    self._subtask.on_frame(talk, frame)
        finally:
            pinger.cancel()

    async def _ping(self, stream: Stream) -> None:
        while True:
            await asyncio.sleep(_PING_SECONDS)
            stream.send(session_pb2.OperatorFrame(ping=session_pb2.Ping(id=1)))

    def _on_bye(self, talk: Talk, bye: session_pb2.Bye) -> None:
        if bye.reason == session_pb2.Bye.PROTOCOL_ERROR:
            raise Broken(f"the worker refuses what the operator sent: {bye.message}")
        self.talk = None
        talk.is_open = False
        if bye.reason == session_pb2.Bye.FENCED:
            self._subtask.on_fenced()
        elif bye.reason == session_pb2.Bye.FINISHED:
            self._is_unwanted = True
            self._subtask.on_given_up(talk)
        else:
            # Another session of this start has taken its place, which only a session that was given up can meet.
            self._subtask.on_given_up(talk)

    def _on_lost(self) -> None:
        talk, self.talk = self.talk, None
        if talk is None or self._is_over:
            return
        talk.is_open = False
        self.interrupted = talk
        self._subtask.on_interrupted(talk)
        self._give_up_timer = asyncio.get_running_loop().call_later(LINGER_SECONDS + GRACE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        talk, self.interrupted = self.interrupted, None
        if talk is not None:
            self._subtask.on_given_up(talk)


def handles_of(cancelled: Iterable[int]) -> session_pb2.OperatorFrame:
    """A Cancel because the operator has waited long enough."""
    return session_pb2.OperatorFrame(
        cancels=[session_pb2.Cancel(handles=list(cancelled), reason=session_pb2.Cancel.TIMEOUT)]
    )
