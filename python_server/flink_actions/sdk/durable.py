"""What a function that is called durably may know about its call."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DurableCall:
    """The call that is being made.

    Args:
        idempotency_key: The same whenever this call is repeated, and no other call's: 32 hex digits. Give it to
            services that tell repeated requests by a key.
        function_id: "module:qualname" of the function, or the call's `durable_id`.
        attempt: Which attempt of the action makes it.
    """

    idempotency_key: str
    function_id: str
    attempt: int


_current: ContextVar[DurableCall | None] = ContextVar("flink_actions.durable_call", default=None)


def current_call() -> DurableCall:
    """The durable call that the caller is part of.

    Raises:
        LookupError: It is part of none.

    Example:
        >>> async def charge(order: str, cents: int) -> str:
        ...     return await bank.charge(order, cents, idempotency_key=current_call().idempotency_key)
    """
    call = _current.get()
    if call is None:
        raise LookupError("no durable call is being made here: call the function by ctx.durable_execute_async")
    return call
