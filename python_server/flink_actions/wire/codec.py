"""Between frames and what the engine knows (skeleton; bodies come next)."""

from __future__ import annotations

from collections.abc import Sequence

from flink_actions.engine.invocation import Invocation, Outcome
from flink_actions.engine.plan import Plan
from flink_actions.wire.v1 import plan_pb2, session_pb2


def decode_invocations(frame: session_pb2.OperatorFrame) -> list[Invocation]:
    """The invocations of a frame, in order. `Invocation.cost_bytes` is the serialized size of its Invoke."""
    raise NotImplementedError


def encode_outcomes(outcomes: Sequence[Outcome], max_frame_bytes: int) -> list[session_pb2.WorkerFrame]:
    """Outcomes as few frames, in order, none above the limit. `sequence` and `ack` are left to the session.

    A Result that exceeds the limit on its own becomes a Failure TOO_LARGE.
    """
    raise NotImplementedError


def encode_plan(plan: Plan) -> plan_pb2.Plan:
    """A plan with its digest (see plan.proto)."""
    raise NotImplementedError
