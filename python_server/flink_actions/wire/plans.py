"""A plan as a message."""

from __future__ import annotations

import hashlib

from flink_actions.engine.plan import Action, FailurePolicy, Plan
from flink_actions.sdk import values
from flink_actions.sdk.policies import Durability, OnFailure, OnMismatch
from flink_actions.sdk.rates import Rate
from flink_actions.sdk.resources import ResourceDeclaration
from flink_actions.wire.v1 import plan_pb2

_DECISIONS = {
    OnFailure.FAIL: plan_pb2.FailurePolicy.FAIL,
    OnFailure.DEAD_LETTER: plan_pb2.FailurePolicy.DEAD_LETTER,
    OnFailure.IGNORE: plan_pb2.FailurePolicy.IGNORE,
}
_DURABILITIES = {
    Durability.NONE: plan_pb2.NONE,
    Durability.CHECKPOINT: plan_pb2.CHECKPOINT,
    Durability.SYNCHRONOUS: plan_pb2.SYNCHRONOUS,
}
_MISMATCHES = {
    OnMismatch.FAIL: plan_pb2.MISMATCH_FAIL,
    OnMismatch.TRUNCATE: plan_pb2.MISMATCH_TRUNCATE,
}


def encode_plan(plan: Plan) -> plan_pb2.Plan:
    """A plan with its digest: SHA-256 of the message, deterministically serialized, without its two digests."""
    message = plan_pb2.Plan(
        agent=plan.agent, actions=[_encode_action(action) for action in plan.actions], hop_limit=plan.hop_limit
    )
    message.memory.SetInParent()
    message.rates.extend(_encode_rate(resource) for resource in plan.resources.values() if resource.rate is not None)
    message.digest = hashlib.sha256(message.SerializeToString(deterministic=True)).digest()
    message.code_digest = plan.code_digest
    return message


def _encode_action(action: Action) -> plan_pb2.Action:
    return plan_pb2.Action(
        name=action.name,
        triggers=[plan_pb2.Trigger(event_type=event_type) for event_type in action.triggers],
        on_failure=None if action.failure_policy is None else _encode_failure_policy(action.failure_policy),
        timeout_ms=action.timeout_ms,
        concurrency=action.concurrency,
        durability=_DURABILITIES[action.durability],
        on_mismatch=_MISMATCHES[action.on_mismatch],
        config=values.encode(action.config, "config") if action.config else b"",
        former_names=action.former_names,
    )


def _encode_rate(resource: ResourceDeclaration) -> plan_pb2.ResourceRate:
    rate = resource.rate
    assert isinstance(rate, Rate), "compile_plan completes rates"
    return plan_pb2.ResourceRate(
        type=resource.type.value,
        name=resource.name,
        limit=rate.limit,
        per_seconds=rate.per,
        burst=rate.burst,
    )


def _encode_failure_policy(policy: FailurePolicy) -> plan_pb2.FailurePolicy:
    backoff = policy.backoff
    return plan_pb2.FailurePolicy(
        decision=_DECISIONS[policy.on_failure],
        max_attempts=policy.max_attempts,
        initial_backoff_ms=round(backoff.initial_seconds * 1000),
        max_backoff_ms=round(backoff.max_seconds * 1000),
        multiplier_permille=round(backoff.multiplier * 1000),
        jitter_permille=round(backoff.jitter * 1000),
    )
