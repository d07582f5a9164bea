"""All sessions of one worker: the rpc, the handshake, and who is attached to what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import grpc.aio

from flink_actions.engine.dispatcher import Dispatcher
from flink_actions.engine.invocation import CancelReason
from flink_actions.engine.pickled import PickleConsent
from flink_actions.engine.plan import Plan
from flink_actions.server import leaving
from flink_actions.server.config import ServerSettings
from flink_actions.server.control import KeptFor
from flink_actions.server.credit import Grant
from flink_actions.server.fences import Claim, EpochFences, OperatorIdentity
from flink_actions.server.handshake import Accepted, Refused, examine, read_first_frame
from flink_actions.server.loop_lag import LoopLag
from flink_actions.server.operator_start import OperatorStart
from flink_actions.server.protocol import ALL_RESUMED, SERVER_VERSION
from flink_actions.server.session import Ending, Session, SessionLimits
from flink_actions.server.turns import Turns, TurnStep
from flink_actions.wire.holdings import encode_holdings
from flink_actions.wire.v1 import plan_pb2, session_pb2

__all__ = ["Offer", "Sessions", "WorkerIdentity"]

_log = logging.getLogger(__name__)

# A peer that connects and says nothing is not waited for.
_HELLO_SECONDS = 10.0
_CHECK_INTERVAL_SECONDS = 1.0
# A job that says nothing for this share of the linger time, and does not answer when asked, is not waited for: it says
# something every third of it.
_SILENT_SHARE = 2 / 3
# A worker that retires looks this often whether there is still something to do, ...
_RETIRED_CHECK_SECONDS = 0.1
# ... and leaves when there was nothing for so long: between two actions of a run there is nothing for a moment.
_QUIET_SECONDS = 1.0
# A job that claims to take less than this is not believed: no Result would fit.
_SMALLEST_MAX_FRAME_BYTES = 64 * 1024

_StartKey: TypeAlias = tuple[OperatorIdentity, bytes]


@dataclass(frozen=True)
class WorkerIdentity:
    """What Welcome says of this worker."""

    worker: str
    incarnation: bytes
    generation: bytes
    is_quarantine: bool = False


@dataclass(frozen=True)
class Offer:
    """An agent as this worker has it: to run, and to send."""

    plan: Plan
    wire: plan_pb2.Plan


class Sessions:
    """Serves the rpc `Session`. Everything happens on the event loop of the worker."""

    def __init__(
        self,
        identity: WorkerIdentity,
        offers: Mapping[str, Offer],
        dispatcher: Dispatcher,
        settings: ServerSettings,
        lag: LoopLag,
    ) -> None:
        self._identity = identity
        self._offers = offers
        self._plan_digests = {agent: offer.wire.digest for agent, offer in offers.items()}
        self._dispatcher = dispatcher
        self._settings = settings
        self._lag = lag
        self._fences = EpochFences()
        self._starts: dict[_StartKey, OperatorStart] = {}
        self._live: dict[_StartKey, Session] = {}
        # Of the quarantine worker alone.
        self._turns = (
            Turns(asyncio.get_running_loop().time, settings.quarantine_turn_seconds) if identity.is_quarantine else None
        )
        # Handles of its turn that was cut short, to be given back when their code has ended.
        self._cut_short: list[int] = []
        self._is_draining = False
        self._retires_at: float | None = None
        self._is_archive = False
        self._all_gone = asyncio.Event()
        self._all_gone.set()

    def __len__(self) -> int:
        return len(self._live)

    async def serve(self, request_iterator: object, stream: grpc.aio.ServicerContext) -> None:
        """The rpc: frames are bytes on both sides, so that each is parsed once, where its size is known."""
        hello = await self._read_hello(stream)
        verdict = self._examine(hello) if isinstance(hello, session_pb2.Hello) else hello
        if isinstance(verdict, Refused):
            # Who is told to wait comes again soon.
            level = logging.DEBUG if verdict.reason == session_pb2.Reject.OVERLOADED else logging.WARNING
            _log.log(level, "refused a session from %s: %s", stream.peer(), verdict.message)
            await stream.write(session_pb2.WorkerFrame(reject=verdict.to_wire()).SerializeToString())
            return
        self._fence(verdict)
        await self._run(stream, verdict, self._start_of(verdict))

    async def _read_hello(self, stream: grpc.aio.ServicerContext) -> session_pb2.Hello | Refused:
        try:
            data = await asyncio.wait_for(stream.read(), _HELLO_SECONDS)
        except asyncio.TimeoutError:
            return Refused(session_pb2.Reject.MALFORMED, f"no Hello came within {_HELLO_SECONDS:g} s")
        if data is grpc.aio.EOF:
            return Refused(session_pb2.Reject.MALFORMED, "the stream ended before Hello")
        return read_first_frame(data)

    def _examine(self, hello: session_pb2.Hello) -> Accepted | Refused:
        if self._turns is not None and not self._is_turn_of(hello, self._turns):
            return Refused(
                session_pb2.Reject.OVERLOADED,
                "the quarantine worker has suspects of another subtask, and takes one subtask's at a time: try again",
            )
        return examine(
            hello,
            plan_digests=self._plan_digests,
            fences=self._fences,
            live_operators=[session.start.operator for session in self._live.values()],
            allows_pickle=self._settings.allow_pickle,
            is_draining=self._is_draining,
        )

    def _is_turn_of(self, hello: session_pb2.Hello, turns: Turns) -> bool:
        """Whether this start has the quarantine worker for itself, or gets it now; else it stands in line."""
        operator = OperatorIdentity(hello.namespace, hello.job_id, hello.operator_uid)
        claim = Claim(hello.start_id, hello.epoch, hello.key_group_first, hello.key_group_last)
        who = operator, claim.start_id
        own = self._starts.get(who)
        if own is not None and (own.is_live or own.scope.open_count):
            return True

        # Else it fences them off.
        def is_beside(start: OperatorStart) -> bool:
            return start.claim.start_id != claim.start_id and not (
                start.operator == operator and start.claim.overlaps(claim)
            )

        # A start may have ended and its session be saying so, or its code go on.
        fenced_count = sum(start.scope.open_count for start in self._starts.values() if not is_beside(start))
        is_occupied = self._dispatcher.open_count > fenced_count or any(
            is_beside(session.start) for session in self._live.values()
        )
        if is_occupied or not turns.is_next(who):
            turns.wait(who)
            return False
        return True

    def _fence(self, accepted: Accepted) -> None:
        """End the starts that the new one supersedes; that their sessions hear why is a courtesy."""
        for claim in accepted.superseded:
            key = (accepted.operator, claim.start_id)
            start = self._starts.get(key)
            if start is None:
                continue
            _log.warning(
                "subtask %d of job %r (epoch %d) supersedes epoch %d of the same key groups",
                accepted.hello.subtask,
                accepted.hello.job_name,
                accepted.claim.epoch,
                claim.epoch,
            )
            start.end(CancelReason.SUPERSEDED)
            session = self._live.get(key)
            if session is not None:
                session.close(session_pb2.Bye.FENCED, f"epoch {accepted.claim.epoch} has taken the key groups")
        self._end_former_jobs(accepted)

    def _end_former_jobs(self, accepted: Accepted) -> None:
        """A job that was submitted anew has another id, which no epoch fences: what lingers of its former self ends.

        None of these has a session, or the new one would have been refused. Their work is the new one's to ask for.
        """
        for start in list(self._starts.values()):
            if start.operator.is_former(accepted.operator) and start.claim.overlaps(accepted.claim):
                start.end(CancelReason.SUPERSEDED)

    def _start_of(self, accepted: Accepted) -> OperatorStart:
        known = self._starts.get((accepted.operator, accepted.claim.start_id))
        if known is not None:
            return known
        hello = accepted.hello
        scope = self._dispatcher.open_scope(
            self._offers[hello.agent].plan,
            namespace=hello.namespace,
            operator_uid=hello.operator_uid,
            # The server's below, the job's above.
            config={**self._settings.config, **accepted.config},
            keeps_work=hello.has_checkpoints,
            epoch=accepted.claim.epoch,
        )
        start = OperatorStart(
            accepted.operator,
            accepted.claim,
            scope,
            dispatcher=self._dispatcher,
            linger_seconds=self._settings.linger_seconds,
            on_end=self._forget,
        )
        self._starts[accepted.operator, accepted.claim.start_id] = start
        return start

    def _forget(self, start: OperatorStart) -> None:
        self._starts.pop((start.operator, start.claim.start_id), None)

    async def _run(self, stream: grpc.aio.ServicerContext, accepted: Accepted, start: OperatorStart) -> None:
        limits = self._limits(accepted.hello)
        session = Session(stream, start, self._dispatcher, self._lag, limits)
        key = (accepted.operator, accepted.claim.start_id)
        broken = self._live.get(key)
        if broken is not None:
            broken.close(session_pb2.Bye.REASON_UNSPECIFIED, "a newer session of the same start has taken its place")
        self._live[key] = session
        self._all_gone.clear()
        if self._retires_at is not None:
            left_seconds = self._retires_at - asyncio.get_running_loop().time()
            # The limit may be over, and the drain that follows not have begun.
            session.retire(self._identity.generation, max(0.0, left_seconds))
        if self._is_archive:
            session.archive()
        if self._turns is not None:
            self._turns.begin(key)
        who = _describe(accepted)
        ending = Ending.LOST
        try:
            _log.info("%s connected, agent %r", who, accepted.hello.agent)
            # What it supersedes has ended by now: all that it may ask for is known.
            kept = start.scope.kept if accepted.hello.asks_for_holdings else None
            tells = kept is not None and kept.has_work_of_ended_starts
            holdings = encode_holdings(kept.holdings()) if kept is not None and tells else ()
            ending = await session.run(self._welcome(accepted, limits, tells_holdings=tells), holdings)
        finally:
            # A newer session of the same start may have taken the place while this one was breaking.
            if self._live.get(key) is session:
                del self._live[key]
            if not self._live:
                self._all_gone.set()
            _log.info("%s disconnected: %s%s%s", who, ending.value, self._what_lingers(start), _what_is_kept(start))

    def _what_lingers(self, start: OperatorStart) -> str:
        if start.has_ended or start.is_live or not start.scope.open_count:
            return ""
        running = f"; {start.scope.open_count} running invocations"
        if start.lingers_seconds > 0:
            return f"{running} are kept for {round(start.lingers_seconds, 1):g} s"
        limit = self._settings.linger_seconds
        return f"{running} are cancelled: nothing was heard of the job for {limit:g} s, so it goes on elsewhere"

    def _limits(self, hello: session_pb2.Hello) -> SessionLimits:
        ours = self._settings.max_frame_bytes
        theirs = max(hello.max_frame_bytes or ours, _SMALLEST_MAX_FRAME_BYTES)
        return SessionLimits(
            Grant(self._settings.credit_invocations, self._settings.credit_bytes),
            self._settings.frame_window,
            max_received_bytes=ours,
            max_sent_bytes=min(ours, theirs),
            pickles=PickleConsent(
                server=self._settings.allow_pickle, job=session_pb2.PICKLE in hello.accepted_content_types
            ),
            says_all_resumed=ALL_RESUMED in hello.capabilities,
        )

    def _welcome(
        self, accepted: Accepted, limits: SessionLimits, *, tells_holdings: bool = False
    ) -> session_pb2.Welcome:
        plan = self._offers[accepted.hello.agent].wire
        return session_pb2.Welcome(
            protocol=accepted.protocol,
            worker=self._identity.worker,
            incarnation=self._identity.incarnation,
            generation=self._identity.generation,
            plan=None if plan.digest == accepted.hello.known_plan_digest else plan,
            plan_digest=plan.digest,
            max_frame_bytes=limits.max_received_bytes,
            frame_window=limits.frame_window,
            credit=session_pb2.Credit(invocations=limits.grant.invocations, bytes=limits.grant.bytes),
            linger_ms=int(self._settings.linger_seconds * 1000),
            server_version=SERVER_VERSION,
            tells_holdings=tells_holdings,
        )

    # ---- over time ----

    async def check_silence(self) -> None:
        """Look after jobs from which nothing is heard. Runs until cancelled.

        A session is given up before the linger time is over, which began with the last frame received: what is left of
        it is the job's, to come back.
        """
        before_end = max(2, round(self._settings.linger_seconds * _SILENT_SHARE / _CHECK_INTERVAL_SECONDS))
        before_ping = max(1, before_end // 2)
        while True:
            await asyncio.sleep(_CHECK_INTERVAL_SECONDS)
            for key, session in list(self._live.items()):
                session.check_silence(before_ping, before_end)
                if self._turns is not None and self._turns.holder == key and not self._is_draining:
                    self._look_at_turn(session, self._turns)

    def _look_at_turn(self, session: Session, turns: Turns) -> None:
        start = session.start
        match turns.look(self._dispatcher.open_count):
            case TurnStep.DRAIN:
                _log.info("others wait for the quarantine worker: %s may finish what runs", start.operator)
                session.drain(turns.patience_seconds)
            case TurnStep.CUT_SHORT:
                self._cut_short = list(start.scope.open)
                _log.warning(
                    "%d suspects of %s go on in quarantine while others wait: they are cancelled, to be tried again",
                    len(self._cut_short),
                    start.operator,
                )
                start.end(CancelReason.DRAINED)
            case TurnStep.END:
                if not start.has_ended:
                    self._cut_short = []
                    start.end(CancelReason.DRAINED)
                session.give_back(self._cut_short)
                session.close(session_pb2.Bye.FINISHED, "others wait for the quarantine worker: ask again")

    @property
    def has_overrun_turn(self) -> bool:
        """Whether something runs in quarantine that nobody can end."""
        return self._turns is not None and self._turns.is_overrun

    async def retire(self, limit_seconds: float) -> None:
        """Newer code is served elsewhere: go on with the runs that began here, until none comes or the limit does.

        Jobs may still connect: what they have open here after a lost connection, or restored, belongs here.
        """
        loop = asyncio.get_running_loop()
        self._retires_at = loop.time() + limit_seconds
        for session in self._live.values():
            session.retire(self._identity.generation, limit_seconds)
        last_busy = loop.time()
        while loop.time() - last_busy < _QUIET_SECONDS and loop.time() < self._retires_at:
            await asyncio.sleep(_RETIRED_CHECK_SECONDS)
            if self._is_busy():
                last_busy = loop.time()

    @property
    def kept_for(self) -> tuple[KeptFor, ...]:
        """Operators that may find finished work here after a restart."""
        return tuple(KeptFor(*one) for one in self._dispatcher.kept_for)

    def archive(self) -> tuple[KeptFor, ...]:
        """Run nothing from now on and answer from kept work alone; says whose there is."""
        kept = tuple(KeptFor(*one) for one in self._dispatcher.kept_for if self._dispatcher.keeps_anything_for(*one))
        if kept:
            self._is_archive = True
            for start in self._starts.values():
                # What did not finish in time: each says so, and the job runs it elsewhere.
                self._dispatcher.cancel(start.scope, list(start.scope.open), CancelReason.DRAINED)
            for session in self._live.values():
                session.archive()
        return kept

    async def until_covered(self, limit_seconds: float) -> None:
        """Return when checkpoints cover all that is kept, or after the limit."""
        loop = asyncio.get_running_loop()
        end = loop.time() + limit_seconds
        while any(self._dispatcher.keeps_anything_for(*one) for one in self._dispatcher.kept_for):
            if loop.time() > end:
                _log.warning(
                    "finished work is given up that no checkpoint covered within %g s of the reload: if the job's "
                    "TaskManager dies it is done again; take checkpoints more often, or raise --archive-seconds",
                    limit_seconds,
                )
                return
            await asyncio.sleep(_RETIRED_CHECK_SECONDS)

    def _is_busy(self) -> bool:
        """Whether something runs, or has come since this was asked last."""
        # All are asked: each forgets what it has answered.
        has_got_work = [session.has_got_work() for session in self._live.values()]
        return any(has_got_work) or self._dispatcher.open_count > 0

    async def drain(self, limit_seconds: float) -> None:
        """Take no new work, let what runs finish within the limit, give back the rest, say Bye, close the resources."""
        self._is_draining = True
        for start in list(self._starts.values()):
            if not start.is_live:
                # Its job would be refused here; it goes on elsewhere.
                start.end(CancelReason.ORPHANED)
        for session in self._live.values():
            session.drain(limit_seconds)
        await self._dispatcher.drain(limit_seconds)
        leftovers = {session: list(session.start.scope.open) for session in self._live.values()}
        for session, handles in leftovers.items():
            if handles:
                who = session.start.operator
                _log.warning(
                    "%d invocations of %s did not finish within %g s: given back", len(handles), who, limit_seconds
                )
            # First the code ends, then the job hears of it: elsewhere it must not begin before.
            session.start.end(CancelReason.DRAINED)
        await self._dispatcher.end_code(leaving.END_CODE_SECONDS)
        for session, handles in leftovers.items():
            session.give_back(handles)
            session.close(session_pb2.Bye.FINISHED, "the worker has drained")
        try:
            await asyncio.wait_for(self._all_gone.wait(), leaving.GOODBYE_SECONDS)
        except asyncio.TimeoutError:
            _log.warning("%d sessions did not read their last frames", len(self._live))
        # They are the author's, and may hang, or block the event loop.
        await self._dispatcher.close_resources(leaving.RESOURCES_SECONDS)


def _what_is_kept(start: OperatorStart) -> str:
    kept = start.scope.kept
    if kept is None or not (kept.size or kept.handed_back or kept.missed or kept.dropped):
        return ""
    return (
        f"; of its operator {kept.size >> 10} KiB of finished work are kept, {kept.handed_back} results were handed "
        f"back, {kept.missed} did not fit the memory, {kept.dropped} were dropped before a checkpoint covered them"
    )


def _describe(accepted: Accepted) -> str:
    hello = accepted.hello
    return (
        f"job {hello.job_name or hello.job_id!r} subtask {hello.subtask + 1}/{hello.parallelism or 1} "
        f"(operator {hello.operator_uid!r}, namespace {hello.namespace!r})"
    )
