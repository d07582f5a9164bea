"""Plans as text for people: what `check` and `describe` print."""

from __future__ import annotations

from collections.abc import Iterator

from flink_actions.engine.plan import Plan
from flink_actions.engine.references import references_of
from flink_actions.sdk.events import INPUT_EVENT
from flink_actions.sdk.resources import ResourceDescriptor
from flink_actions.wire.v1 import plan_pb2

__all__ = ["agent_in_short", "plan_lines", "resource_lines"]

_DECISIONS = {
    plan_pb2.FailurePolicy.FAIL: "then fail",
    plan_pb2.FailurePolicy.DEAD_LETTER: "then dead_letter",
    plan_pb2.FailurePolicy.IGNORE: "then ignore",
}
_DURABILITIES = {
    plan_pb2.NONE: "durability none",
    plan_pb2.SYNCHRONOUS: "durability synchronous",
}
_NO_INPUT = f"no action is triggered by {INPUT_EVENT}: a job's inputs start none of them"


def plan_lines(plan: plan_pb2.Plan) -> Iterator[str]:
    """One agent, its actions in declaration order, each with its triggers and what differs from the defaults, and the
    rates of its resources."""
    hop_limit = f"   hop limit {plan.hop_limit}" if plan.hop_limit else ""
    yield f"agent {plan.agent}   plan {plan.digest.hex()}   code {plan.code_digest.hex()[:16]}{hop_limit}"
    width = max((len(action.name) for action in plan.actions), default=0)
    for action in plan.actions:
        triggers = " | ".join(trigger.event_type or trigger.cel for trigger in action.triggers)
        yield "  ".join([f"  {action.name:{width}}  on {triggers}", *_settings(action)])
    if _hears_no_input(plan):
        yield f"  {_NO_INPUT}"
    for rate in plan.rates:
        often = f"{rate.limit:g} uses every {rate.per_seconds:g} s, {rate.burst} at once, in each worker"
        yield f"  rate of {rate.type} {rate.name}  {often}"


def agent_in_short(plan: plan_pb2.Plan) -> str:
    """One agent, for a log line."""
    ending = f"; {_NO_INPUT}" if _hears_no_input(plan) else ""
    return f"{plan.agent!r} ({len(plan.actions)} actions{ending})"


def _hears_no_input(plan: plan_pb2.Plan) -> bool:
    """Whether no input starts any of its actions, mostly for a slip in a trigger: then none ever runs."""
    return not any(trigger.event_type == INPUT_EVENT for action in plan.actions for trigger in action.triggers)


def resource_lines(plan: Plan) -> Iterator[str]:
    """The agent's resources in declaration order, each with its class and those that it refers to."""
    for (kind, name), declaration in plan.resources.items():
        provider = declaration.provider
        made = provider.class_name if isinstance(provider, ResourceDescriptor) else type(provider).__qualname__
        needed = [f"{wanted.value} {other}" for wanted, other in references_of(declaration)]
        yield "  ".join([f"  resource {kind.value} {name}", made, *(f"needs {reference}" for reference in needed)])


def _settings(action: plan_pb2.Action) -> Iterator[str]:
    if action.former_names:
        yield f"formerly {', '.join(action.former_names)}"
    if action.timeout_ms:
        yield f"timeout {action.timeout_ms / 1000:g} s"
    if action.concurrency:
        yield f"at most {action.concurrency} at a time"
    yield from _failure_policy(action)
    if action.durability in _DURABILITIES:
        yield _DURABILITIES[action.durability]
    if action.on_mismatch == plan_pb2.MISMATCH_TRUNCATE:
        yield "on_mismatch truncate"
    if action.config:
        yield f"config {action.config.decode()}"


def _failure_policy(action: plan_pb2.Action) -> Iterator[str]:
    if not action.HasField("on_failure"):
        yield "on failure the job's default"
        return
    policy = action.on_failure
    if policy.max_attempts > 1:
        yield f"{policy.max_attempts} attempts, {_waits(policy)}"
    if policy.decision in _DECISIONS:
        yield _DECISIONS[policy.decision]


def _waits(policy: plan_pb2.FailurePolicy) -> str:
    first, most = policy.initial_backoff_ms / 1000, policy.max_backoff_ms / 1000
    times, jitter = policy.multiplier_permille / 1000, policy.jitter_permille / 10
    return f"waits from {first:g} s, times {times:g}, to {most:g} s (jitter {jitter:g} %)"
