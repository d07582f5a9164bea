"""A plan as a message."""

from __future__ import annotations

import hashlib

from flink_actions.engine.plan import Action, Plan
from flink_actions.sdk import values
from flink_actions.wire.v1 import plan_pb2


def encode_plan(plan: Plan) -> plan_pb2.Plan:
    """A plan with its digest: SHA-256 of the message, deterministically serialized, without its two digests."""
    message = plan_pb2.Plan(agent=plan.agent, actions=[_encode_action(action) for action in plan.actions])
    message.memory.SetInParent()
    message.digest = hashlib.sha256(message.SerializeToString(deterministic=True)).digest()
    message.code_digest = plan.code_digest
    return message


def _encode_action(action: Action) -> plan_pb2.Action:
    return plan_pb2.Action(
        name=action.name,
        triggers=[plan_pb2.Trigger(event_type=event_type) for event_type in action.triggers],
        timeout_ms=action.timeout_ms,
        config=values.encode(action.config, "config") if action.config else b"",
    )
