"""The agent and the job in README.md do what they say."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import JOB_PYTHON, ROOT
from tests.support.running_server import RunningServer


@pytest.mark.timeout(200)
def test_the_readmes_agent_greets_in_the_readmes_job(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert [name for name, _ in blocks] == ["agent.py", "job.py"]
    for name, code in blocks:
        (tmp_path / name).write_text(code)
    with RunningServer(f"{tmp_path / 'agent.py'}:agent") as server:
        job = (tmp_path / "job.py").read_text()
        assert "localhost:7077" in job
        (tmp_path / "job.py").write_text(job.replace("localhost:7077", server.address))
        done = subprocess.run(
            [JOB_PYTHON, tmp_path / "job.py"],
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    greetings = [json.loads(text) for text in re.findall(r"\{.*\}", done.stdout)]
    assert sorted(greetings, key=repr) == [
        {"name": "ann", "visits": 1},
        {"name": "ann", "visits": 2},
        {"name": "bob", "visits": 1},
    ]
