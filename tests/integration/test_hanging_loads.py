"""Code that hangs while it is loaded, and processes that cannot be started: whoever serves goes on, and it is tried
again."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
from flink_actions.server import spawn
from flink_actions.server.config import ServerSettings
from flink_actions.server.crew import Crew
from flink_actions.server.directory import WorkerStatus
from flink_actions.server.spares import Spares

from tests.integration.test_spares import WITH_SPARE, kill, until
from tests.support.running_server import RunningServer
from tests.support.session_client import Start, invoke

# What is read at import and is no source file: nobody can know of it.
SOURCE = """\
import time
from pathlib import Path

from flink_actions import Agent, OutputEvent

here = Path(__file__).parent
word = "none"
if (here / "hang").exists():
    (here / "hangs").touch()
    time.sleep(600)
if (here / "more").exists():
    from more_words import WORD as word

async def answer(event, ctx):
    ctx.send_event(OutputEvent(output=word))

agent = Agent("agent").add_action("answer", ["_input_event"], answer)
"""


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[RunningServer]:
    (folder / "agent.py").write_text(SOURCE)
    with RunningServer("agent.py:agent", cwd=folder, flags=flags) as server:
        server.until_logged("serving 'agent'")
        yield server


async def served_word(server: RunningServer) -> str:
    start = Start("agent")
    async with await server.session(start) as session:
        (result,) = await session.run([invoke(start)])
    return str(result.output)


async def hanging_spare(server: RunningServer, folder: Path, worker: int) -> int:
    """Its process id, once it hangs in the author's code; whatever it hangs at is there again."""
    await until((folder / "hangs").exists, "no spare has come to load the code")
    (folder / "hang").unlink()
    (spare,) = set(server.worker_pids()) - {worker}
    return spare


async def test_a_spare_that_hangs_in_its_load_takes_nobodys_place(tmp_path: Path) -> None:
    with serving(tmp_path, *WITH_SPARE) as server:
        (worker,) = server.worker_pids()
        (tmp_path / "hang").touch()
        spare = await hanging_spare(server, tmp_path, worker)
        await kill(server, worker)
        assert await served_word(server) == "none"
        assert spare in server.worker_pids()


async def test_a_process_that_hangs_in_its_load_does_not_outlive_its_server(tmp_path: Path) -> None:
    with serving(tmp_path, *WITH_SPARE) as server:
        (worker,) = server.worker_pids()
        (tmp_path / "hang").touch()
        spare = await hanging_spare(server, tmp_path, worker)
        server.process.kill()
        server.wait()
        try:
            await until(lambda: not Path(f"/proc/{spare}").exists(), f"spare {spare} lives on", 5.0)
        finally:
            with suppress(ProcessLookupError):
                os.kill(spare, signal.SIGKILL)


@pytest.mark.parametrize("changed", ["never", "while it loads", "when it has loaded"])
async def test_a_change_to_a_file_that_only_the_spare_has_loaded_makes_it_useless(tmp_path: Path, changed: str) -> None:
    (tmp_path / "agent.py").write_text(SOURCE)
    (tmp_path / "more").touch()
    words = tmp_path / "more_words.py"
    words.write_text("WORD = 'first'\n")
    # What the crew has loaded did not have them.
    crew_files = [str(tmp_path / "agent.py")]
    await asyncio.sleep(0.02)  # the system's clock for files is a few milliseconds late
    spares = Spares(ServerSettings(targets=(f"{tmp_path}/agent.py:agent",), spares=1))
    spares.fill(crew_files)
    if changed == "while it loads":
        await asyncio.sleep(0.02)
        words.write_text("WORD = 'other'\n")
    (spare,) = spares._waiting
    await until(lambda: spare.has_loaded, "the spare does not load")
    if changed == "when it has loaded":
        words.write_text("WORD = 'other'\n")
    taken = spares.take(crew_files)
    spare.process.end()
    assert (taken is not None) == (changed == "never")


class Owner:
    """Hears of a crew."""

    def __init__(self) -> None:
        self.deaths: list[WorkerStatus] = []

    async def on_change(self) -> None:
        pass

    def on_death(self, crew: Crew, dead: WorkerStatus) -> None:
        self.deaths.append(dead)

    def on_leave(self, crew: Crew, left: WorkerStatus) -> None:
        pass

    def on_load_error(self, crew: Crew, message: str) -> None:
        pass

    def on_defect(self, error: BaseException) -> None:
        raise error

    def on_other_code(self, crew: Crew) -> None:
        pass


@asynccontextmanager
async def crew_of(folder: Path, owner: Owner, *, spares: int, load_limit_seconds: float) -> AsyncIterator[Crew]:
    (folder / "agent.py").write_text(SOURCE)
    settings = ServerSettings(
        targets=(f"{folder}/agent.py:agent",),
        spares=spares,
        listen="127.0.0.1:0",
        load_limit_seconds=load_limit_seconds,
    )
    crew = Crew(spawn.spawn_crew(settings), settings, owner)
    try:
        await crew.until_ready()
        yield crew
    finally:
        crew.kill()
        await crew.until_over()


async def test_a_worker_that_hangs_in_its_load_is_killed_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    owner = Owner()
    async with crew_of(tmp_path, owner, spares=0, load_limit_seconds=4.0) as crew:
        first = crew.alive["w0"]
        (tmp_path / "hang").touch()
        first.kill("the test")
        await until((tmp_path / "hangs").exists, "no worker has come to load the code")
        (tmp_path / "hang").unlink()
        await until(lambda: "w0" in crew.alive and crew.alive["w0"].has_served, "no worker serves")
        assert len(owner.deaths) == 2
        assert "does not serve after 4 s: killed" in caplog.text


def test_a_first_start_that_hangs_in_its_load_fails_and_says_what_hangs(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(SOURCE)
    (tmp_path / "hang").touch()
    with RunningServer("agent.py:agent", cwd=tmp_path, flags=["--load-limit-seconds", "2"]) as server:
        assert server.wait() == 1
        assert "agent.py:agent did not load within 2 s" in server.log
        assert "--load-limit-seconds" in server.log
        assert not server.worker_pids()


async def test_a_spare_that_hangs_in_its_load_is_killed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with crew_of(tmp_path, Owner(), spares=1, load_limit_seconds=3.0) as crew:
        (tmp_path / "hang").touch()
        await until((tmp_path / "hangs").exists, "no spare has come to load the code")
        (spare,) = crew._spares._waiting
        await until(lambda: not crew._spares._waiting, "the spare is waited for without an end")
        assert spare.process.process.poll() == -signal.SIGKILL
        assert "has not loaded the code within 3 s: killed" in caplog.text
        assert crew.alive["w0"].has_served


@contextmanager
def without_files(server: RunningServer) -> Iterator[None]:
    """The supervisor can open none meanwhile."""
    pid = server.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


async def test_a_worker_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        (worker,) = server.worker_pids()
        with without_files(server):
            os.kill(worker, signal.SIGKILL)
            server.until_logged("worker w0 cannot be started, trying again in 0.2 s: .*Too many open files")
        assert await served_word(server) == "none"


async def test_a_reload_that_cannot_start_its_workers_leaves_those_that_serve(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        with without_files(server):
            server.process.send_signal(signal.SIGHUP)
            server.until_logged("reload failed, .* cannot be started: .*Too many open files")
        assert await served_word(server) == "none"
        server.process.send_signal(signal.SIGHUP)
        server.until_logged("reloaded: ")


def test_a_process_that_cannot_be_started_leaves_no_file_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_process(*_: object, **__: object) -> None:
        raise BlockingIOError("no process is left")

    def open_files() -> set[str]:
        return set(os.listdir("/proc/self/fd"))

    monkeypatch.setattr(subprocess, "Popen", no_process)
    before = open_files()
    with pytest.raises(BlockingIOError) as raised:
        spawn.spawn_process("spare", ServerSettings())
    assert raised.value.__traceback__ is not None
    assert open_files() == before
