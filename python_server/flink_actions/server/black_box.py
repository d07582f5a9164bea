"""What a worker leaves behind when it dies: which invocations its threads were stepping, and which thread crashed.

Two files without a name, made by the supervisor, written by the worker, read when it has ended. The worker maps the
first one and writes to it as to its own memory; the second one gets the interpreter's report of a fatal signal.

What the supervisor says of suspects must never leave out the culprit, since the job clears the others. So it names
suspects only if it can tell where the process was; otherwise it says that it does not know.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import re
import signal
import tempfile
from dataclasses import dataclass
from typing import BinaryIO

from flink_actions.engine.step_slots import ID_BYTES, NOTHING, SLOT_BYTES, SOMETHING, slots_bytes

__all__ = ["ALL_INNOCENT", "NO_SUSPECTS", "BlackBox", "Suspects", "map_slots", "report_crashes_to"]

# The thread that got the signal, and its innermost frame; the report goes on with the other threads.
_CRASHED_THREAD = re.compile(
    rb'^Current thread 0x([0-9a-f]+)[^\n]*\n(?:  File "([^"\n]+)", line (\d+) in (\S+))?', re.MULTILINE
)
_LONGEST_REPORT = 1 << 20
# What a process does to itself; anything else came from outside.
_CRASHES = {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}


@dataclass(frozen=True)
class Suspects:
    """Invocation ids, if anything is known about what the worker did last."""

    are_known: bool = False
    ids: tuple[bytes, ...] = ()
    place: str = ""


NO_SUSPECTS = Suspects()
"""Nobody knows."""

ALL_INNOCENT = Suspects(are_known=True)
"""It is known that none of them has ended the worker."""


class BlackBox:
    """The supervisor's end. Used until `close`."""

    def __init__(self, threads: int) -> None:
        self._slots = _nameless_file()
        try:
            self._slots.truncate(slots_bytes(threads))
            self._report = _nameless_file()
        except OSError:
            self._slots.close()
            raise

    @property
    def fds(self) -> tuple[int, int]:
        """For the worker: of the slots and of the report."""
        return self._slots.fileno(), self._report.fileno()

    def read(self, exit_code: int, *, was_blocked: bool = False) -> Suspects:
        """Who may have ended the worker.

        Args:
            exit_code: Negative for a signal.
            was_blocked: It was ended because its event loop did not move. A thread of the pool may have held that up,
                so the one that got the signal tells the place and nothing else.
        """
        report = os.pread(self._report.fileno(), _LONGEST_REPORT, 0)
        crashed = _CRASHED_THREAD.search(report)
        slots = self._read_slots()
        place = _place_of(crashed) if crashed is not None else ""
        if crashed is not None and not was_blocked:
            thread = int(crashed.group(1), 16)
            return _known([shown for owner, shown in slots if owner == thread], place)
        if exit_code < 0 and -exit_code not in _CRASHES and not was_blocked:
            return Suspects()
        # It has ended itself, or has not moved. While the event loop's slot is empty, that may run what no slot shows.
        shown = [shown for _, shown in slots]
        return _known(shown, place) if shown[0] != NOTHING else Suspects(place=place)

    def close(self) -> None:
        """Free the memory."""
        self._slots.close()
        self._report.close()

    def _read_slots(self) -> list[tuple[int, bytes]]:
        content = os.pread(self._slots.fileno(), os.fstat(self._slots.fileno()).st_size, 0)
        return [
            (int.from_bytes(content[at + ID_BYTES : at + SLOT_BYTES], "little"), content[at : at + ID_BYTES])
            for at in range(0, len(content), SLOT_BYTES)
        ]


def map_slots(fd: int) -> memoryview:
    """The worker's view of its slots."""
    # Processes that actions start have no business with it.
    os.set_inheritable(fd, False)
    return memoryview(mmap.mmap(fd, os.fstat(fd).st_size))


def report_crashes_to(fd: int) -> None:
    """Let the interpreter write there where it was when a fatal signal came."""
    os.set_inheritable(fd, False)
    # Without the other threads it would not say which one it was.
    faulthandler.enable(file=fd, all_threads=True)


def _known(shown: list[bytes], place: str = "") -> Suspects:
    ids = tuple(dict.fromkeys(one for one in shown if one != NOTHING))
    if not ids or SOMETHING in ids:
        return Suspects(place=place)
    return Suspects(True, ids, place)


def _place_of(crashed: re.Match[bytes]) -> str:
    _, file, line, function = crashed.groups()
    return f"{file.decode()}:{line.decode()} in {function.decode()}" if file else ""


def _nameless_file() -> BinaryIO:
    """In memory where the system has that (Linux), else in a temporary folder."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("flink-actions"), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
