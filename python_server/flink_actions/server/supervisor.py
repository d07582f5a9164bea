"""The supervisor: the process at the server's address. It runs no user code.

It keeps the workers of the newest code serving, and tells jobs at once what happened to whom. Rules:

- The death of an incarnation is published before anything else is done about it: jobs wait for nothing else.
- A reload starts a second crew beside the first. Jobs see nothing of it until all its workers serve; if one does not,
  the first crew serves on. Only then does the first crew drain.
- Leaving: workers drain within the limit, what is left is killed, then the process exits 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio

from flink_actions.server.address import Address, UnixAddress, make_way_for_socket, parse_address
from flink_actions.server.config import ServerSettings
from flink_actions.server.crew import Crew
from flink_actions.server.directory import Directory, DirectoryService, WorkerStatus
from flink_actions.server.errors import StartError
from flink_actions.server.health import SERVICE_NAME as HEALTH_SERVICE
from flink_actions.server.health import Health
from flink_actions.server.listening import bind, grpc_options
from flink_actions.server.reflection import add_reflection
from flink_actions.server.security import ServerSecurity
from flink_actions.server.source_watch import SourceWatch
from flink_actions.server.spawn import SpawnedWorker, spawn_crew
from flink_actions.server.starter import when_stdin_ends
from flink_actions.wire.v1 import directory_pb2, directory_pb2_grpc

__all__ = ["Supervisor"]

_log = logging.getLogger(__name__)

# Dead incarnations that stay listed, for jobs that were not watching when it happened.
_LISTED_DEATHS = 32
_HEALTH_INTERVAL_SECONDS = 1.0
# Jobs need a moment to connect to the new workers; until then the old ones take their inputs.
_CONNECT_SECONDS = 1.0
# Crews that may drain at the same time; each takes the memory of its workers.
_MOST_DRAINING = 3


class Supervisor:
    """One life of the server. Runs on one event loop, but for a thread per worker that waits for its exit."""

    def __init__(self, settings: ServerSettings, first_workers: Sequence[SpawnedWorker], started_at: float) -> None:
        self._settings = settings
        self._first_workers = first_workers
        self._started_at = started_at
        self._address: Address = settings.address
        self._directory = Directory()
        # As jobs see them, oldest first; the last one takes new runs, the others drain.
        self._crews: list[Crew] = []
        self._draining: set[asyncio.Task[None]] = set()
        self._dead: deque[WorkerStatus] = deque(maxlen=_LISTED_DEATHS)
        # Of each slot the last one that left in good order.
        self._left: dict[str, WorkerStatus] = {}
        self._load_error = ""
        self._leaving = asyncio.Event()
        self._defect: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reload_wanted = asyncio.Event()
        self._sources = SourceWatch()
        self._security = ServerSecurity.read(settings)
        self._server = grpc.aio.server(options=grpc_options(), interceptors=self._security.interceptors())
        self._health_server = grpc.aio.server(options=grpc_options())
        self._health = Health(self._server)
        self._health.answer_at(self._health_server)

    async def run(self) -> None:
        """Serve until a signal asks to leave; raise `StartError` if the server cannot start."""
        # Before anything is done about the workers: if the address is taken they are not wanted.
        await self._listen()
        self._handle_signals()
        self._crews = [Crew(self._first_workers, self._settings, self)]
        leaving = asyncio.create_task(self._leaving.wait())
        tasks: list[asyncio.Task[Any]] = [
            leaving,
            asyncio.create_task(self._serve()),
            asyncio.create_task(self._look_after_workers()),
        ]
        try:
            done, _ = await asyncio.wait({self._defect, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                # Raises what went wrong: a failed start, or a defect in one of the tasks.
                ended.result()
            _log.info("leaving %s", self._address)
        finally:
            self._leaving.set()
            # A reload that goes on ends with its crew, before those that serve are told to go.
            await _cancel(tasks)
            await self._drain()
            await asyncio.gather(self._server.stop(grace=0.5), self._health_server.stop(grace=0.5))

    # ---- the address ----

    async def _listen(self) -> None:
        settings = self._settings
        add_service: Any = directory_pb2_grpc.add_DirectoryServicer_to_server
        add_service(DirectoryService(self._directory, self._on_quarantine_wanted), self._server)
        add_reflection(self._server, directory_pb2.DESCRIPTOR.services_by_name["Directory"].full_name, HEALTH_SERVICE)
        # Both before either starts: a server that has started would have to be stopped if the other cannot be bound.
        self._address = self._bind(self._server, settings.address, "--listen", self._security.credentials)
        health_address = None
        if settings.health_listen:
            try:
                health_address = self._bind(
                    self._health_server, parse_address(settings.health_listen), "--health-listen"
                )
            except StartError:
                if isinstance(self._address, UnixAddress):
                    # gRPC removes it for servers that have started.
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self._address.path)
                raise
        await self._health.set("liveness", True)
        await self.on_change()
        await self._server.start()
        _log.info("listening at %s%s", self._address, f" ({self._security})" if str(self._security) else "")
        if health_address is not None:
            await self._health_server.start()
            _log.info("answering health checks at %s", health_address)

    def _bind(
        self, server: grpc.aio.Server, address: Address, flag: str, credentials: grpc.ServerCredentials | None = None
    ) -> Address:
        if isinstance(address, UnixAddress):
            make_way_for_socket(address, flag)
        return bind(server, address, self._settings.socket_mode, credentials, flag=flag)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_leave_signal, number)
        loop.add_signal_handler(signal.SIGHUP, self._ask_for_reload, "SIGHUP")
        if self._settings.exit_with_stdin:
            when_stdin_ends(lambda: self._leave("standard input has ended"))

    def _on_leave_signal(self, number: signal.Signals) -> None:
        if self._leaving.is_set():
            _log.warning("second %s: not waiting for running actions any longer", signal.Signals(number).name)
            for crew in self._crews:
                crew.kill()
            return
        self._leave(signal.Signals(number).name)

    def _leave(self, why: str) -> None:
        if not self._leaving.is_set():
            _log.info("%s: running actions may finish within %g s", why, self._settings.drain_seconds)
            self._leaving.set()

    # ---- serving ----

    async def _serve(self) -> None:
        """Start, then reload whenever that is asked for. Ends by an error or by being cancelled."""
        first = self._crews[0]
        await first.until_ready()
        self._announce_start(first)
        watching = asyncio.create_task(self._watch_sources(first)) if self._settings.reload else None
        reloading = asyncio.create_task(self._reload_when_asked())
        tasks = [task for task in (watching, reloading) if task is not None]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            await _cancel(tasks)

    def _announce_start(self, crew: Crew) -> None:
        _log.info(
            "serving %s at %s with %d worker(s), ready %.2f s after the start",
            crew.describe_agents(),
            self._address,
            len(crew.alive),
            time.time() - self._started_at,
        )

    async def _watch_sources(self, crew: Crew) -> None:
        self._sources.add(crew.source_files)
        while True:
            await self._sources.until_changed()
            self._ask_for_reload("source files changed")

    # ---- reloading ----

    def _ask_for_reload(self, why: str) -> None:
        if self._leaving.is_set():
            return
        _log.info("%s: reloading", why)
        self._reload_wanted.set()

    async def _reload_when_asked(self) -> None:
        while True:
            # What is asked for while one goes on comes after it, once, however often it was asked for.
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            await self._make_room()
            try:
                crew = await self._start_crew()
            except StartError as error:
                self._load_error = str(error)
                await self.on_change()
                _log.error("reload failed, the code from before serves on: %s", " ".join(self._load_error.split()))
            else:
                await self._switch_to(crew)

    async def _make_room(self) -> None:
        """Wait until another crew may drain; what merely stays as an archive is not waited for."""
        while len(self._draining) >= _MOST_DRAINING:
            archive = next((crew for crew in self._crews[:-1] if crew.is_archived), None)
            if archive is not None:
                _log.warning("generation %s leaves with work that no checkpoint covers", archive.generations[-1])
                await archive.leave(0.0)
            await asyncio.wait(self._draining, return_when=asyncio.FIRST_COMPLETED)

    async def _start_crew(self) -> Crew:
        """New processes with the code as it is now, all serving; nobody knows of them yet."""
        crew = Crew(spawn_crew(self._settings), self._settings, self)
        is_wanted = False
        try:
            await crew.until_ready()
            is_wanted = True
        finally:
            if not is_wanted:
                crew.kill()
                await crew.until_over()
        return crew

    async def _switch_to(self, crew: Crew) -> None:
        earlier = self._crews[-1]
        self._crews.append(crew)
        self._load_error = ""
        self._sources.add(crew.source_files)
        await self.on_change()
        _log.info("reloaded: %s, generation %s", crew.describe_agents(), crew.generations[-1])
        await asyncio.sleep(_CONNECT_SECONDS)
        draining = asyncio.create_task(self._retire(earlier))
        self._draining.add(draining)
        draining.add_done_callback(self._draining.discard)

    async def _retire(self, crew: Crew) -> None:
        await crew.leave(self._settings.drain_seconds, for_reload=True)
        # While the server leaves, it is told so once more, and that waits for all of them.
        if not self._leaving.is_set():
            self._crews.remove(crew)
            await self.on_change()
            _log.info("generation %s has drained", crew.generations[-1])

    def _on_quarantine_wanted(self) -> None:
        if self._crews and not self._leaving.is_set():
            self._crews[-1].want_quarantine()

    # ---- what crews say ----

    async def on_change(self) -> None:
        """Jobs first, health checks after."""
        workers = [worker.status for crew in self._crews for worker in crew.alive.values()]
        generations = [generation for crew in self._crews for generation in crew.generations]
        used = {status.generation for status in workers}
        # The newest stays, even while no worker of it lives: it is what the next worker most likely loads.
        generations = [one for one in generations[:-1] if one.id in used] + generations[-1:]
        retiring = set() if self._leaving.is_set() else self._retiring_generations()
        listed = [*workers, *self._dead, *self._left.values()]
        self._directory.publish(generations, listed, draining=retiring, load_error=self._load_error)
        await self._report_health()

    def _retiring_generations(self) -> set[bytes]:
        return {generation.id for crew in self._crews if crew.is_leaving for generation in crew.generations}

    def on_death(self, crew: Crew, dead: WorkerStatus) -> None:
        """Jobs that were not watching will still learn of it."""
        if crew in self._crews:
            self._dead.append(dead)

    def on_leave(self, crew: Crew, left: WorkerStatus) -> None:
        """So will those whose connection to it was lost before it said Bye."""
        if crew in self._crews:
            self._left[left.worker] = left

    def on_load_error(self, crew: Crew, message: str) -> None:
        """A worker of the crew that serves could not be replaced, or could again."""
        if crew is self._crews[-1]:
            self._load_error = message

    def on_defect(self, error: BaseException) -> None:
        """Ends the server: whoever watches over it starts it afresh."""
        if not self._defect.done():
            self._defect.set_exception(error)

    def on_other_code(self, crew: Crew) -> None:
        """One worker has the new code already; all should."""
        if crew is self._crews[-1]:
            self._ask_for_reload("a worker that was restarted has loaded changed code")

    # ---- health ----

    async def _look_after_workers(self) -> None:
        # A blocked event loop sends nothing, so no message will ever say that it is blocked.
        while True:
            await asyncio.sleep(_HEALTH_INTERVAL_SECONDS)
            for crew in self._crews:
                crew.end_blocked(_HEALTH_INTERVAL_SECONDS)
            await self._report_health()

    async def _report_health(self) -> None:
        serving = self._crews[-1].alive if self._crews else {}
        is_any_ready = False
        for spawned in self._first_workers:
            worker = serving.get(spawned.worker)
            is_ready = worker is not None and worker.is_ready(self._settings.blocked_after_seconds)
            is_any_ready = is_any_ready or is_ready
            await self._health.set(f"worker/{spawned.worker}", is_ready)
        is_crash_looping = bool(self._crews) and self._crews[-1].is_crash_looping
        await self._health.set("", is_any_ready and not is_crash_looping and not self._leaving.is_set())

    # ---- leaving ----

    async def _drain(self) -> None:
        self._leaving.set()
        limit = self._settings.drain_seconds
        await asyncio.gather(*[crew.leave(limit) for crew in self._crews])
        await _cancel(list(self._draining))
        self._directory.close()


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
