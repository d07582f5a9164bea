"""Whether a job would take the command line that a manifest gives it: asked of the job itself, without its PyFlink."""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["faults_of_job"]


def faults_of_job(name: str, words: list[str], sources: dict[str, Path], server: str) -> Iterator[str]:
    """What does not fit in a command line with `-py SCRIPT ARGUMENTS`.

    Args:
        name: Who runs it.
        words: The command line.
        sources: Where the files of ours lie that are there: path in the image → path here.
        server: The address at which the server listens.
    """
    script, *arguments = words[words.index("-py") + 1 :]
    if script not in sources:
        yield f"{name} runs {script}, which is not there; there are {sorted(sources)}"
        return
    try:
        read = _read_arguments_of(sources[script], arguments)
    except _ArgumentsError as error:
        yield f"{name}: {script} refuses its arguments: {error}"
        return
    if read.server != server:
        yield f"{name} looks for the server at {read.server}, which listens at {server}"


class _ArgumentsError(Exception):
    """The job would refuse its command line; says what argparse says."""


def _read_arguments_of(script: Path, words: list[str]) -> argparse.Namespace:
    """What `read_arguments` of the script makes of `words`. Everything of it runs but the imports of PyFlink."""
    module = ast.parse(script.read_text(), str(script))
    module.body = [
        statement
        for statement in module.body
        if not (isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("pyflink"))
    ]
    names: dict[str, Any] = {"__name__": "job"}
    exec(compile(module, str(script), "exec"), names)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            arguments: argparse.Namespace = names["read_arguments"](words)
    except SystemExit:
        raise _ArgumentsError(said.getvalue().strip().rpartition("error: ")[2]) from None
    return arguments
