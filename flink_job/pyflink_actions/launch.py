"""A server that the job starts itself."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from pyflink_actions.errors import OptionError

_Text = str | os.PathLike[str]


@dataclass(frozen=True)
class Launch:
    """A server in each TaskManager that runs the job, for people without one beside them.

    The job starts it with its first subtask there, restarts it if it dies, and ends it with the last one; a TaskManager
    that is killed takes it along. What it says is in the TaskManager's log. A target that does not load fails the job,
    in the server's own words. All paths are read on the TaskManagers' machines: the agents' code and the virtual
    environment have to be there.

    Args:
        target: What to serve, one or several: `package.module:agent`, to be found in the environment or in `folder`, or
            `/path/to/agent.py:agent`. Paths may be `Path`s, here as below.
        python: The interpreter of the environment that has flink-actions and what the agents need (`python3`).
        workers: Processes that run actions; one keeps about one core busy (1).
        folder: Where the server is started; relative paths begin there (the TaskManager's own).
        arguments: More of `flink-actions serve`, such as `["--threads", "64", "--reload"]`.

    Raises:
        OptionError: There is no target, one is neither text nor path, or `arguments` is no list.

    Example:
        ActionServer(launch=Launch("/opt/agents/shop.py:agent", python="/opt/agents/venv/bin/python", workers=2))
    """

    target: _Text | Sequence[_Text]
    python: _Text | None = None
    workers: int | None = None
    folder: _Text | None = None
    arguments: Sequence[_Text] = ()

    def __post_init__(self) -> None:
        if not self.target:
            raise OptionError("Launch has no target: name what to serve, such as '/opt/agents/agent.py:agent'")
        for target in self._targets():
            if not isinstance(target, (str, os.PathLike)):
                raise OptionError(
                    f"Launch's target {target!r} is neither text nor path: write it as '/opt/agents/agent.py:agent'"
                )
        if isinstance(self.arguments, str):
            raise OptionError(f"Launch's arguments are {self.arguments!r}: give them as a list, one text for each word")

    def options(self) -> dict[str, object]:
        """Keys of the `agent:` section; None where nothing was given."""
        return {
            "launch.target": json.dumps(self._targets(), default=os.fspath),
            "launch.python": None if self.python is None else os.fspath(self.python),
            "launch.workers": self.workers,
            "launch.folder": None if self.folder is None else os.fspath(self.folder),
            "launch.arguments": json.dumps(list(self.arguments), default=os.fspath) if self.arguments else None,
        }

    def _targets(self) -> list[_Text]:
        if isinstance(self.target, (str, bytes)) or not isinstance(self.target, Sequence):
            return [self.target]
        return list(self.target)
