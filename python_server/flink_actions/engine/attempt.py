"""An attempt that did not end in its first step: a coroutine that waits, a `def` action in a thread, or one that waits
for either.

States: begun → ended; for a `def` action queued → running → ended; where its action has a limit, it may wait for a
place first. *Settled* (its outcome is out) and *ended* (its code runs no more) are one moment, save for what was
cancelled or is over time and cannot be stopped, a `def` action or a coroutine that goes on all the same: it is settled
first and ends whenever it ends. Until then it counts as overrun.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flink_actions.engine.context import InvocationContext
from flink_actions.engine.invocation import CancelReason, Failed, FailureKind, Invocation

if TYPE_CHECKING:
    from flink_actions.engine.mirrors import Mirror
    from flink_actions.engine.scope import ActionState, Scope


class Attempt:
    """One of these; the dispatcher moves it."""

    __slots__ = (
        "cancel_reason",
        "context",
        "followers",
        "has_place",
        "invocation",
        "invocation_id",
        "is_overrun",
        "is_settled",
        "mirror",
        "scope",
        "state",
        "task",
        "thread_began",
        "timer",
        "unbegun",
    )

    def __init__(self, invocation: Invocation, state: ActionState, scope: Scope, context: InvocationContext) -> None:
        self.invocation = invocation
        self.invocation_id = invocation.invocation_id
        self.state = state
        self.scope = scope
        self.context = context
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.cancel_reason: CancelReason | None = None
        self.is_settled = False
        # The coroutine, until the task that was made for it has taken its first step.
        self.unbegun: Any = None
        # Set by the pool's thread when it begins a `def` action.
        self.thread_began = False
        # Settled, and its code goes on.
        self.is_overrun = False
        self.mirror: Mirror | None = None
        # One of those that its action has, if that has a limit.
        self.has_place = False
        # Later attempts at the same work, which begin when this one has ended.
        self.followers: list[tuple[Invocation, Scope]] = []

    def watch(self, mirror: Mirror | None) -> None:
        """Read this mirror from now on; None: no more. A mirror that is read is not changed in place."""
        if self.mirror is not None:
            self.mirror.readers -= 1
        if mirror is not None:
            mirror.readers += 1
        self.mirror = mirror

    def failure(self, error: BaseException) -> Failed:
        """What to report when its code has raised, or nobody waits for it any more.

        Of one that was ended from outside that is why, whatever it has made of its cancellation: what it raised shows
        in the stack.
        """
        failed = self.context.failure(error)
        reason, name = self.cancel_reason, self.state.action.name
        if reason is None:
            return failed
        if reason is CancelReason.TIMEOUT:
            kind, exception = FailureKind.TIMEOUT, "TimeoutError"
            message = f"action {name!r} ran longer than the {self.invocation.remaining_ms} ms that it had left"
        else:
            kind, exception = FailureKind.CANCELLED, "asyncio.CancelledError"
            message = f"attempt {self.invocation.attempt} of action {name!r} was cancelled: {reason.name}"
        stack = failed.stack if error.__traceback__ is not None else ""
        # The next attempt may be on its way, without what this one has told meanwhile.
        told_id = b"" if kind is FailureKind.CANCELLED else failed.invocation_id
        return replace(
            failed,
            kind=kind,
            exception=exception,
            message=message,
            stack=stack,
            retry_after_ms=0,
            invocation_id=told_id,
        )
