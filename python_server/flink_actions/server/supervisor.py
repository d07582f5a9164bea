"""The supervisor: the process at the server's address. It runs no user code.

It starts N workers, restarts those that die, and tells jobs at once what happened to whom. Rules:

- A worker serves only after the supervisor has admitted it to a generation.
- Every worker slot ("w0", "w1", ...) has one task that owns whatever process is in it, from start to exit.
- The death of an incarnation is published before anything else is done about it: jobs wait for nothing else.
- Until every slot has served once, the failure of any worker ends the server: what cannot start is not retried.
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
from dataclasses import replace
from typing import Any

import grpc.aio

from flink_actions.server import control
from flink_actions.server.address import Address, UnixAddress, make_way_for_socket, parse_address
from flink_actions.server.config import ServerSettings
from flink_actions.server.directory import Directory, DirectoryService, Generation, WorkerStatus
from flink_actions.server.errors import StartError
from flink_actions.server.health import SERVICE_NAME as HEALTH_SERVICE
from flink_actions.server.health import Health
from flink_actions.server.listening import bind, grpc_options
from flink_actions.server.reflection import add_reflection
from flink_actions.server.spawn import SpawnedWorker, spawn_worker
from flink_actions.server.worker_process import WorkerProcess
from flink_actions.wire.v1 import directory_pb2, directory_pb2_grpc

__all__ = ["Supervisor"]

_log = logging.getLogger(__name__)

_FIRST_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 10.0
# A worker that has served for this long before it died is restarted at once.
_STABLE_SECONDS = 10.0
# This many deaths within this time are a crash loop.
_CRASH_LOOP_DEATHS = 5
_CRASH_LOOP_SECONDS = 60.0
# Dead incarnations that stay listed, for jobs that were not watching when it happened.
_LISTED_DEATHS = 32
# Beyond the drain limit, for a worker to say its good-byes.
_EXIT_GRACE_SECONDS = 10.0
_HEALTH_INTERVAL_SECONDS = 1.0


class Supervisor:
    """One life of the server. Runs on one event loop, but for a thread per worker that waits for its exit."""

    def __init__(self, settings: ServerSettings, first_workers: Sequence[SpawnedWorker], started_at: float) -> None:
        self._settings = settings
        self._first_workers = first_workers
        self._started_at = started_at
        self._address: Address = settings.address
        self._directory = Directory()
        self._generations: list[Generation] = []
        self._alive: dict[str, WorkerProcess] = {}
        self._dead: deque[WorkerStatus] = deque(maxlen=_LISTED_DEATHS)
        self._death_times: deque[float] = deque(maxlen=_CRASH_LOOP_DEATHS)
        self._load_error = ""
        self._has_started = False
        self._leaving = asyncio.Event()
        self._start_failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._server = grpc.aio.server(options=grpc_options())
        self._health_server = grpc.aio.server(options=grpc_options())
        self._health = Health(self._server)
        self._health.answer_at(self._health_server)

    async def run(self) -> None:
        """Serve until a signal asks to leave; raise `StartError` if the server cannot start."""
        # Before anything is done about the workers: if the address is taken they are not wanted.
        await self._listen()
        self._leave_on_signals()
        slots = [asyncio.create_task(self._keep_slot(spawned)) for spawned in self._first_workers]
        leaving = asyncio.create_task(self._leaving.wait())
        tasks: list[asyncio.Task[Any]] = [*slots, leaving, asyncio.create_task(self._report_health_regularly())]
        try:
            done, _ = await asyncio.wait({self._start_failure, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                # Raises what went wrong: a failed start, or a defect in one of the tasks.
                ended.result()
            _log.info("leaving %s", self._address)
        finally:
            await self._drain(slots)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(self._server.stop(grace=0.5), self._health_server.stop(grace=0.5))

    # ---- the address ----

    async def _listen(self) -> None:
        address = self._settings.address
        if isinstance(address, UnixAddress):
            make_way_for_socket(address)
        add_service: Any = directory_pb2_grpc.add_DirectoryServicer_to_server
        add_service(DirectoryService(self._directory), self._server)
        add_reflection(self._server, directory_pb2.DESCRIPTOR.services_by_name["Directory"].full_name, HEALTH_SERVICE)
        self._address = bind(self._server, address, self._settings.socket_mode)
        await self._health.set("liveness", True)
        await self._publish()
        await self._server.start()
        _log.info("listening at %s", self._address)
        if self._settings.health_listen:
            await self._listen_for_health(parse_address(self._settings.health_listen))

    async def _listen_for_health(self, address: Address) -> None:
        if isinstance(address, UnixAddress):
            make_way_for_socket(address)
        bound = bind(self._health_server, address, self._settings.socket_mode)
        await self._health_server.start()
        _log.info("answering health checks at %s", bound)

    def _leave_on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_leave_signal, number)

    def _on_leave_signal(self, number: signal.Signals) -> None:
        if self._leaving.is_set():
            _log.warning("second %s: not waiting for running actions any longer", signal.Signals(number).name)
            for worker in self._alive.values():
                worker.kill()
            return
        limit = self._settings.drain_seconds
        _log.info("%s: running actions may finish within %g s", signal.Signals(number).name, limit)
        self._leaving.set()

    # ---- one worker slot ----

    async def _keep_slot(self, spawned: SpawnedWorker) -> None:
        """Keep a process in the slot until the server leaves."""
        backoff_seconds = 0.0
        while True:
            worker = WorkerProcess(spawned, self._on_message)
            self._alive[worker.name] = worker
            await self._publish()
            try:
                await worker.run(self._on_exit)
                self._explain_death(worker)
            except Exception:  # a defect in one slot must not end the others
                _log.exception("a defect at worker %s: it is replaced", worker.name)
                worker.kill()
                self._alive.pop(worker.name, None)
            is_unstable = worker.served_seconds < _STABLE_SECONDS
            backoff_seconds = _next_backoff(backoff_seconds) if is_unstable else 0.0
            if self._start_failure.done() or await self._is_leaving_within(backoff_seconds):
                return
            spawned = spawn_worker(worker.name, self._settings)

    async def _is_leaving_within(self, seconds: float) -> bool:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._leaving.wait(), seconds)
        return self._leaving.is_set()

    async def _on_message(self, worker: WorkerProcess, message: control.Message) -> None:
        match message:
            case control.Loaded():
                generation = self._generation_of(message)
                worker.status = replace(worker.status, generation=generation.id, address=message.address)
                worker.send(control.Admitted(generation.id))
            case control.Serving():
                worker.served_since = time.monotonic()
                worker.status = replace(worker.status, state=directory_pb2.WorkerEntry.SERVING)
                self._load_error = ""
                await self._publish()
                self._announce_start()
            case control.LoadFailed():
                self._on_load_failed(worker, message)
            case control.Heartbeat():
                worker.last_heartbeat = time.monotonic()
            case _:
                _log.error("worker %s sent %s, which is not a worker's to send", worker.name, type(message).__name__)

    def _generation_of(self, loaded: control.Loaded) -> Generation:
        for generation in self._generations:
            if generation.is_of(loaded.code_digest, loaded.agents):
                return generation
        generation = Generation(os.urandom(16), loaded.code_digest, loaded.agents)
        if self._generations:
            _log.warning("the code has changed since the server started: new generation %s", generation.id.hex()[:8])
        self._generations.append(generation)
        return generation

    def _announce_start(self) -> None:
        if self._has_started or not all(worker.is_serving for worker in self._alive.values()):
            return
        self._has_started = True
        _log.info(
            "serving %s at %s with %d worker(s), ready %.2f s after the start",
            ", ".join(f"{offer.agent!r} ({offer.action_count} actions)" for offer in self._generations[-1].agents),
            self._address,
            len(self._alive),
            time.time() - self._started_at,
        )

    def _on_load_failed(self, worker: WorkerProcess, failure: control.LoadFailed) -> None:
        worker.has_explained_itself = True
        if self._has_started:
            self._load_error = failure.message
            _log.error("worker %s could not load the code:\n%s", worker.name, failure.message)
        else:
            self._fail_start(failure.message)

    def _fail_start(self, message: str) -> None:
        # Several workers fail for one reason: the first says it, once.
        if not self._start_failure.done():
            self._start_failure.set_exception(StartError(message))

    async def _on_exit(self, worker: WorkerProcess) -> None:
        """Tell the jobs; what else there is to do comes after."""
        del self._alive[worker.name]
        if not (self._leaving.is_set() and worker.exit_code == 0):
            dead = replace(worker.status, state=directory_pb2.WorkerEntry.DEAD, exit_reason=worker.exit_reason())
            self._dead.append(dead)
            self._death_times.append(time.monotonic())
        await self._publish()

    def _explain_death(self, worker: WorkerProcess) -> None:
        worker.remove_socket_file()
        if (
            worker.has_explained_itself
            or self._start_failure.done()
            or (self._leaving.is_set() and worker.exit_code == 0)
        ):
            return
        reason = worker.exit_reason()
        _log.error("worker %s (pid %d) died: %s", worker.name, worker.pid, reason)
        if not self._has_started:
            self._fail_start(f"worker {worker.name} died while it loaded {', '.join(self._settings.targets)}: {reason}")

    # ---- what others see ----

    async def _publish(self) -> None:
        """Jobs first, health checks after."""
        alive = [worker.status for worker in self._alive.values()]
        used = {status.generation for status in alive}
        # The newest stays, even while no worker of it lives: it is what the next worker most likely loads.
        self._generations = [g for g in self._generations[:-1] if g.id in used] + self._generations[-1:]
        self._directory.publish(self._generations, [*alive, *self._dead], load_error=self._load_error)
        await self._report_health()

    async def _report_health_regularly(self) -> None:
        # A blocked event loop sends nothing, so no message will ever say that it is blocked.
        while True:
            await asyncio.sleep(_HEALTH_INTERVAL_SECONDS)
            await self._report_health()

    async def _report_health(self) -> None:
        is_any_ready = False
        for spawned in self._first_workers:
            worker = self._alive.get(spawned.worker)
            is_ready = worker is not None and worker.is_ready(self._settings.blocked_after_seconds)
            is_any_ready = is_any_ready or is_ready
            await self._health.set(f"worker/{spawned.worker}", is_ready)
        await self._health.set("", is_any_ready and not self._is_crash_looping() and not self._leaving.is_set())

    def _is_crash_looping(self) -> bool:
        times = self._death_times
        return len(times) == _CRASH_LOOP_DEATHS and time.monotonic() - times[0] < _CRASH_LOOP_SECONDS

    # ---- leaving ----

    async def _drain(self, slots: Sequence[asyncio.Task[None]]) -> None:
        self._leaving.set()
        for worker in self._alive.values():
            if not self._has_started:
                worker.kill()
            worker.status = replace(worker.status, state=directory_pb2.WorkerEntry.DRAINING)
            worker.send(control.DrainOrder(self._settings.drain_seconds))
        await self._publish()
        limit = self._settings.drain_seconds + _EXIT_GRACE_SECONDS
        _, late = await asyncio.wait(slots, timeout=limit)
        for worker in self._alive.values():
            _log.warning("worker %s did not leave within %g s: killed", worker.name, limit)
            worker.kill()
        if late:
            await asyncio.wait(late, timeout=_EXIT_GRACE_SECONDS)
        self._directory.close()


def _next_backoff(seconds: float) -> float:
    return min(seconds * 2, _LONGEST_BACKOFF_SECONDS) if seconds else _FIRST_BACKOFF_SECONDS
