"""One start of an operator subtask, over all its sessions with this worker.

A session that breaks says nothing about its work: invocations run on, outcomes are held, and the same start finds both
when it connects again. If it does not come within the linger time its invocations are cancelled, because by then the
job runs them elsewhere. After it has come, it asks for what it left and says when it has: credit may hold it up for as
long as actions take. One that is too old to say so has the linger time once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from flink_actions.engine.dispatcher import Dispatcher
from flink_actions.engine.invocation import CancelReason, Outcome
from flink_actions.engine.scope import Scope
from flink_actions.server.fences import Claim, OperatorIdentity
from flink_actions.server.held import HeldOutcomes, HoldingOutbox
from flink_actions.server.outgoing import Outgoing

__all__ = ["OperatorStart"]


class OperatorStart:
    """Owns the start's scope in the engine. Used on the event loop only.

    Args:
        operator: Whose start it is.
        claim: Its start id, epoch and key groups.
        scope: What it has in the engine; ended by this object.
        dispatcher: Where the scope is open.
        linger_seconds: How long it is waited for after its session was lost.
        on_end: Called once when the scope has been ended.
    """

    def __init__(
        self,
        operator: OperatorIdentity,
        claim: Claim,
        scope: Scope,
        *,
        dispatcher: Dispatcher,
        linger_seconds: float,
        on_end: Callable[[OperatorStart], None],
    ) -> None:
        self.operator = operator
        self.claim = claim
        self.scope = scope
        self.held = HeldOutcomes()
        self.has_ended = False
        self._dispatcher = dispatcher
        self._linger_seconds = linger_seconds
        self._on_end = on_end
        self._outgoing: Outgoing | None = None
        self._has_lost_a_session = False
        self._timer: asyncio.TimerHandle | None = None
        self._lingers_until = 0.0

    @property
    def is_live(self) -> bool:
        """Whether it has a session now."""
        return self._outgoing is not None

    @property
    def lingers_seconds(self) -> float:
        """How long it is still waited for after its session was lost."""
        return max(0.0, self._lingers_until - asyncio.get_running_loop().time())

    def attach(self, outgoing: Outgoing, *, says_all_resumed: bool = False) -> None:
        """A session has begun: outcomes go to it from now on. A session that was there before is a broken one.

        Args:
            outgoing: Of the session.
            says_all_resumed: `on_all_resumed` will be called, unless the session is lost before.
        """
        if self.has_ended:
            return
        if self._outgoing is not None:
            self.detach(self._outgoing)
        self._outgoing = outgoing
        if self._has_lost_a_session:
            outgoing.outbox = HoldingOutbox(outgoing.wake, self.held, outgoing.credit.charged)
            if says_all_resumed:
                self._stop_timer()
            else:
                self._after_linger(lambda: self._on_time_to_resume_over(outgoing))
        self.scope.attach(outgoing.outbox)

    def detach(self, outgoing: Outgoing, silent_seconds: float = 0.0) -> None:
        """This session is over, the start may be not; nothing happens if another session has attached since.

        Args:
            outgoing: Of the session.
            silent_seconds: How long nothing had been heard by then. The linger time begins with the last frame
                received: a job that has noticed the break earlier than this worker goes elsewhere after that time.
        """
        if self._outgoing is not outgoing or self.has_ended:
            return
        self._outgoing = None
        self._has_lost_a_session = True
        self.held.begin()
        self.held.add_sent(self._take_back(outgoing))
        self.held.add(outgoing.take_unsent())
        self.scope.attach(HoldingOutbox(_wake_nobody, self.held, ()))
        self._after_linger(lambda: self.end(CancelReason.ORPHANED), silent_seconds)

    def end(self, reason: CancelReason) -> None:
        """Cancel what runs and forget what was held: said Bye, fenced, or gone for too long."""
        if self.has_ended:
            return
        self.has_ended = True
        outgoing, self._outgoing = self._outgoing, None
        if self.scope.kept is not None:
            # Computed, and not there for all that is known: the next start may ask for it.
            uncounted = self.held.outcomes
            if outgoing is not None:
                uncounted += [*self._take_back(outgoing), *outgoing.unsent]
            self.scope.kept.end_start(self.scope, uncounted, self.scope.epoch)
        self.held.end()
        self._stop_timer()
        self._dispatcher.end_scope(self.scope, reason)
        self._on_end(self)

    def on_all_resumed(self, outgoing: Outgoing) -> None:
        """The start has asked in this session for all that it wants of what it left, and has said which of it it had
        ended: of the rest it has applied what had left, so the next cut covers that. What never left it has given up.
        """
        if self._outgoing is not outgoing:
            return
        applied = self.held.sent
        if applied:
            # Below the session's first frame: it was applied before any of them.
            self.scope.keep_sent(outgoing, 0, applied)
        self._end_resuming(outgoing, self.held.unsent)

    def _on_time_to_resume_over(self, outgoing: Outgoing) -> None:
        """The start does not say when it has asked for all, and has had its time: nobody knows what it has applied."""
        if self._outgoing is outgoing:
            self._end_resuming(outgoing, self.held.outcomes)

    def _end_resuming(self, outgoing: Outgoing, unapplied: Iterable[Outcome]) -> None:
        self._stop_timer()
        if self.scope.kept is not None:
            self.scope.kept.set_apart(unapplied, self.scope.epoch)
        self.held.end()
        orphans = [handle for handle in self.scope.open if handle not in outgoing.credit.charged]
        self._dispatcher.cancel(self.scope, orphans, CancelReason.ORPHANED)

    def on_sent(self, outgoing: Outgoing, sequence: int, outcomes: Sequence[Outcome]) -> None:
        """Outcomes have left with this session's frames up to `sequence`: they are kept until a checkpoint covers them.

        What still leaves of a session that was lost is held, and of a start that has ended it is kept already.
        """
        if self._outgoing is outgoing:
            self.scope.keep_sent(outgoing, sequence, outcomes)

    def on_cut(self, outgoing: Outgoing, sequence: int) -> None:
        """A checkpoint that has completed covers what has arrived of this session's frames up to `sequence`."""
        if self._outgoing is outgoing:
            self.scope.on_cut(outgoing, sequence)

    def on_cancelled(self, outgoing: Outgoing, handles: Iterable[int]) -> None:
        """The start has ended these attempts. Those that had ended here before it applies in vain: what they came to is
        kept for the next attempts, and no cut covers it."""
        kept = self.scope.kept
        if kept is None or self._outgoing is not outgoing:
            return
        ended = [handle for handle in handles if handle not in self.scope.open]
        if ended:
            outcomes = [outcome for handle in ended if (outcome := self.held.take(handle)) is not None]
            outcomes += outgoing.renounce(ended)
            # Last: a handle that it does not find costs a look at all that is kept.
            outcomes += kept.take_back(self.scope, set(ended).difference(outcome.handle for outcome in outcomes))
            kept.set_apart(outcomes, self.scope.epoch)

    def _take_back(self, outgoing: Outgoing) -> Sequence[Outcome]:
        """What has left with a session that is over, and may not have arrived. The next session's cuts cover what has
        arrived of it, and nothing else."""
        undelivered, kept = outgoing.undelivered, self.scope.kept
        first = undelivered.first_sequence
        if kept is None or first is None:
            return list(undelivered)
        # Where the limits have dropped what is kept the session may still have it, and the other way round.
        return [*undelivered, *kept.take_back_from(self.scope, outgoing, first)]

    def _after_linger(self, act: Callable[[], None], already_seconds: float = 0.0) -> None:
        self._stop_timer()
        loop = asyncio.get_running_loop()
        left_seconds = max(0.0, self._linger_seconds - already_seconds)
        self._lingers_until = loop.time() + left_seconds
        self._timer = loop.call_later(left_seconds, act)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _wake_nobody() -> None:
    pass
