"""The pool that `def` actions run in.

Not concurrent.futures: a Future per job costs more than a small action, and its threads hold up the end of the process,
which one action that never returns must not.
"""

from __future__ import annotations

import threading
from collections import deque
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
        self._jobs: deque[Callable[[], None]] = deque()
        self._has_jobs = threading.Condition()
        self._threads: list[threading.Thread] = []
        # Threads that wait, those among them that were notified and have not taken their job yet.
        self._idle = 0
        self._is_closed = False

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job in one of the threads. It must not raise."""
        with self._has_jobs:
            self._jobs.append(job)
            # Not "is anybody idle": one that was notified has its job waiting here as well.
            if self._idle >= len(self._jobs):
                self._has_jobs.notify()
            elif len(self._threads) < self._size:
                thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """Let the threads end when they have done what is queued. Waits for nothing."""
        with self._has_jobs:
            self._is_closed = True
            self._has_jobs.notify_all()

    def _work(self) -> None:
        while True:
            with self._has_jobs:
                while not self._jobs:
                    if self._is_closed:
                        return
                    self._idle += 1
                    self._has_jobs.wait()
                    self._idle -= 1
                job = self._jobs.popleft()
            job()
