"""What the Dockerfiles make of each image: who runs in it, which folders are whose, which of our files are there."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from dockerfile import Step, read_dockerfile

__all__ = ["Image", "read_images"]

_BUILT_BY = re.compile(r"docker build -f docker/(\S+) -t (\S+)")


@dataclass(frozen=True)
class Image:
    """What is known of an image from its Dockerfile, and from those that it builds upon."""

    name: str
    base: str
    """The image of someone else's at the bottom, with its tag."""
    user: str = "root"
    owners: dict[str, str] = field(default_factory=dict)
    """Folders that are made and given to a user."""
    files: dict[str, str] = field(default_factory=dict)
    """Path in the image → path in the repository, of single files."""

    def may_write(self, folder: str) -> bool:
        """Whether its user owns a folder that is made in it: a volume mounted there then belongs to that user, too."""
        return self.owners.get(folder) == self.user


def read_images(folder: Path) -> dict[str, Image]:
    """The images of all Dockerfiles in `folder`, by the name that the head of each says it is built with."""
    dockerfiles = {}
    for path in folder.glob("*.Dockerfile"):
        built = _BUILT_BY.search(path.read_text())
        if built is None or built.group(1) != path.name:
            raise ValueError(
                f"{path} does not say at its head by which `docker build -f docker/{path.name} -t NAME` it is built"
            )
        dockerfiles[built.group(2)] = read_dockerfile(path)
    return {name: _read(name, dockerfiles) for name in dockerfiles}


def _read(name: str, dockerfiles: dict[str, list[Step]]) -> Image:
    steps = dockerfiles[name]
    base = steps[0].arguments
    below = _read(base, dockerfiles) if base in dockerfiles else Image(base, base)
    user, owners, files = below.user, dict(below.owners), dict(below.files)
    for step in steps:
        if step.instruction == "USER":
            user = step.arguments
        elif step.instruction == "COPY":
            source, target = step.arguments.rsplit(maxsplit=1)
            if not target.endswith("/"):
                files[target] = source
        elif step.instruction == "RUN":
            owners |= _given_away(step.arguments)
    return Image(name, below.base, user, owners, files)


def _given_away(commands: str) -> dict[str, str]:
    """Folder → owner, of those that one step both makes and gives to a user."""
    made: set[str] = set()
    owners = {}
    for command in commands.split(" && "):
        program, *words = shlex.split(command)
        paths = {str(PurePosixPath(word)) for word in words if word.startswith("/")}
        if program == "mkdir":
            made |= paths
        elif program == "chown":
            owners |= dict.fromkeys(paths & made, words[0].partition(":")[0])
    return owners
