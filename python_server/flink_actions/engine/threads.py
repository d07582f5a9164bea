"""The pool that `def` actions run in.

Not concurrent.futures: a Future per job costs more than a small action, and its threads hold up the end of the process,
which one action that never returns must not.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class ThreadPool:
    """Runs jobs in at most `size` daemon threads, in the order they came.

    The queue holds no more than the invocations that are open, and those the session's credit bounds.

    Args:
        size: Most threads. They start when they are needed.
        name: Of the threads.
    """

    def __init__(self, size: int, name: str) -> None:
        if size < 1:
            raise ValueError(f"a thread pool of {size} threads runs nothing: use 1 or more")
        self._size = size
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._waiting = 0
        self._lock = threading.Lock()

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job in one of the threads. It must not raise."""
        with self._lock:
            self._jobs.put(job)
            if self._waiting < self._jobs.qsize() and len(self._threads) < self._size:
                thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """Let the threads end when they have done what is queued. Waits for nothing."""
        with self._lock:
            for _ in self._threads:
                self._jobs.put(None)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._waiting += 1
            job = self._jobs.get()
            with self._lock:
                self._waiting -= 1
            if job is None:
                return
            job()
