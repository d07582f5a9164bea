"""The workers that were started together from one version of the user's code.

A crew is loading, then serves, then leaves; it never goes back. Rules:

- Every worker slot ("w0", "w1", ...) has one task that owns whatever process is in it, from start to exit.
- A worker serves only after it was admitted to a generation.
- Until every slot has served once, the failure of any worker fails the crew: what cannot start is not retried.
- From then on a worker that dies is replaced: at once, and by a spare that has the code loaded if there is one; after a
  pause that grows if those before it in the slot died young as well; in a crew that leaves, never. If it cannot be
  started, because the machine has no process or file to give, that is tried again; if it hangs before it serves, it is
  killed.
- A worker that has lost half of its threads, to `def` actions and durable calls that do not return, drains and is
  replaced; one of a crew at a time, so that the others can take its sessions. A coroutine that goes on although it was
  cancelled counts as a thread.
- A worker whose event loop does not move for long is ended like one that has crashed, and replaced.
- Beside the slots there may be a quarantine worker, which comes when a job asks for it and goes when nobody uses it. It
  is there to die: what it dies of is a job's to judge, and nobody replaces it unasked. It leaves with the first thread
  that it has lost: whoever is tried there next would not be alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Protocol

from flink_actions.server import control
from flink_actions.server.config import ServerSettings
from flink_actions.server.directory import Generation, WorkerStatus
from flink_actions.server.errors import StartError
from flink_actions.server.leaving import LEAVE_SECONDS
from flink_actions.server.plan_text import agent_in_short
from flink_actions.server.restarts import Restarts, backoff_seconds
from flink_actions.server.spares import Spares
from flink_actions.server.spawn import SpawnedWorker, spawn_worker
from flink_actions.server.worker_process import WorkerProcess
from flink_actions.wire.v1 import directory_pb2, plan_pb2

__all__ = ["Crew", "CrewOwner"]

_log = logging.getLogger(__name__)

_QUARANTINE = "q0"
# One after the other dies in quarantine while a culprit is looked for: it must not take all of a core.
_QUARANTINE_PAUSE_SECONDS = 0.05
# Jobs send all that they have to a worker that is new; a spare that loads meanwhile would take the processor from it.
_SPARE_DELAY_SECONDS = 1.0
# For a process that was killed.
_END_SECONDS = 10.0


class CrewOwner(Protocol):
    """Who hears of what happens in a crew: the supervisor, and tests."""

    def on_change(self) -> Awaitable[None]:
        """What the directory shows of a crew is not what it showed before."""

    def on_death(self, crew: Crew, dead: WorkerStatus) -> None:
        """A worker ended that was not told to; `on_change` follows."""

    def on_leave(self, crew: Crew, left: WorkerStatus) -> None:
        """A worker ended as it was told; `on_change` follows."""

    def on_load_error(self, crew: Crew, message: str) -> None:
        """A worker that was to replace another one could not load the code; empty: one could."""

    def on_defect(self, error: BaseException) -> None:
        """A slot ended by an error of ours: there is no worker in it and never will be."""

    def on_other_code(self, crew: Crew) -> None:
        """A worker that replaces another one has loaded other code than that."""


class Crew:
    """One load of the user's code, in as many processes as there are slots. Used on the supervisor's event loop only.

    Args:
        workers: Processes that were started for it, one for each slot.
        settings: What they were told.
        owner: Hears of what happens.
    """

    def __init__(self, workers: Sequence[SpawnedWorker], settings: ServerSettings, owner: CrewOwner) -> None:
        self._settings = settings
        self._owner = owner
        self._names = [spawned.worker for spawned in workers]
        self._leaving = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_killed = False
        self._slots = [asyncio.create_task(self._keep_slot(spawned)) for spawned in workers]
        for slot in self._slots:
            slot.add_done_callback(self._on_slot_end)
        self._quarantine: asyncio.Task[None] | None = None
        self._is_quarantine_wanted = False
        self._spares = Spares(settings)
        self._restarts = Restarts()
        self.generations: list[Generation] = []
        self.source_files: tuple[str, ...] = ()
        self.alive: dict[str, WorkerProcess] = {}

    # ---- its life ----

    async def until_ready(self) -> None:
        """Return when every slot has served once; raise `StartError` with the first reason why one cannot, or if it
        takes longer than the code may take to load."""
        limit = self._settings.load_limit_seconds
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), limit)
        except asyncio.TimeoutError:
            targets = ", ".join(self._settings.targets)
            raise StartError(
                f"{targets} did not load within {limit:g} s: find out what it waits for when it is imported, or give "
                "it longer by --load-limit-seconds"
            ) from None

    async def until_over(self) -> None:
        """Return when no process is left and none will be started."""
        await asyncio.wait(self._owned, timeout=_END_SECONDS)

    async def leave(self, limit_seconds: float, *, for_reload: bool = False) -> None:
        """Let workers drain within the limit, kill what is left, and return when all have gone.

        For a reload, those that keep finished work stay as archives for a while.

        Called again it shortens what goes on: of two limits and two reasons the later ones stand.
        """
        self._leaving.set()
        self._spares.dismiss()
        archive_seconds = self._settings.archive_seconds if for_reload else 0.0
        if not self.is_ready:
            self.kill()
        for worker in self.alive.values():
            worker.leave(limit_seconds, for_reload=for_reload, archive_seconds=archive_seconds)
        await self._owner.on_change()
        limit = limit_seconds + archive_seconds + LEAVE_SECONDS
        _, late = await asyncio.wait(self._owned, timeout=limit)
        for worker in self.alive.values():
            _log.warning("worker %s (pid %d) did not leave within %g s: killed", worker.name, worker.pid, limit)
            worker.kill("it did not leave in time")
        if late:
            await asyncio.wait(late, timeout=_END_SECONDS)

    def kill(self) -> None:
        """End every process at once."""
        self._is_killed = True
        self._leaving.set()
        self._spares.dismiss()
        for worker in self.alive.values():
            worker.kill("the server could not wait for it")

    @property
    def is_ready(self) -> bool:
        """Whether every slot has served once."""
        return self._ready.done() and self._ready.exception() is None

    @property
    def is_leaving(self) -> bool:
        """Whether it was told to go."""
        return self._leaving.is_set()

    @property
    def is_archived(self) -> bool:
        """Whether its workers that live stay for nothing but what they keep."""
        return all(worker.is_archive for worker in self.alive.values())

    @property
    def is_crash_looping(self) -> bool:
        """Whether its workers die soon after they have begun to serve, again and again."""
        return self._restarts.is_loop({name: worker.served_seconds for name, worker in self.alive.items()})

    def describe_agents(self) -> str:
        """What it serves, for a log line."""
        return ", ".join(agent_in_short(plan_pb2.Plan.FromString(offer.plan)) for offer in self.generations[-1].agents)

    # ---- one worker slot ----

    async def _keep_slot(self, spawned: SpawnedWorker) -> None:
        """Keep a process in the slot until the crew leaves or fails."""
        while True:
            worker = WorkerProcess(spawned, self._on_message)
            self.alive[worker.name] = worker
            await self._owner.on_change()
            await self._attend(worker)
            pause = self._restarts.on_death(worker.name, worker.served_seconds)
            if pause and not self.is_leaving:
                _log.warning(
                    "worker %s has died young again and again: the next one starts in %g s", worker.name, pause
                )
            if self._has_failed or await self._is_leaving_within(pause):
                return
            replacement = await self._replace(worker.name)
            if replacement is None:
                return
            spawned = replacement

    async def _replace(self, name: str) -> SpawnedWorker | None:
        """Start another process for a slot, however often that fails; none if the crew leaves meanwhile."""
        failures = 0
        while True:
            try:
                return self._spawn(name)
            except OSError as error:
                failures += 1
                pause = backoff_seconds(1 + failures)
                _log.error("worker %s cannot be started, trying again in %g s: %s", name, pause, error)
            if await self._is_leaving_within(pause):
                return None

    def _spawn(self, name: str, *, is_quarantine: bool = False) -> SpawnedWorker:
        spare = self._spares.take(self.source_files)
        if spare is not None:
            # It may have died just now.
            with contextlib.suppress(OSError):
                return spare.become(name, self._settings, is_quarantine=is_quarantine)
            spare.end()
        return spawn_worker(name, self._settings, is_quarantine=is_quarantine)

    async def _attend(self, worker: WorkerProcess) -> None:
        """Stay with a process until it has ended."""
        limit = None
        if self.is_ready:
            # Whoever starts a crew sees to how long that takes; this one nobody else waits for.
            loop = asyncio.get_running_loop()
            limit = loop.call_later(self._settings.load_limit_seconds, self._kill_unless_served, worker)
        try:
            await worker.run(self._on_exit)
            self._explain_death(worker)
        except Exception:  # a defect at one worker must not end the others
            _log.exception("a defect at worker %s", worker.name)
            worker.kill("a defect of the supervisor")
            self.alive.pop(worker.name, None)
        finally:
            if limit is not None:
                limit.cancel()

    def _kill_unless_served(self, worker: WorkerProcess) -> None:
        if not worker.has_served:
            limit = self._settings.load_limit_seconds
            _log.error("worker %s (pid %d) does not serve after %g s: killed", worker.name, worker.pid, limit)
            worker.kill(f"it did not serve after {limit:g} s")

    async def _retire_if_worn_out(self, worker: WorkerProcess, lost_threads: int) -> None:
        """A thread cannot be stopped: what an action has taken for good comes back with a new process only."""
        if worker.status.is_quarantine:
            is_worn_out = lost_threads > 0 and worker.is_serving
        else:
            is_worn_out = lost_threads * 2 >= self._settings.threads and all(
                name in self.alive and self.alive[name].is_serving for name in self._names
            )
        if not is_worn_out:
            return
        limit = self._settings.drain_seconds
        _log.warning(
            "worker %s (pid %d) has lost %d threads of %d to actions or durable calls that go on after their time "
            "limit or cancellation: it drains within %g s and is replaced",
            worker.name,
            worker.pid,
            lost_threads,
            self._settings.threads,
            limit,
        )
        worker.leave(limit)
        asyncio.get_running_loop().call_later(limit + LEAVE_SECONDS, self._kill_late, worker)
        await self._owner.on_change()

    def _kill_late(self, worker: WorkerProcess) -> None:
        if worker.exit_code is None:
            _log.warning("worker %s (pid %d) did not leave in time: killed", worker.name, worker.pid)
            worker.kill("it did not leave in time")

    def end_blocked(self, interval_seconds: float) -> None:
        """Called regularly: end the workers whose event loops have not moved for too long."""
        for worker in self.alive.values():
            worker.end_if_blocked(interval_seconds, self._settings.blocked_limit_seconds)

    @property
    def _owned(self) -> list[asyncio.Task[None]]:
        """Tasks that each own a process."""
        return [*self._slots, *([self._quarantine] if self._quarantine is not None else [])]

    # ---- the quarantine worker ----

    def want_quarantine(self) -> None:
        """A job has suspects: let there be a quarantine worker, unless there is one."""
        # Asked for while the crew loads it comes after that.
        self._is_quarantine_wanted = not self.is_ready
        if self.is_ready and not self.is_leaving and (self._quarantine is None or self._quarantine.done()):
            self._quarantine = asyncio.create_task(self._keep_quarantine())
            self._quarantine.add_done_callback(self._on_slot_end)

    async def _keep_quarantine(self) -> None:
        """One process, from start to exit."""
        if await self._is_leaving_within(_QUARANTINE_PAUSE_SECONDS):
            return
        try:
            spawned = self._spawn(_QUARANTINE, is_quarantine=True)
        except OSError as error:
            _log.error("worker %s cannot be started until a job asks for it again: %s", _QUARANTINE, error)
            return
        worker = WorkerProcess(spawned, self._on_message, is_quarantine=True)
        self.alive[worker.name] = worker
        await self._owner.on_change()
        await self._attend(worker)

    async def _let_go_if_idle(self, worker: WorkerProcess, sessions: int) -> None:
        if sessions or worker.is_told_to_leave or not worker.has_served:
            worker.last_used = time.monotonic()
        elif time.monotonic() - worker.last_used > self._settings.quarantine_idle_seconds:
            _log.info("no suspects for %g s: worker %s leaves", self._settings.quarantine_idle_seconds, worker.name)
            worker.leave(0.0)
            await self._owner.on_change()

    # ---- what happens to processes ----

    def _on_slot_end(self, slot: asyncio.Task[None]) -> None:
        if not slot.cancelled() and (error := slot.exception()) is not None:
            self._owner.on_defect(error)

    @property
    def _has_failed(self) -> bool:
        return self._ready.done() and self._ready.exception() is not None

    async def _is_leaving_within(self, seconds: float) -> bool:
        if not seconds:
            return self._leaving.is_set()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._leaving.wait(), seconds)
        return self._leaving.is_set()

    async def _on_message(self, worker: WorkerProcess, message: control.Message) -> None:
        match message:
            case control.Prepared():
                pass  # of interest as long as it is nobody
            case control.Loaded():
                generation = self._generation_of(message)
                worker.status = replace(worker.status, generation=generation.id, address=message.address)
                worker.send(control.Admitted(generation.id))
            case control.Serving():
                await self._on_serving(worker)
            case control.LoadFailed():
                self._on_load_failed(worker, message)
            case control.Heartbeat():
                worker.on_heartbeat()
                if worker.status.kept != message.kept:
                    worker.status = replace(worker.status, kept=message.kept)
                    await self._owner.on_change()
                if worker.status.is_quarantine:
                    await self._let_go_if_idle(worker, message.sessions)
                await self._retire_if_worn_out(worker, message.lost_threads)
            case control.Archived():
                _log.info("worker %s stays for what it keeps until a checkpoint covers that", worker.name)
                worker.status = replace(worker.status, state=directory_pb2.WorkerEntry.ARCHIVE, kept=message.kept)
                await self._owner.on_change()
            case _:
                _log.error("worker %s sent %s, which is not a worker's to send", worker.name, type(message).__name__)

    def _generation_of(self, loaded: control.Loaded) -> Generation:
        self.source_files = loaded.source_files
        for generation in self.generations:
            if generation.is_of(loaded.code_digest, loaded.agents):
                return generation
        generation = Generation(os.urandom(16), loaded.code_digest, loaded.agents)
        self.generations.append(generation)
        if len(self.generations) > 1:
            _log.warning("the code has changed since the workers were started: generation %s", generation)
            if self.is_ready:
                self._owner.on_other_code(self)
        return generation

    async def _on_serving(self, worker: WorkerProcess) -> None:
        worker.served_since = worker.last_used = time.monotonic()
        # Told to leave before it served: then it goes on leaving.
        if not self.is_leaving:
            worker.status = replace(worker.status, state=directory_pb2.WorkerEntry.SERVING)
        if self.is_ready:
            self._owner.on_load_error(self, "")
        await self._owner.on_change()
        if all(name in self.alive and self.alive[name].has_served for name in self._names):
            # After the directory: whoever waits for this finds it there.
            self._settle(None)
            asyncio.get_running_loop().call_later(_SPARE_DELAY_SECONDS, self._fill_spares)
            if self._is_quarantine_wanted:
                self.want_quarantine()

    def _fill_spares(self) -> None:
        if not self.is_leaving:
            self._spares.fill(self.source_files)

    def _on_load_failed(self, worker: WorkerProcess, failure: control.LoadFailed) -> None:
        worker.has_explained_itself = True
        if self.is_ready:
            _log.error("worker %s could not load the code:\n%s", worker.name, failure.message)
            self._owner.on_load_error(self, failure.message)
        else:
            self._settle(StartError(failure.message))

    def _settle(self, error: StartError | None) -> None:
        # Several workers fail for one reason: the first says it, once.
        if self._ready.done():
            return
        if error is None:
            self._ready.set_result(None)
        else:
            self._ready.set_exception(error)
            # Whoever does not ask has no use for it.
            self._ready.exception()

    async def _on_exit(self, worker: WorkerProcess) -> None:
        """Tell the jobs; what else there is to do comes after."""
        del self.alive[worker.name]
        worker.status = replace(worker.status, exit_reason=worker.exit_reason(), suspects=worker.last_steps())
        ended = replace(worker.status, state=directory_pb2.WorkerEntry.DEAD)
        if worker.has_left_as_told:
            self._owner.on_leave(self, ended)
        else:
            self._owner.on_death(self, ended)
        await self._owner.on_change()

    def _explain_death(self, worker: WorkerProcess) -> None:
        worker.remove_socket_file()
        if worker.has_explained_itself or self._has_failed or worker.has_left_as_told:
            return
        reason = worker.exit_reason()
        if not self._is_killed:
            place = worker.status.suspects.place
            where = f", at {place}" if place else ""
            _log.error("worker %s (pid %d) died: %s%s", worker.name, worker.pid, reason, where)
        if not self.is_ready:
            targets = ", ".join(self._settings.targets)
            self._settle(StartError(f"worker {worker.name} died while it loaded {targets}: {reason}"))
