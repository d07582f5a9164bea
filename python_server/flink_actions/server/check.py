"""`flink-actions check`: loads agents as a worker would and prints what a job would be told."""

from __future__ import annotations

from collections.abc import Sequence

from flink_actions.engine.loading import load_agents
from flink_actions.sdk.errors import AgentLoadError
from flink_actions.server.errors import StartError
from flink_actions.server.plan_text import plan_lines, resource_lines
from flink_actions.wire.codec import encode_plan

__all__ = ["check"]


def check(targets: Sequence[str]) -> int:
    """Print the plan of each agent and return 0; raise `StartError` that says where and why loading failed."""
    try:
        loaded = load_agents(targets)
    except AgentLoadError as error:
        raise StartError(str(error)) from error
    for plan in loaded.plans.values():
        print("\n".join([*plan_lines(encode_plan(plan)), *resource_lines(plan)]))
    for path in loaded.source_files:
        print(f"source {path}")
    return 0
