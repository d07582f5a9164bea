"""Does what a Dockerfile says in a bare directory instead of an image.

Files are copied, environments are made and packages installed for real, below one folder: an absolute path of the image
(`/opt/...`, `/run/...`) becomes the same path below that folder. What only an image can do (system packages, users) is
left out, and said so.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["BareDirectory", "Step", "read_dockerfile"]

_ONLY_IN_AN_IMAGE = ("apt-get", "groupadd", "useradd", "chown", "rm -rf /var/lib/apt")
_IMAGE_PATH = re.compile(r"(?<![\w./-])/(?=(?:opt|run)(?:/|$))")
_KNOWN = frozenset({"FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "ENTRYPOINT", "CMD"})
_STEP_SECONDS = 600


@dataclass(frozen=True)
class Step:
    """One instruction, its continuation lines joined."""

    line: int
    instruction: str
    arguments: str


def read_dockerfile(path: Path) -> list[Step]:
    """The steps of a Dockerfile; raises `ValueError` for an instruction that nobody here knows."""
    steps: list[Step] = []
    pending = ""
    first_line = 0
    for number, raw in enumerate(path.read_text().splitlines(), start=1):
        line = raw.strip()
        if line.startswith("#") or (not line and not pending):
            continue
        first_line = first_line or number
        pending += line.removesuffix("\\").rstrip() + " "
        if line.endswith("\\"):
            continue
        instruction, _, arguments = pending.strip().partition(" ")
        if instruction not in _KNOWN:
            raise ValueError(
                f"{path}:{first_line}: unknown instruction {instruction!r}; known: {', '.join(sorted(_KNOWN))}"
            )
        steps.append(Step(first_line, instruction, arguments.strip()))
        pending, first_line = "", 0
    if not steps or steps[0].instruction != "FROM":
        raise ValueError(f"{path} does not begin with FROM")
    return steps


@dataclass
class BareDirectory:
    """What an image would be: a folder, an environment, a working directory, a command."""

    root: Path
    context: Path
    environment: dict[str, str] = field(default_factory=dict)
    working_directory: str = "/"
    user: str = "root"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def build(self, dockerfile: Path) -> None:
        """Do every step of `dockerfile`; its base image is whatever this folder holds already."""
        for step in read_dockerfile(dockerfile):
            print(f"  {dockerfile.name}:{step.line} {step.instruction} {step.arguments[:110]}", flush=True)
            getattr(self, f"_do_{step.instruction.lower()}")(step)

    def path(self, image_path: str) -> Path:
        """Where a path of the image lies here."""
        return self.root / image_path.lstrip("/")

    def rebase(self, text: str) -> str:
        """`text` with the image's absolute paths led below this folder."""
        return _IMAGE_PATH.sub(f"{self.root}/", text)

    def argv(self, arguments: list[str] | None = None) -> list[str]:
        """What a container of this image would run."""
        return [self.rebase(word) for word in self.entrypoint + (self.command if arguments is None else arguments)]

    def process_environment(self) -> dict[str, str]:
        """The image's variables over a minimal environment; nothing of the caller's virtual environments."""
        inherited = {name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "SSL_", "JAVA_HOME"))}
        base = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.root), "LANG": "C.UTF-8", **inherited}
        return {**base, **self.environment}

    def _do_from(self, step: Step) -> None:
        pass

    def _do_run(self, step: Step) -> None:
        for command in step.arguments.split(" && "):
            if command.startswith(_ONLY_IN_AN_IMAGE):
                print(f"    left out, needs an image: {command}")
                continue
            subprocess.run(
                ["bash", "-euo", "pipefail", "-c", self.rebase(command)],
                cwd=self._made(self.working_directory),
                env=self.process_environment(),
                check=True,
                timeout=_STEP_SECONDS,
            )

    def _do_copy(self, step: Step) -> None:
        *patterns, target = step.arguments.split()
        for pattern in patterns:
            sources = glob.glob(str(self.context / pattern))
            if not sources:
                raise ValueError(f"line {step.line}: COPY {pattern}: no such file in the build context {self.context}")
            for source in map(Path, sources):
                self._copy(source, target)

    def _copy(self, source: Path, target: str) -> None:
        # As Docker does: of a folder its content is copied, not the folder.
        if source.is_dir():
            shutil.copytree(
                source,
                self._made(target),
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("__pycache__", "build"),  # as .dockerignore says
            )
        elif target.endswith("/"):
            shutil.copy(source, self._made(target))
        else:
            shutil.copy(source, self.path(target))

    def _do_env(self, step: Step) -> None:
        for name, value in re.findall(r"(\w+)=(\S+)", step.arguments):
            expanded = re.sub(r"\$(\w+)", lambda match: self.process_environment()[match.group(1)], value)
            self.environment[name] = self.rebase(expanded)

    def _do_user(self, step: Step) -> None:
        self.user = step.arguments

    def _do_workdir(self, step: Step) -> None:
        self.working_directory = step.arguments

    def _do_entrypoint(self, step: Step) -> None:
        self.entrypoint = json.loads(step.arguments)

    def _do_cmd(self, step: Step) -> None:
        self.command = json.loads(step.arguments)

    def _made(self, image_path: str) -> Path:
        folder = self.path(image_path)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
