"""`flink-actions serve`: starts the workers, then becomes their supervisor.

In this order, because both load gRPC and each takes as long as the other: they do it at the same time.
"""

from __future__ import annotations

import importlib.util
import logging
import sys

from flink_actions.server.config import ServerSettings
from flink_actions.server.errors import ConfigError, StartError
from flink_actions.server.spawn import SpawnedWorker, spawn_crew

__all__ = ["rename_in_log", "serve", "set_up_logging"]


def serve(settings: ServerSettings, started_at: float) -> int:
    """Run the server until it is told to leave; return the exit code."""
    if not settings.targets:
        raise ConfigError("nothing to serve: name a target, such as agent.py:agent")
    if settings.allow_pickle and importlib.util.find_spec("cloudpickle") is None:
        # Now, and not when the first action's value asks for it.
        raise StartError(
            f"allow_pickle is on, and the package cloudpickle is not in the server's environment ({sys.prefix}): "
            "install flink-actions[pickle] there, or start the server without --allow-pickle"
        )
    set_up_logging(settings)
    workers = spawn_crew(settings)
    try:
        _supervise(settings, workers, started_at)
    finally:
        for worker in workers:
            # The supervisor leaves none behind; this is for when it did not come to that.
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
    return 0


def _supervise(settings: ServerSettings, workers: list[SpawnedWorker], started_at: float) -> None:
    import asyncio

    from flink_actions.server.supervisor import Supervisor

    async def run() -> None:
        await Supervisor(settings, workers, started_at).run()

    asyncio.run(run())


def set_up_logging(settings: ServerSettings, process: str = "supervisor") -> None:
    """Lines on standard error. A process does this once, at its start."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line(process))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])


def rename_in_log(process: str) -> None:
    """From now on this is what the process calls itself."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, _Line):
            handler.formatter.process = process


class _Line(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(said_by)s: %(message)s")
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        record.said_by = self.process
        return super().format(record)
