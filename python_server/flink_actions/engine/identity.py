"""Names of events, runs and invocations, as session.proto ("Identity") defines them.

A name is a digest of what it names: whatever was kept for one input can never answer another.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import orjson

# The longest text that cannot hold an integer beyond 64 bits.
_SHORT_KEY = 18
_JSON, _BYTES = 0, 1  # session.proto's numbers of the content types


def event_digest(event_type: str, payload: bytes, *, is_raw: bool, timestamp: int | None) -> bytes:
    """Digest of an event (16 bytes): the same for the same event, whenever and wherever it is made."""
    stamp = b"" if timestamp is None else _integer(timestamp)
    return _digest(b"event", event_type.encode(), _integer(_BYTES if is_raw else _JSON), payload, stamp)


def run_id(namespace: str, operator_uid: str, key: bytes, run_number: int, input_digest: bytes) -> bytes:
    """Id of the run of one input (16 bytes)."""
    return _digest(b"run", namespace.encode(), operator_uid.encode(), key, _integer(run_number), input_digest)


def invocation_id(run: bytes, action: str, ordinal: int, digest_of_event: bytes) -> bytes:
    """Id of the run's `ordinal`-th invocation (16 bytes)."""
    return _digest(b"invocation", run, action.encode(), _integer(ordinal), digest_of_event)


def arguments_digest(canonical: bytes) -> bytes:
    """Digest of a durable call's arguments, given as canonical JSON (16 bytes)."""
    return _digest(b"arguments", canonical)


def idempotency_key(invocation: bytes, function_id: str, digest: bytes, ordinal: int) -> bytes:
    """Key of a durable call (16 bytes): of its invocation's calls with this function and these arguments the
    `ordinal`-th, from 0. Not by its place: threads may swap the places of calls, never their arguments."""
    return _digest(b"call", invocation, function_id.encode(), digest, _integer(ordinal))


def key_value(key: bytes) -> Any:
    """The value of a key's canonical text. Two different whole numbers never look alike."""
    # orjson makes floats of integers beyond 64 bits.
    return orjson.loads(key) if len(key) <= _SHORT_KEY else json.loads(key)


def _integer(value: int) -> bytes:
    return value.to_bytes(8, "big", signed=True)


def _digest(*fields: bytes) -> bytes:
    # Gathered first: one call of the digest costs less than many.
    framed = b"".join([part for field in fields for part in (len(field).to_bytes(4, "big"), field)])
    return hashlib.sha256(framed).digest()[:16]
