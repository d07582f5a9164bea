"""A TCP proxy between a job and a server that can be cut, stalled and shut.

It listens on another loopback address than the server and on the same port numbers: a worker's address in the
directory is ":port" of the host that the directory was read from, so a job that is given the proxy's address finds the
workers behind the proxy too, and no byte need be changed. Bytes of the directory are passed on only after a listener
stands for every port that the server's processes listen at, so that no job can be faster than the proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

HOST = "127.0.0.2"
SERVER_HOST = "127.0.0.1"

_SCAN_SECONDS = 0.1
_CALL_SECONDS = 10.0
_CHUNK_BYTES = 65_536
_LISTEN = "0A"
# As /proc/net has it: little-endian words; gRPC's sockets are IPv6 ones with a mapped address.
_SERVER_HOST_HEX = ("0100007F", "0000000000000000FFFF00000100007F")

T = TypeVar("T")


class Proxy:
    """`with Proxy(port, pids) as proxy:`; methods may be called from any thread.

    Args:
        port: Of the server's directory.
        pids: The server's processes at this moment; their ports are the ones that lead through.
    """

    def __init__(self, port: int, pids: Callable[[], list[int]]) -> None:
        self._port = port
        self._pids = pids
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._listeners: dict[int, asyncio.Server] = {}
        self._connections: set[_Connection] = set()
        self._following = asyncio.Lock()
        self._is_shut = False
        self._flows = asyncio.Event()
        self.address = f"{HOST}:{port}"
        self.connections_made = 0

    def __enter__(self) -> Proxy:
        self._flows.set()
        self._thread.start()
        self._run(self._listen(self._port))
        self._scanning = asyncio.run_coroutine_threadsafe(self._scan_regularly(), self._loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scanning.cancel()
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_SECONDS)
        self._loop.close()

    # ---- what can be done to connections ----

    def cut(self) -> int:
        """Reset all connections; whatever is under way is lost. Returns how many there were."""
        return self._run(self._cut())

    def stall(self) -> None:
        """Let nothing through any more; both sides may write until buffers are full."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def flow(self) -> None:
        """Go on after `stall`: nothing was lost, it is late."""
        self._loop.call_soon_threadsafe(self._flows.set)

    def shut(self) -> int:
        """Cut, and reset whoever connects until `open`."""
        self._is_shut = True
        return self.cut()

    def open(self) -> None:
        """Accept again."""
        self._is_shut = False

    # ---- on the proxy's loop ----

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_CALL_SECONDS)

    async def _listen(self, port: int) -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(port, reader, writer)

        self._listeners[port] = await asyncio.start_server(accept, HOST, port)

    async def _scan_regularly(self) -> None:
        while True:
            await self._follow_ports()
            await asyncio.sleep(_SCAN_SECONDS)

    async def _follow_ports(self) -> None:
        async with self._following:
            ports = listening_ports(self._pids())
            for port in ports - self._listeners.keys():
                await self._listen(port)
            for port in self._listeners.keys() - ports - {self._port}:
                # As the port of a dead process: whoever connects is refused.
                self._listeners.pop(port).close()

    async def _serve(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer)
        self._connections.add(connection)
        self.connections_made += 1
        try:
            if self._is_shut:
                return
            try:
                up_reader, up_writer = await asyncio.open_connection(SERVER_HOST, port)
            except OSError:
                return
            connection.writers.append(up_writer)
            before_down = self._follow_ports if port == self._port else None
            up = asyncio.create_task(self._pass_on(reader, up_writer, None))
            down = asyncio.create_task(self._pass_on(up_reader, writer, before_down))
            _, others = await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            for other in others:
                other.cancel()
            await asyncio.wait({up, down})
        finally:
            self._connections.discard(connection)
            connection.reset()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        before: Callable[[], Coroutine[Any, Any, None]] | None,
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                await self._flows.wait()
                if before is not None:
                    await before()
                writer.write(chunk)
                await writer.drain()
            # The end comes after what was said before it, and in its turn.
            await self._flows.wait()
            writer.close()
            await writer.wait_closed()

    async def _cut(self) -> int:
        connections = list(self._connections)
        for connection in connections:
            connection.reset()
        return len(connections)

    async def _close(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        self._flows.set()
        await self._cut()
        # Each ends with its connection.
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks, timeout=_CALL_SECONDS / 2)


class _Connection:
    """Both ends of one connection through the proxy."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writers = [writer]

    def reset(self) -> None:
        """Not an orderly end: what is in buffers is gone, and both sides see a reset."""
        for writer in self.writers:
            if not writer.transport.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


def listening_ports(pids: list[int]) -> set[int]:
    """TCP ports at which these processes accept on the server's host."""
    wanted = {inode for pid in pids for inode in _socket_inodes(pid)}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            host, port = fields[1].rsplit(":", 1)
            if fields[3] == _LISTEN and host in _SERVER_HOST_HEX and fields[9] in wanted:
                found.add(int(port, 16))
    return found


def _socket_inodes(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for descriptor in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(descriptor.path)
                if target.startswith("socket:["):
                    yield target.removeprefix("socket:[").removesuffix("]")
