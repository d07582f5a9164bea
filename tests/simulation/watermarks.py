"""Watermarks that wait for the inputs before them, as the operator's segments do; a model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["Segments"]


class Segments:
    """Inputs between watermarks.

    Args:
        emit: Takes the watermarks that leave.
    """

    def __init__(self, emit: Callable[[int], None]) -> None:
        self._emit = emit
        # Names of unfinished inputs, and the watermark behind them.
        self._segments: deque[tuple[set[str], int]] = deque()
        self._last: set[str] = set()

    def on_input(self, name: str) -> None:
        """An input is there; watermarks that come now wait for it."""
        self._last.add(name)

    def on_watermark(self, timestamp: int) -> None:
        """A watermark is there."""
        self._segments.append((self._last, timestamp))
        self._last = set()
        self._release()

    def on_finished(self, name: str) -> None:
        """All that the input caused has left."""
        for names, _ in self._segments:
            names.discard(name)
        self._last.discard(name)
        self._release()

    def _release(self) -> None:
        while self._segments and not self._segments[0][0]:
            self._emit(self._segments.popleft()[1])

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held."""
        return not self._segments and not self._last
