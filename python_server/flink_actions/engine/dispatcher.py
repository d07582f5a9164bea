"""The dispatcher: takes invocations, runs them on the event loop or in threads, and puts what they came to into the outbox.

One per worker, all of it on the event loop's thread. (skeleton; the stepping comes next)
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flink_actions.engine.invocation import CancelReason, Invocation, Outcome
from flink_actions.engine.outbox import Outbox
from flink_actions.engine.plan import Plan


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How one worker runs actions.

    Args:
        threads: Size of the pool that `def` actions run in.
        mirror_bytes: Most bytes of keys' memory kept, per (namespace, operator uid).
        mirror_bytes_total: The same over all jobs.
    """

    threads: int = 32
    mirror_bytes: int = 256 << 20
    mirror_bytes_total: int = 1 << 30
    config: Mapping[str, Any] = field(default_factory=dict)


class Scope:
    """What one start of an operator subtask has in a worker: its memory mirrors and its open handles.

    It outlives sessions: a session attaches its outbox, and when the stream breaks the invocations go on, their outcomes kept, until
    the same start attaches again or the session layer ends the scope (after `linger`). Made by `Dispatcher.open_scope`.
    """

    @property
    def open_count(self) -> int:
        """Invocations that were submitted and have no outcome yet."""
        raise NotImplementedError

    @property
    def is_attached(self) -> bool:
        """A session is attached."""
        raise NotImplementedError

    def attach(self, outbox: Outbox) -> None:
        """Send outcomes to this outbox from now on, instead of any earlier one."""
        raise NotImplementedError

    def detach(self, outbox: Outbox, undelivered: Iterable[Outcome] = ()) -> None:
        """The session of this outbox is over; nothing happens if another one has attached since.

        Outcomes that are still in the outbox, those in `undelivered`, and those to come are kept: when the same handle is
        submitted again it is answered from them.
        """
        raise NotImplementedError

    def forget_keys(self, keys: Iterable[bytes]) -> None:
        """Hint: the operator has no use for the mirrors of these keys."""
        raise NotImplementedError


class Dispatcher:
    """Runs the invocations of one worker.

    Must be made and used on the thread of a running event loop.

    Args:
        settings: See EngineSettings.
        random_bytes: Source of memory versions.
    """

    def __init__(self, settings: EngineSettings | None = None, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        raise NotImplementedError

    def open_scope(self, plan: Plan, *, namespace: str, operator_uid: str, config: Mapping[str, Any] | None = None) -> Scope:
        """Begin to serve one start of an operator subtask.

        Args:
            plan: The plan that its invocations' action indices mean.
            namespace: With `operator_uid`, what the memory mirrors belong to.
            operator_uid: See `namespace`.
            config: The job's settings: `ctx.config`.
        """
        raise NotImplementedError

    def submit(self, batch: Sequence[Invocation], scope: Scope, on_stepped: Callable[[], None]) -> None:
        """Run invocations, in order, each up to its first wait before the next one begins.

        A handle that is open in the scope already attaches: it goes on as it is and answers once. One whose outcome was kept is
        answered at once. An attempt whose predecessor's coroutine still runs waits until that, cancelled, has ended.

        Args:
            batch: The invocations of one frame.
            scope: Whose they are.
            on_stepped: Called once, when each of the batch was stepped once (or given up): acknowledge the frame.
        """
        raise NotImplementedError

    def cancel(self, scope: Scope, handles: Iterable[int], reason: CancelReason) -> None:
        """End open attempts: coroutines are cancelled, those that have not begun never begin. Each still has one outcome:
        Failed(CANCELLED), or what its coroutine made of the cancellation. Unknown handles are ignored."""
        raise NotImplementedError

    def end_scope(self, scope: Scope, reason: CancelReason) -> None:
        """Cancel all that is open in a scope and forget what was kept: fenced, said Bye, or lingered long enough."""
        raise NotImplementedError

    @property
    def open_count(self) -> int:
        """Invocations of all scopes that have no outcome yet."""
        raise NotImplementedError

    @property
    def overrun_threads(self) -> int:
        """Threads of the pool that run a `def` action whose attempt is over: they cannot be stopped."""
        raise NotImplementedError

    async def drain(self, limit_seconds: float) -> bool:
        """Wait until nothing is open; false if the limit came first. New submissions are the caller's to refuse."""
        raise NotImplementedError

    async def close(self) -> None:
        """Cancel all that is open, wait for it briefly, and close the plans' resources in reverse order of their opening."""
        raise NotImplementedError


_ = asyncio
