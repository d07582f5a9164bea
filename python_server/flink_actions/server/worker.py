"""The worker process: loads the user's code, opens its own address, serves sessions until it is told to leave.

It is always a fresh process, with one event loop, and lives no longer than its supervisor: when the pipe between them
closes it drains and exits, whatever killed the other end.

Before it is told which worker it is, it may wait for long with the code loaded (see `spares`): until then it opens
nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Coroutine
from typing import Any, NoReturn

import grpc
import grpc.aio

from flink_actions.engine.dispatcher import Dispatcher, EngineSettings
from flink_actions.engine.loading import LoadedAgents, load_agents
from flink_actions.engine.step_slots import StepSlots
from flink_actions.sdk.errors import AgentLoadError
from flink_actions.server import control
from flink_actions.server.address import Address, TcpAddress, UnixAddress, parse_address
from flink_actions.server.black_box import map_slots, report_crashes_to
from flink_actions.server.config import ServerSettings
from flink_actions.server.errors import StartError
from flink_actions.server.health import SERVICE_NAME as HEALTH_SERVICE
from flink_actions.server.health import Health
from flink_actions.server.leaving import LEAVE_SECONDS
from flink_actions.server.listening import bind, grpc_options
from flink_actions.server.loop_lag import LoopLag
from flink_actions.server.reflection import add_reflection
from flink_actions.server.security import ServerSecurity
from flink_actions.server.serve import rename_in_log, set_up_logging
from flink_actions.server.sessions import Offer, Sessions, WorkerIdentity
from flink_actions.wire.codec import encode_plan
from flink_actions.wire.v1 import session_pb2

__all__ = ["main"]

_log = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 1.0
# gRPC refuses larger messages by breaking the stream without a word; up to here the session can say what was wrong.
_RECEIVE_HEADROOM = 4
# CPython's default of 700 new objects is reached within three frames of invocations.
_GC_FIRST_GENERATION = 10_000
_SERVICE = session_pb2.DESCRIPTOR.services_by_name["Worker"].full_name


def main(control_fd: int) -> None:
    """Entry point of the process; `control_fd` is its end of the socket pair to the supervisor."""
    supervisor = socket.socket(fileno=control_fd)
    # Processes that actions start must not hold the pipe open.
    supervisor.set_inheritable(False)
    load = _read_message(supervisor)
    assert isinstance(load, control.Load)
    settings = ServerSettings.from_json(load.settings)
    set_up_logging(settings, load.name)
    report_crashes_to(load.report_fd)
    slots = map_slots(load.slots_fd)
    is_worker = threading.Event()
    # The author's code may hang as well, while it is loaded.
    _exit_when_abandoned(supervisor.dup(), settings.drain_seconds + LEAVE_SECONDS, is_worker)
    try:
        loaded = load_agents(settings.targets)
    except AgentLoadError as error:
        _give_up(supervisor, str(error))
    _tune_garbage_collector()
    # To a supervisor that has just gone; that is noticed next.
    with contextlib.suppress(ConnectionError):
        supervisor.sendall(control.encode(control.Prepared(tuple(map(str, loaded.source_files)))))
    _run(_become_worker(supervisor, settings, loaded, slots, is_worker))


def _exit_when_abandoned(
    supervisor: socket.socket, limit_seconds: float, is_worker: threading.Event
) -> threading.Thread:
    """End the process when its supervisor has gone, whatever the main thread does: it may be blocked.

    A supervisor that lives sees to that itself.

    Args:
        supervisor: Only looked at.
        limit_seconds: How long a worker has to drain before.
        is_worker: Set when the process is a worker; until then it has nothing to drain.
    """

    def watch() -> None:
        # Nothing is asked for, so that only the end of the connection is told; messages are the event loop's to read.
        poll = select.poll()
        poll.register(supervisor.fileno(), 0)
        poll.poll()
        if is_worker.is_set():
            time.sleep(limit_seconds)
            _log.error("the supervisor went %g s ago, and this worker could not leave: exiting", limit_seconds)
        os._exit(1)

    thread = threading.Thread(target=watch, name="supervisor's end", daemon=True)
    thread.start()
    return thread


async def _become_worker(
    supervisor: socket.socket,
    settings: ServerSettings,
    loaded: LoadedAgents,
    slots: memoryview,
    is_worker: threading.Event,
) -> None:
    """Wait to be told which worker this is, serve, and end the process."""
    reader, writer = await asyncio.open_connection(sock=supervisor, limit=control.LONGEST_LINE)
    # All that can be there before the address is known, so that it need not be made when it is urgent.
    offers = {agent: Offer(plan, encode_plan(plan)) for agent, plan in loaded.plans.items()}
    security = ServerSecurity.read(settings)
    server = grpc.aio.server(
        options=grpc_options(max_receive_bytes=settings.max_frame_bytes * _RECEIVE_HEADROOM),
        interceptors=security.interceptors(),
    )
    start = await _next_message(reader)
    if isinstance(start, control.Start):
        rename_in_log(f"worker {start.worker}")
        is_worker.set()
        await _serve(start, settings, loaded, offers, server, security, reader, writer, slots)
    _leave(0)


def _read_message(supervisor: socket.socket) -> control.Message:
    """The next message, and nothing of what follows it: that is the event loop's to read."""
    line = b""
    while not line.endswith(b"\n"):
        part = supervisor.recv(65536, socket.MSG_PEEK)
        if not part:
            sys.exit(0)
        line += supervisor.recv(part.find(b"\n") + 1 or len(part))
    return control.decode(line)


def _give_up(supervisor: socket.socket, message: str) -> None:
    # What is closed with something unread in it breaks, instead of ending, at the other side.
    with contextlib.suppress(BlockingIOError):
        supervisor.recv(65536, socket.MSG_DONTWAIT)
    supervisor.sendall(control.encode(control.LoadFailed(message)))
    sys.exit(1)


def _tune_garbage_collector() -> None:
    """Take what was loaded out of the collector's sight, and let it look less often.

    Modules, plans and generated code live as long as the process; a full collection would walk all of them each time,
    in the middle of somebody's latency. Invocations die by reference count; cycles are the exception.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_FIRST_GENERATION, *gc.get_threshold()[1:])


def _run(main_coroutine: Any) -> None:
    try:
        import uvloop
    except ImportError:
        loop = asyncio.new_event_loop()
    else:
        loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    main_task = loop.create_task(main_coroutine)
    try:
        loop.run_until_complete(main_task)
    except (KeyboardInterrupt, SystemExit) as error:
        if not main_task.done():
            # asyncio lets these two through from whatever task raises them.
            what = f"{type(error).__name__}: {error}"
            _log.critical("an action, or a signal, has ended the event loop with %s", what, exc_info=error)
        # Not as `asyncio.run` does it, which first waits for the end of all tasks: one that swallows its cancellation
        # would keep a process that serves nobody.
        _leave(130 if isinstance(error, KeyboardInterrupt) else error.code if isinstance(error.code, int) else 1)


def _leave(code: int) -> NoReturn:
    """End the process, and not by returning: the end of an event loop, and of Python, waits for threads, and one that
    an action has left behind may never end."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _serve(
    start: control.Start,
    settings: ServerSettings,
    loaded: LoadedAgents,
    offers: dict[str, Offer],
    server: grpc.aio.Server,
    security: ServerSecurity,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    slots: memoryview,
) -> None:
    try:
        address = bind(server, parse_address(start.listen), settings.socket_mode, security.credentials)
    except StartError as error:
        writer.write(control.encode(control.LoadFailed(str(error))))
        await writer.drain()
        sys.exit(1)
    writer.write(control.encode(_what_was_loaded(address, loaded, offers, settings)))
    admitted = await _next_message(reader)
    if not isinstance(admitted, control.Admitted):
        return
    lag = LoopLag()
    lag.start()
    dispatcher = Dispatcher(
        EngineSettings(
            threads=settings.threads,
            mirror_bytes=settings.memory_mirror_bytes,
            kept_bytes=settings.kept_work_bytes,
            kept_seconds=settings.kept_work_seconds,
            config=settings.config,
        ),
        slots=StepSlots(settings.threads, slots),
    )
    identity = WorkerIdentity(start.worker, start.incarnation, admitted.generation, start.is_quarantine)
    sessions = Sessions(identity, offers, dispatcher, settings, lag)
    health = await _start(server, sessions)
    writer.write(control.encode(control.Serving()))
    chores = [
        asyncio.create_task(_send_heartbeats(writer, lag, sessions, dispatcher)),
        asyncio.create_task(sessions.check_silence()),
    ]
    await _drain_when_told(reader, writer, sessions, health, settings)
    for chore in chores:
        chore.cancel()
    lag.stop()
    await server.stop(grace=0.5)
    if isinstance(address, UnixAddress):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address.path)


def _what_was_loaded(
    address: Address, loaded: LoadedAgents, offers: dict[str, Offer], settings: ServerSettings
) -> control.Loaded:
    agents = tuple(
        control.AgentOffer(agent, offer.wire.digest, offer.wire.SerializeToString(deterministic=True))
        for agent, offer in offers.items()
    )
    # The host is the directory's, whatever name a job knows it by.
    where = f":{address.port}" if isinstance(address, TcpAddress) else str(address)
    return control.Loaded(where, loaded.code_digest, agents, tuple(map(str, loaded.source_files)))


async def _next_message(reader: asyncio.StreamReader) -> control.Message | None:
    """What the supervisor says next; none if it has gone."""
    try:
        line = await reader.readline()
    except ConnectionError:
        return None
    return control.decode(line) if line else None


async def _unless(told: asyncio.Task[Any], doing: Coroutine[Any, Any, None]) -> None:
    """Do this, unless something is told meanwhile."""
    task = asyncio.create_task(doing)
    await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        # Raises what went wrong in it.
        task.result()
    else:
        task.cancel()


async def _drain_when_told(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    sessions: Sessions,
    health: Health,
    settings: ServerSettings,
) -> None:
    order = await _next_message(reader)
    if isinstance(order, control.DrainOrder) and order.for_reload:
        reading = asyncio.create_task(_next_message(reader))
        await _unless(reading, sessions.retire(order.limit_seconds))
        if not reading.done() and order.archive_seconds and (kept := sessions.archive()):
            writer.write(control.encode(control.Archived(kept)))
            await _unless(reading, sessions.until_covered(order.archive_seconds))
        if reading.done():
            order = reading.result()
        else:
            reading.cancel()
            order = control.DrainOrder(0.0)
    if order is None:
        _log.warning("the supervisor has gone: draining")
    await health.set("", False)
    await sessions.drain(order.limit_seconds if isinstance(order, control.DrainOrder) else settings.drain_seconds)


async def _start(server: grpc.aio.Server, sessions: Sessions) -> Health:
    handler = grpc.stream_stream_rpc_method_handler(sessions.serve)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Session": handler}),))
    add_reflection(server, _SERVICE, HEALTH_SERVICE)
    health = Health(server)
    await server.start()
    await health.set("", True)
    return health


async def _send_heartbeats(
    writer: asyncio.StreamWriter, lag: LoopLag, sessions: Sessions, dispatcher: Dispatcher
) -> None:
    while not writer.is_closing():
        lost = dispatcher.overrun_threads + dispatcher.overrun_coroutines + sessions.has_overrun_turn
        beat = control.Heartbeat(lag.microseconds, len(sessions), sessions.kept_for, lost)
        writer.write(control.encode(beat))
        await asyncio.sleep(_HEARTBEAT_SECONDS)
