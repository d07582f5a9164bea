"""Which versions of the protocol this server speaks, and its own version."""

from __future__ import annotations

__all__ = ["ALL_RESUMED", "PROTOCOL_MAX", "PROTOCOL_MIN", "SERVER_VERSION"]

PROTOCOL_MIN = 1
PROTOCOL_MAX = 1

# Capability of an operator; see session.proto on reconnects.
ALL_RESUMED = "all_resumed"

# Written here although the package's metadata has it: reading metadata costs a tenth of the time that a start may take.
# A test holds the two together.
SERVER_VERSION = "0.1.0"
