"""What the command line teaches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from flink_actions.server.cli import main


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    """Exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code, *capsys.readouterr()


def test_without_a_command_the_way_from_an_agent_to_a_job_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys)
    assert (code, out) == (2, "")
    for step in ("write an agent", "flink-actions check agent.py:agent", "serve it", 'ActionServer("localhost:7077")'):
        assert step in err


@pytest.mark.parametrize("command", ["serve", "describe", "check"])
def test_the_help_of_a_command_says_what_it_does_and_shows_it_used(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    code, out, _ = said(capsys, command, "--help")
    assert code == 0
    assert f"\n  flink-actions {command}" in out
    assert f"\n    {command} " in said(capsys, "--help")[1]


def test_a_server_that_allows_pickles_says_at_its_start_which_package_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    code, _, err = said(capsys, "serve", "agent.py:agent", "--allow-pickle")
    assert code == 1
    for text in ("cloudpickle", sys.prefix, "flink-actions[pickle]", "without --allow-pickle"):
        assert text in err


def test_who_reads_no_further_is_no_error(tmp_path: Path) -> None:
    agent = (
        "from flink_actions import Agent, action\nagent = Agent().add_action('act', 'go', lambda event, ctx: None)\n"
    )
    (tmp_path / "agent.py").write_text(agent)
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "from flink_actions.server.cli import main; main()", "check"]
    done = subprocess.run(
        [*command, str(tmp_path / "agent.py")],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
