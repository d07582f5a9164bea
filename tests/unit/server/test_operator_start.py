from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from flink_actions import Agent, InputEvent, OutputEvent, RunnerContext
from flink_actions.engine.dispatcher import Dispatcher
from flink_actions.engine.invocation import LocalInvocation
from flink_actions.engine.plan import compile_plan
from flink_actions.server.credit import Credit, FrameWindow, Grant
from flink_actions.server.fences import Claim, OperatorIdentity
from flink_actions.server.operator_start import OperatorStart
from flink_actions.server.outgoing import Outgoing

from tests.support.fake_clock import run_with_fake_clock

LINGER_SECONDS = 10.0


class Rig:
    """A real engine under a fake clock; sessions that are never written to a wire."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.cancelled: list[Any] = []
        self.ended: list[OperatorStart] = []

        async def work(event: InputEvent[Any], ctx: RunnerContext) -> None:
            self.begun.append(event.input)
            try:
                await asyncio.sleep(event.input)
            except asyncio.CancelledError:
                self.cancelled.append(event.input)
                raise
            ctx.send_event(OutputEvent(output=event.input))

        self.plan = compile_plan(Agent("agent").add_action("work", ["_input_event"], work), "agent")
        self.dispatcher = Dispatcher()
        self.start = OperatorStart(
            OperatorIdentity("namespace", "job", "operator"),
            Claim(b"start", 1, 0, 127),
            self.dispatcher.open_scope(self.plan, namespace="namespace", operator_uid="operator"),
            dispatcher=self.dispatcher,
            linger_seconds=LINGER_SECONDS,
            on_end=self.ended.append,
        )

    def session(self, *, says_all_resumed: bool = False) -> Outgoing:
        credit = Credit(Grant(1000, 1 << 20), bytes_slack=0)
        outgoing = Outgoing(credit, FrameWindow(2), max_frame_bytes=1 << 20, undelivered_bytes=1 << 20)
        self.start.attach(outgoing, says_all_resumed=says_all_resumed)
        return outgoing

    async def lose_session_with(self, *seconds: int, after: float = 1) -> None:
        """A session begins work of so many seconds, and breaks some seconds later."""
        outgoing = self.session()
        self.send(outgoing, *seconds)
        await asyncio.sleep(after)
        self.start.detach(outgoing)

    def send(self, outgoing: Outgoing, *seconds: int) -> None:
        """What a session does with a frame of Invokes; the handle is the time that the work takes."""
        batch = [
            LocalInvocation(one, 0, bytes([one]) * 16, "_input_event", str(one).encode(), key=str(one).encode())
            for one in seconds
        ]
        outgoing.credit.charge(batch)
        held = [self.start.held.take(one.handle) for one in batch]
        outgoing.outbox.put([one for one in held if one is not None])
        fresh = [one for one, outcome in zip(batch, held, strict=True) if outcome is None]
        self.dispatcher.submit(fresh, self.start.scope, lambda: None)


def answered(outgoing: Outgoing) -> list[int]:
    return [outcome.handle for outcome in outgoing.outbox.drain()]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    run_with_fake_clock(scenario)


def test_work_goes_on_while_there_is_no_session_and_is_answered_when_it_is_asked_for() -> None:
    async def scenario() -> None:
        rig = Rig()
        await rig.lose_session_with(3, 8)
        await asyncio.sleep(4)
        second = rig.session()
        assert answered(second) == []
        rig.send(second, 3, 8)
        assert answered(second) == [3]
        await asyncio.sleep(5)
        assert answered(second) == [8]
        assert rig.begun == [3, 8]

    run(scenario())


def test_an_outcome_that_comes_before_its_invoke_waits_for_it() -> None:
    async def scenario() -> None:
        rig = Rig()
        await rig.lose_session_with(5)
        second = rig.session()
        await asyncio.sleep(6)
        assert answered(second) == []
        rig.send(second, 5)
        await asyncio.sleep(0)
        assert answered(second) == [5]
        assert rig.begun == [5]

    run(scenario())


def test_a_start_that_does_not_come_back_is_ended_after_the_linger_time_and_not_before() -> None:
    async def scenario() -> None:
        rig = Rig()
        await rig.lose_session_with(60)
        await asyncio.sleep(LINGER_SECONDS - 0.1)
        assert rig.cancelled == []
        await asyncio.sleep(0.2)
        assert rig.cancelled == [60]
        assert rig.ended == [rig.start]
        assert rig.dispatcher.open_count == 0

    run(scenario())


def test_a_reconnect_stops_the_lingering() -> None:
    async def scenario() -> None:
        rig = Rig()
        await rig.lose_session_with(60)
        await asyncio.sleep(LINGER_SECONDS - 1)
        second = rig.session()
        rig.send(second, 60)
        await asyncio.sleep(55)
        assert rig.cancelled == []
        assert answered(second) == [60]

    run(scenario())


def test_what_a_returned_start_never_asks_for_is_dropped_and_what_still_runs_of_it_cancelled() -> None:
    async def scenario() -> None:
        rig = Rig()
        await rig.lose_session_with(1, 90, 100, after=2)
        assert len(rig.start.held) == 1
        second = rig.session()
        rig.send(second, 100)
        await asyncio.sleep(LINGER_SECONDS + 1)
        assert len(rig.start.held) == 0
        assert rig.cancelled == [90]
        await asyncio.sleep(100)
        assert answered(second) == [100]
        assert len(rig.start.held) == 0

    run(scenario())


def test_who_says_when_all_is_resumed_is_waited_for_until_then_and_no_longer() -> None:
    async def scenario() -> None:
        rig = Rig()
        await rig.lose_session_with(5, 60, 90, 100)
        second = rig.session(says_all_resumed=True)
        rig.send(second, 60)
        await asyncio.sleep(LINGER_SECONDS * 5)
        # Credit has let the others wait for longer than a lost start is waited for.
        rig.send(second, 5, 90)
        assert answered(second) == [5]
        assert rig.begun == [5, 60, 90, 100]
        assert rig.cancelled == []
        rig.start.on_all_resumed(second)
        await asyncio.sleep(0.1)
        assert rig.cancelled == [100]
        await asyncio.sleep(100)
        assert answered(second) == [60, 90]

    run(scenario())


def test_who_has_not_yet_said_so_when_its_session_breaks_again_has_the_linger_time_once_more() -> None:
    async def scenario() -> None:
        rig = Rig()
        await rig.lose_session_with(60)
        second = rig.session(says_all_resumed=True)
        await asyncio.sleep(LINGER_SECONDS * 2)
        rig.start.detach(second)
        rig.start.on_all_resumed(second)
        await asyncio.sleep(LINGER_SECONDS - 0.1)
        assert rig.cancelled == []
        await asyncio.sleep(0.2)
        assert rig.cancelled == [60]
        assert rig.ended == [rig.start]

    run(scenario())


def test_a_session_that_was_replaced_takes_nothing_with_it_when_it_ends() -> None:
    async def scenario() -> None:
        rig = Rig()
        first = rig.session()
        rig.send(first, 5)
        await asyncio.sleep(1)
        second = rig.session()
        rig.send(second, 5)
        rig.start.detach(first)
        await asyncio.sleep(LINGER_SECONDS * 2)
        assert rig.ended == []
        assert answered(second) == [5]
        assert answered(first) == []

    run(scenario())


def test_many_reconnects_leave_nothing_behind() -> None:
    async def scenario() -> None:
        rig = Rig()
        for number in range(1, 100):
            await rig.lose_session_with(number, after=0.01)
        final = rig.session()
        await asyncio.sleep(200)
        assert len(rig.start.held) == 0
        assert rig.dispatcher.open_count == 0
        assert answered(final) == []

    run(scenario())
