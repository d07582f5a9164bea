"""docs/operations.md lists every setting of job and server with the default that the code has."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from flink_actions.server.config import ServerSettings

_ROOT = Path(__file__).parents[3]
_OPTIONS = _ROOT / "flink_job/operator/src/main/java/io/flinkactions/operator/JobOptions.java"


def _table(heading: str) -> dict[str, str]:
    """First column → second column of the table under a heading."""
    section = (_ROOT / "docs/operations.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", section, re.M))


def test_every_setting_of_the_server_is_listed_with_its_default() -> None:
    fields = {field.name: getattr(ServerSettings(), field.name) for field in dataclasses.fields(ServerSettings)}
    del fields["targets"], fields["config"]

    assert _table("Settings of the server") == {
        f"--{name.replace('_', '-')}": _server_default(name, value) for name, value in fields.items()
    }


def _server_default(name: str, value: object) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case int() if name == "socket_mode":
            return f"{value:o}"
        case int() if name.endswith("_bytes"):
            return f"{value >> 20} MiB"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:g} s"
    return str(value) or "-"


def test_every_setting_of_the_job_is_listed_with_its_default() -> None:
    declared = re.findall(r'key\("(agent\.[^"]+)"\)(.*?)\.withDescription', _OPTIONS.read_text(), re.S)

    assert _table("Settings of the job") == {key: _job_default(declaration) for key, declaration in declared}


def _job_default(declaration: str) -> str:
    found = re.search(r"defaultValue\((.*)\)", declaration, re.S)
    text = found.group(1).strip() if found else ""
    known = {
        "": "-",
        '""': "-",
        "Duration.ZERO": "0",
        "0L": "0",
        "LaunchSettings.DEFAULT_PYTHON": "python3",
        "MissingAction.FAIL": "fail",
        "OnFailure.FAIL": "fail",
    }
    if text in known:
        return known[text]
    if text.startswith("MemoryTtl."):
        return text.rpartition(".")[2]
    text = re.sub(r"Duration\.ofSeconds\((\d+)\)", r"\1 s", text)
    text = re.sub(r"Duration\.ofMinutes\((\d+)\)", r"\1 min", text)
    return re.sub(r"MemorySize\.ofMebiBytes\((\d+)\)", r"\1 MiB", text).replace("_", ",").strip('"')
