"""Processes that wait with the code loaded: whose place they take, and what they do not do before."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.integration.conftest import BEHAVIOURS
from tests.integration.test_reload import served_word, serving, write
from tests.integration.test_worker_deaths import action, has_died
from tests.support.running_server import RunningServer
from tests.support.session_client import Start, invoke

WITH_SPARE = ["--spares", "1"]


async def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


async def pid_of_worker(server: RunningServer) -> int:
    start = Start("behaviours")
    async with await server.session(start) as session:
        (result,) = await session.run([invoke(start, action(session, "tell_process"))])
    return int(result.output)


async def pid_of_spare(server: RunningServer) -> int:
    """Of the one there is, once it has loaded the code and waits."""
    await until(lambda: len(server.worker_pids()) == 2, "there is no spare")
    (spare,) = set(server.worker_pids()) - {await pid_of_worker(server)}
    await until(lambda: is_waiting(spare), f"process {spare} does not come to rest")
    return spare


def is_waiting(pid: int) -> bool:
    # All its threads sleep, and gRPC, which is loaded last, is there.
    try:
        states = [path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:
        return False  # a thread has ended meanwhile
    return set(states) == {"S"} and "cygrpc" in Path(f"/proc/{pid}/maps").read_text() and len(states) > 1


async def kill(server: RunningServer, pid: int) -> None:
    """And wait until the directory has another one in its place."""
    async with server.directory() as directory:
        (before,) = await directory.serving()
        os.kill(pid, signal.SIGKILL)
        await directory.until(has_died(before.incarnation))
        await directory.serving()


async def test_a_spare_takes_the_place_of_a_worker_that_dies_and_is_replaced_itself() -> None:
    with RunningServer(BEHAVIOURS, flags=WITH_SPARE) as server:
        for _ in range(2):
            worker, spare = await pid_of_worker(server), await pid_of_spare(server)
            await kill(server, worker)
            assert await pid_of_worker(server) == spare
        assert len(re.findall("worker w0: job .* connected", server.log)) >= 4


async def test_a_spare_listens_nowhere(socket_folder: Path) -> None:
    with RunningServer(BEHAVIOURS, listen=f"unix:{socket_folder}/s", flags=WITH_SPARE) as server:
        spare = await pid_of_spare(server)
        assert not listening_sockets_of(spare)
        assert listening_sockets_of(await pid_of_worker(server))


def listening_sockets_of(pid: int) -> set[str]:
    """Inodes of them."""
    links = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        # It may close one meanwhile.
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(path))
    inodes = {found.group(1) for link in links if (found := re.match(r"socket:\[(\d+)\]", link))}
    assert inodes, "the pair to the supervisor"
    unix = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    # Flag __SO_ACCEPTCON.
    return inodes & {fields[6] for fields in unix if int(fields[3], 16) & 0x10000}


async def test_a_worker_is_replaced_when_the_spare_has_died_too() -> None:
    with RunningServer(BEHAVIOURS, flags=WITH_SPARE) as server:
        worker, spare = await pid_of_worker(server), await pid_of_spare(server)
        os.kill(spare, signal.SIGKILL)
        await kill(server, worker)
        assert await pid_of_worker(server) not in (worker, spare)


async def test_a_spare_that_has_loaded_other_code_than_there_is_now_is_not_used(tmp_path: Path) -> None:
    with serving(tmp_path, *WITH_SPARE) as server:
        await until(lambda: len(server.worker_pids()) == 2, "there is no spare")
        worker = min(server.worker_pids())
        write(tmp_path, "second")
        os.kill(worker, signal.SIGKILL)
        server.until_logged("the code has changed since the workers were started")
        server.until_logged("reloaded: ")
        assert await served_word(server) == "second"


async def test_no_spare_outlives_its_server() -> None:
    with RunningServer(BEHAVIOURS, flags=WITH_SPARE) as server:
        spare = await pid_of_spare(server)
        server.process.kill()
        server.wait()
        await until(lambda: not Path(f"/proc/{spare}").exists(), f"spare {spare} lives on")
