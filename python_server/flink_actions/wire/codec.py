"""Between frames and what the engine knows. The rest of the server speaks to the wire by these names."""

from flink_actions.wire.calls import decode_call, decode_places, encode_notes
from flink_actions.wire.invocations import decode_invocations
from flink_actions.wire.outcomes import encode_outcomes
from flink_actions.wire.plans import encode_plan

__all__ = ["decode_call", "decode_invocations", "decode_places", "encode_notes", "encode_outcomes", "encode_plan"]
