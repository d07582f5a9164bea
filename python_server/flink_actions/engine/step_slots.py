"""Which invocation each thread is stepping, in memory that outlives the process.

A worker that dies says nothing any more. What its threads wrote here just before they entered an author's code tells
the supervisor which invocations may have killed it, and which were merely in flight beside them.

A slot is empty while its thread runs no action's code, as far as the engine can see: what the event loop runs of tasks
that actions have made does not pass through the engine's hands.
"""

from __future__ import annotations

import struct
import threading
from typing import TypeAlias

ID_BYTES = 16
SLOT_BYTES = ID_BYTES + 8
NOTHING = bytes(ID_BYTES)
SOMETHING = b"\xff" * ID_BYTES
"""An author's code of which nobody knows to which invocation it belongs."""

Slot: TypeAlias = memoryview

show = struct.Struct(f"{ID_BYTES}s").pack_into
"""`show(slot, 0, invocation_id)` before a step. Not a slice assignment: that raises for an id of another length, and
whether a job sent a proper one must not matter here."""


class StepSlots:
    """One slot for the thread that makes this, which runs the event loop, and one for each thread of the pool.

    Args:
        memory: `SLOT_BYTES` for each of them; where nobody will read it, leave it out.
        threads: Of the pool.
    """

    def __init__(self, threads: int, memory: memoryview | None = None) -> None:
        self._memory = memory if memory is not None else memoryview(bytearray(slots_bytes(threads)))
        self._free = list(range(threads, 0, -1))
        self._of_thread = threading.local()
        self.loop: Slot = self._take(0)

    def of_thread(self) -> Slot:
        """The slot of the calling thread, its own from now on."""
        slot: Slot | None = getattr(self._of_thread, "slot", None)
        if slot is None:
            # A list's pop is atomic.
            slot = self._of_thread.slot = self._take(self._free.pop())
        return slot

    def _take(self, number: int) -> Slot:
        at = number * SLOT_BYTES
        self._memory[at + ID_BYTES : at + SLOT_BYTES] = threading.get_ident().to_bytes(8, "little")
        return self._memory[at : at + ID_BYTES]


def slots_bytes(threads: int) -> int:
    """How much memory the slots of a worker with this many threads take."""
    return (1 + threads) * SLOT_BYTES
