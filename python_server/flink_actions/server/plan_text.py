"""Plans as text for people: what `check` and `describe` print."""

from __future__ import annotations

from collections.abc import Iterator

from flink_actions.wire.v1 import plan_pb2

__all__ = ["plan_lines"]


def plan_lines(plan: plan_pb2.Plan) -> Iterator[str]:
    """One agent, its actions in declaration order, each with its triggers and what differs from the defaults."""
    hop_limit = f"   hop limit {plan.hop_limit}" if plan.hop_limit else ""
    yield f"agent {plan.agent}   plan {plan.digest.hex()}   code {plan.code_digest.hex()[:16]}{hop_limit}"
    width = max((len(action.name) for action in plan.actions), default=0)
    for action in plan.actions:
        triggers = " | ".join(trigger.event_type or trigger.cel for trigger in action.triggers)
        yield "  ".join([f"  {action.name:{width}}  on {triggers}", *_settings(action)])


def _settings(action: plan_pb2.Action) -> Iterator[str]:
    if action.former_names:
        yield f"formerly {', '.join(action.former_names)}"
    if action.timeout_ms:
        yield f"timeout {action.timeout_ms / 1000:g} s"
    if action.concurrency:
        yield f"at most {action.concurrency} at a time"
    if action.on_failure.max_attempts > 1:
        yield f"{action.on_failure.max_attempts} attempts"
    if action.on_failure.decision:
        yield f"then {plan_pb2.FailurePolicy.Decision.Name(action.on_failure.decision).lower()}"
    if action.config:
        yield f"config {action.config.decode()}"
