"""Inputs that come as pickled Python objects, where both sides allow it.

A pickle is opened here, at the edge, and goes on as the JSON that the object would have been sent as; deeper in there
is one form only. Loading a pickle runs code of whoever made it: this module is reached only by sessions whose job asked
for pickles of a server that was started with --allow-pickle.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence

from flink_actions.engine.invocation import Failed, FailureKind, Invocation
from flink_actions.sdk import values
from flink_actions.wire.invocations import WireInvocation
from flink_actions.wire.v1 import session_pb2

__all__ = ["open_pickles"]


def open_pickles(
    batch: Sequence[Invocation], messages: Sequence[session_pb2.Invoke]
) -> tuple[list[Invocation], list[Failed]]:
    """The batch with its pickles opened, and the failures of those that cannot be.

    Args:
        batch: The invocations of a frame.
        messages: What they were read from, in the same order.
    """
    opened: list[Invocation] = []
    failed: list[Failed] = []
    for invocation, message in zip(batch, messages, strict=True):
        if message.content_type != session_pb2.PICKLE:
            opened.append(invocation)
            continue
        try:
            opened.append(_open(invocation, message))
        except Exception as error:  # a pickle can raise whatever its maker or a missing module makes it raise
            failed.append(_failure(invocation, error))
    return opened, failed


def _open(invocation: Invocation, message: session_pb2.Invoke) -> Invocation:
    as_json = session_pb2.Invoke()
    as_json.CopyFrom(message)
    as_json.payload = values.encode(pickle.loads(message.payload), "input")
    as_json.content_type = session_pb2.JSON
    replaced = WireInvocation(as_json)
    # Credit counts what has travelled.
    replaced.cost_bytes = invocation.cost_bytes
    return replaced


def _failure(invocation: Invocation, error: Exception) -> Failed:
    return Failed(
        invocation.handle,
        FailureKind.NOT_ENCODABLE,
        f"{type(error).__module__}.{type(error).__qualname__}",
        f"the pickled input cannot be read here: {error}. Install what it needs in the server's environment, or "
        "give the job's stream a type such as ROW or STRING",
    )
