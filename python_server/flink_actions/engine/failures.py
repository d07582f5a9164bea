"""From an exception to the failure that is reported for it."""

from __future__ import annotations

import datetime
import math
import traceback
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from flink_actions.engine.invocation import Failed, FailureKind, Invocation
from flink_actions.sdk.errors import NotEncodableError, ReplayMismatchError, RetryableError, TerminalError

if TYPE_CHECKING:
    from flink_actions.engine.durable import DurableCalls

_OUR_DIRECTORY = str(Path(__file__).parent)
# A failure must fit into a frame whatever it says: head and tail of a text tell most.
_TEXT_LIMIT = 16_384
# What RetryableError may ask for: a number that the wire holds, some 24 days.
_LONGEST_RETRY_MS = 2**31 - 1


def failure_of(invocation: Invocation, error: BaseException, calls: DurableCalls | None = None) -> Failed:
    """The failure of an attempt that an exception ended.

    Args:
        invocation: Of the attempt.
        error: What its code raised.
        calls: Its durable calls, if it has any.
    """
    if calls is not None and calls.mismatch is not None:
        # Whatever the author's code made of it: nothing that came after is to be believed.
        error = calls.mismatch
    drop_calls = () if calls is None else calls.to_drop(error)
    told_id = b"" if calls is not None and calls.has_untold else invocation.invocation_id
    try:
        return Failed(
            handle=invocation.handle,
            kind=_kind_of(error),
            exception=shortened(name_of(type(error))),
            message=shortened(message_of(error)),
            stack=shortened(_stack_of(error)),
            retry_after_ms=_retry_after_ms(error),
            cost_bytes=invocation.cost_bytes,
            drop_calls=drop_calls,
            invocation_id=told_id,
            attempt=invocation.attempt,
        )
    except Exception as broken:  # an exception that cannot even be described must not leave its key waiting
        message = f"an exception was raised that cannot be described: that raised {type(broken).__name__}"
        failed = failure_without_stack(invocation, FailureKind.BUG, "", shortened(message))
        return replace(failed, drop_calls=drop_calls, invocation_id=told_id)


def failure_without_stack(invocation: Invocation, kind: FailureKind, exception: str, message: str) -> Failed:
    """A failure that the engine decided on."""
    return Failed(
        invocation.handle,
        kind,
        exception,
        message,
        cost_bytes=invocation.cost_bytes,
        invocation_id=invocation.invocation_id,
        attempt=invocation.attempt,
    )


def name_of(cls: type[BaseException]) -> str:
    """ "package.module.Class"; built-in exceptions by their name alone."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _retry_after_ms(error: BaseException) -> int:
    if not isinstance(error, RetryableError):
        return 0
    # A subclass may have made itself without RetryableError's constructor, or have set something else since.
    after = getattr(error, "after_seconds", None)
    if isinstance(after, datetime.timedelta):
        after = after.total_seconds()
    if not isinstance(after, (int, float)) or not math.isfinite(after):
        return 0
    return min(max(0, round(after * 1000)), _LONGEST_RETRY_MS)


def _kind_of(error: BaseException) -> FailureKind:
    if isinstance(error, RetryableError):
        return FailureKind.RETRYABLE
    if isinstance(error, TerminalError):
        return FailureKind.TERMINAL
    if isinstance(error, ReplayMismatchError):
        return FailureKind.REPLAY_MISMATCH
    if isinstance(error, NotEncodableError):
        return FailureKind.NOT_ENCODABLE
    return FailureKind.BUG


def message_of(error: BaseException) -> str:
    """The text of an exception."""
    try:
        return str(error)
    except Exception as broken:  # an author's __str__ must not turn a failure into a stuck invocation
        return f"<{type(error).__name__} whose text raised {type(broken).__name__}>"


def _stack_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, _authors_part(error.__traceback__)))
    except Exception as broken:
        return f"<stack of {type(error).__name__}; printing it raised {type(broken).__name__}>"


def _authors_part(stack: TracebackType | None) -> TracebackType | None:
    """The stack from the author's first frame on: how the engine got there helps nobody."""
    part = stack
    while part is not None and part.tb_frame.f_code.co_filename.startswith(_OUR_DIRECTORY):
        part = part.tb_next
    return part or stack


def shortened(text: str, limit: int = _TEXT_LIMIT) -> str:
    """A text as it can travel: not too long, and with a UTF-8 form."""
    # What cannot be encoded as UTF-8 (lone surrogates) could not travel.
    text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"
