"""Every error that an author or an operator of a server can meet, drawn once.

    FlinkActionsError
    ├── AgentLoadError               the agent cannot be served; says where
    │   ├── TargetError              "module_or_path.py:attr" names nothing loadable, or raised while it was imported
    │   ├── DuplicateNameError       two actions, resources or agents of one name
    │   ├── SignatureError           an action that is not (event, ctx)
    │   ├── TriggerError             a trigger that is no event type
    │   ├── EmptyAgentError          an agent without actions
    │   └── ResourceDeclarationError a resource that is missing, unknown, or needs itself
    ├── NotEncodableError            a value has no wire form
    ├── NotDecodableError            bytes are not what the declared type says
    ├── MemoryPathError              a memory path is malformed or meets a value on its way
    ├── ContextEndedError            `ctx` or its memory was used after the action had ended
    ├── ResourceError                a resource is unknown, could not be opened, or cannot be used so
    ├── DurableCallError             a durable call cannot be made so, or its recorded exception has no class any more
    ├── ReplayMismatchError          the action made another durable call than its record says
    ├── UnsupportedError             this version does not have it
    ├── RetryableError               authors raise it: trying again may help
    └── TerminalError                authors raise it: no retry helps

Whatever else an action raises is a bug of the action.
"""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A line of the author's code.

    Args:
        file: Path of the source file.
        line: Line in it, from 1; 0 if only the file is known.
    """

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class FlinkActionsError(Exception):
    """Root of all errors of this package."""


class AgentLoadError(FlinkActionsError):
    """An agent cannot be served as it is written.

    Args:
        message: Names the thing, the value and the way out.
        location: Where in the author's code, if known; it becomes the head of the message.
    """

    def __init__(self, message: str, location: Location | None = None) -> None:
        super().__init__(f"{location}: {message}" if location else message)
        self.location = location


class TargetError(AgentLoadError):
    """The target names no file, module, attribute or agent, or raised while it was imported."""


class DuplicateNameError(AgentLoadError):
    """Two things of one kind have one name."""


class SignatureError(AgentLoadError):
    """A function does not take `(event, ctx)`."""


class TriggerError(AgentLoadError):
    """A trigger condition is not an event type that this version can match."""


class EmptyAgentError(AgentLoadError):
    """An agent has no action, so that no input could ever do anything."""


class ResourceDeclarationError(AgentLoadError):
    """A declared resource names a class or resource that is not there, needs itself, or has an impossible rate."""


class NotEncodableError(FlinkActionsError):
    """A value has no wire form.

    Args:
        path: Where in the value, such as `attributes['scores'][3]`.
        reason: What is wrong with it and what to do instead.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class NotDecodableError(FlinkActionsError):
    """A received value is not of the declared type, or in a form that is not read here.

    Args:
        path: Where in the value.
        reason: What was expected and what was found.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path


class MemoryPathError(FlinkActionsError):
    """A memory path is malformed, or leads through or onto something that is in the way."""


class ContextEndedError(FlinkActionsError):
    """The context, or memory got from it, was used after its action had ended."""


class ResourceError(FlinkActionsError):
    """A resource is not declared, could not be made or opened, or cannot be used as it was asked for."""


class DurableCallError(FlinkActionsError):
    """A durable call cannot be made as it was asked for; or it failed in an earlier attempt with an exception whose
    class is not there any more, and this stands for it.

    Args:
        message: What went wrong and what to do instead; for a recorded failure its own text.
        exception: "package.module.Class" of the recorded exception; empty if this is not about one.
    """

    def __init__(self, message: str, exception: str = "") -> None:
        super().__init__(f"{exception}: {message}" if exception else message)
        self.exception = exception


class ReplayMismatchError(FlinkActionsError):
    """The code makes other durable calls than the records of an earlier attempt say. Catching it does not help: the
    attempt has failed."""


class UnsupportedError(FlinkActionsError):
    """What was asked for has its place, and is not in this version."""


class RetryableError(FlinkActionsError):
    """Raise it in an action when trying again may help.

    Args:
        message: What went wrong.
        after: Time to wait at least before the next attempt, in seconds or as a timedelta; None leaves it to the
            policy.

    Example:
        >>> raise RetryableError("rate limited", after=2.5)
        Traceback (most recent call last):
        flink_actions.sdk.errors.RetryableError: rate limited
    """

    def __init__(self, message: str = "", *, after: float | datetime.timedelta | None = None) -> None:
        super().__init__(message)
        if isinstance(after, datetime.timedelta):
            after = after.total_seconds()
        elif after is not None and (isinstance(after, bool) or not isinstance(after, (int, float))):
            raise TypeError(f"RetryableError(after={after!r}): give seconds or a timedelta")
        if after is not None and not math.isfinite(after):
            raise ValueError(f"RetryableError(after={after!r}): give a finite time, or TerminalError for never again")
        self.after_seconds = after


class TerminalError(FlinkActionsError):
    """Raise it in an action when no retry can help."""
