"""The process that has started this one, as far as it can be known: by the pipe that it holds at standard input.

The system closes the pipe when that process ends, however it ends; nobody has to say goodbye.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable

__all__ = ["when_stdin_ends"]

_STDIN = 0


def when_stdin_ends(tell: Callable[[], None]) -> None:
    """Have `tell` called on the running loop once standard input has ended; what comes in before that is ignored."""
    loop = asyncio.get_running_loop()

    def wait_for_end() -> None:
        # Not by sys.stdin: its lock, held by a thread that waits, would end the interpreter's exit with an abort.
        with contextlib.suppress(OSError):
            while os.read(_STDIN, 4096):
                pass
        # The loop may be closed: then nobody is left to tell.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=wait_for_end, name="end of standard input", daemon=True).start()
