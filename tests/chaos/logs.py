"""What the logs of a server and of TaskManagers say that no fault accounts for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_WORKER_DIED = re.compile(r"\(pid (\d+)\) died: (\w+)")
# Bugs that nothing else may show: the process goes on, or its end looks like one of those that were ordered.
_BUG = re.compile(r"CRITICAL|\bdefect\b|exception was never retrieved|Exception in thread|FATAL|[Uu]ncaught exception")


def complaints(log: str, ended: Collection[int]) -> Iterator[str]:
    """Lines that must not be there: of bugs, and of workers that ended otherwise than by the signal of a fault.

    Args:
        log: Of a process, or of several that write into one.
        ended: Process ids of the workers that faults have ended.
    """
    for line in log.splitlines():
        died = _WORKER_DIED.search(line)
        is_fault = died is not None and died[2] == "signal" and int(died[1]) in ended
        if (died is not None and not is_fault) or _BUG.search(line):
            yield line
