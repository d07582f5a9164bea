"""Notices that the author has saved a file: what `--reload` waits for.

Looks twice a second at the folders that the agent's own modules were loaded from; that costs a handful of `stat` calls
and needs no library. A changed time stamp alone is no change: the contents decide.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

__all__ = ["SourceWatch"]

_INTERVAL_SECONDS = 0.5

_Stamp: TypeAlias = tuple[int, int, int]


class SourceWatch:
    """Remembers what the files held when they were added, or when it last said that they had changed."""

    def __init__(self) -> None:
        self._folders: set[Path] = set()
        self._stamps: dict[Path, _Stamp] = {}
        self._contents: dict[Path, bytes] = {}

    def add(self, files: Iterable[str]) -> None:
        """Watch these, and the other Python files of their folders: a module that does not load was never seen."""
        new_folders = {Path(file).parent for file in files} - self._folders
        self._folders |= new_folders
        stamps = _stamps_in(new_folders)
        self._stamps |= stamps
        self._contents |= _contents_of(stamps)

    async def until_changed(self) -> None:
        """Return when the files hold something else, and an editor that writes several has come to rest."""
        examined = self._stamps
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            stamps = _stamps_in(self._folders)
            has_come_to_rest, self._stamps = stamps == self._stamps, stamps
            if has_come_to_rest and stamps != examined:
                examined = stamps
                earlier, self._contents = self._contents, _contents_of(stamps)
                if self._contents != earlier:
                    return


def _stamps_in(folders: Iterable[Path]) -> dict[Path, _Stamp]:
    stamps: dict[Path, _Stamp] = {}
    for folder in folders:
        for path in folder.glob("*.py"):
            try:
                found = path.stat()
            except OSError:
                continue  # replaced in this moment; seen next time
            stamps[path] = (found.st_mtime_ns, found.st_size, found.st_ino)
    return stamps


def _contents_of(paths: Iterable[Path]) -> dict[Path, bytes]:
    contents: dict[Path, bytes] = {}
    for path in paths:
        try:
            contents[path] = hashlib.sha256(path.read_bytes()).digest()
        except OSError:
            continue
    return contents
