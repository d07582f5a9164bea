from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest


def options(*arguments: Any, **named: Any) -> dict[str, Any]:
    launch = importlib.import_module("pyflink_actions.launch").Launch(*arguments, **named)
    return {key: value for key, value in launch.options().items() if value is not None}


@pytest.mark.parametrize(
    ("target", "targets"),
    [
        ("/opt/a.py:agent", ["/opt/a.py:agent"]),
        (Path("/opt/a.py:agent"), ["/opt/a.py:agent"]),
        (["shop:agent", Path("/opt/a.py:agent")], ["shop:agent", "/opt/a.py:agent"]),
    ],
)
def test_a_target_is_a_text_or_a_path_or_several_of_them(target: Any, targets: list[str]) -> None:
    assert options(target) == {"launch.target": json.dumps(targets)}


def test_other_paths_may_be_paths_too() -> None:
    given = options("a:agent", python=Path("/v/bin/python"), folder=Path("/opt"), arguments=["--config", Path("/c")])
    assert given == {
        "launch.target": '["a:agent"]',
        "launch.python": "/v/bin/python",
        "launch.folder": "/opt",
        "launch.arguments": '["--config", "/c"]',
    }


@pytest.mark.parametrize("target", [5, ["a:agent", 5], b"a:agent"])
def test_what_is_no_target_is_an_error_that_names_it(target: Any) -> None:
    with pytest.raises(ValueError, match=r"Launch's target .* is neither text nor path"):
        options(target)
