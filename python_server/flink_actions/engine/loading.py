"""Importing the author's code: from "module_or_path.py:attr" to plans.

Every load starts from the source files. Modules of an earlier load and byte code on disk are not used: their time
stamps have a resolution of a second, and a reload within that second would serve the old code.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from flink_actions.engine.plan import Plan, compile_plan
from flink_actions.sdk.agent import Agent
from flink_actions.sdk.errors import AgentLoadError, DuplicateNameError, Location, TargetError

_OUR_PACKAGES = ("flink_actions", "pyflink_actions")

# Of this process's loads so far: their modules are the ones that a new load must not meet.
_earlier_roots: set[Path] = set()


@dataclass(frozen=True, slots=True)
class LoadedAgents:
    """What one load found.

    Args:
        plans: By agent name, in declaration order; at least one.
        code_digest: SHA-256 over the source files of the modules that the load imported from the target's own tree.
        source_files: Those files, sorted: what a reloader watches.
    """

    plans: Mapping[str, Plan]
    code_digest: bytes
    source_files: tuple[Path, ...]


def load_agents(targets: str | Sequence[str]) -> LoadedAgents:
    """Import targets and compile the agents found there.

    Args:
        targets: "package.module:attribute" or "path/to/file.py:attribute", one or several. The attribute is an `Agent`,
            a subclass of it, a function without arguments that returns one, or a list or dict (by name) of these.
            Without `:attribute` it is `agent`.

    Raises:
        AgentLoadError: One of its kinds; what it says is fit for the person who started the server.
    """
    names = [targets] if isinstance(targets, str) else list(targets)
    if not names:
        raise TargetError("no target: name an agent as 'module:attribute' or 'path/to/file.py:attribute'")
    places = [_place_of(name) for name in names]
    plans: dict[str, Plan] = {}
    with _fresh_imports([place.root for place in places]):
        agents = [(place, *found) for place in places for found in _agents_at(place)]
        files = sorted({path for place in places for path in _own_source_files(place.root)})
        digest = _digest_of(files, places[0].root)
        for place, name, agent in agents:
            with _author_errors(place, f"making the plan of agent {name!r}"):
                plan = compile_plan(agent, name, code_digest=digest)
            if plan.agent in plans:
                raise DuplicateNameError(
                    f"two agents are named {plan.agent!r}: give one a name of its own, Agent(name=...)"
                )
            plans[plan.agent] = plan
    return LoadedAgents(plans, digest, tuple(files))


@dataclass(frozen=True, slots=True)
class _Place:
    target: str
    module: str
    attribute: str
    # Directory that the module's own tree lies under, and that must be importable.
    root: Path
    # Given, if the target is a path.
    file: Path | None = None


def _place_of(target: str) -> _Place:
    head, separator, attribute = target.rpartition(":")
    # A path on Windows has a colon of its own, and the attribute is optional.
    if not separator or not attribute.replace(".", "_").isidentifier():
        head, attribute = target, "agent"
    is_path = "/" in head or "\\" in head
    if head.endswith((".yaml", ".yml")) and (is_path or Path(head).is_file()):
        raise TargetError(
            f"target {target!r}: there are no YAML agents in this version; write the agent in Python and name its "
            ".py file"
        )
    if head.endswith(".py") or is_path:
        return _place_of_file(target, Path(head), attribute)
    if not all(part.isidentifier() for part in head.split(".")):
        raise TargetError(f"target {target!r}: {head!r} is neither a module nor a path to a .py file")
    return _place_of_module(target, head, attribute)


def _place_of_file(target: str, path: Path, attribute: str) -> _Place:
    if not path.is_file():
        raise TargetError(f"target {target!r}: there is no file {path} (looked from {Path.cwd()})")
    path = path.resolve()
    if not path.stem.isidentifier():
        raise TargetError(f"target {target!r}: {path.name} cannot be imported, its name is no Python identifier")
    parts, root = [path.stem], path.parent
    # A file inside a package is imported under its full name, or its relative imports would fail.
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    return _Place(target, ".".join(parts), attribute, root, path)


def _place_of_module(target: str, module: str, attribute: str) -> _Place:
    top = module.split(".")[0]
    for entry in [str(Path.cwd()), *sys.path]:
        spec = importlib.machinery.PathFinder.find_spec(top, [entry or str(Path.cwd())])
        if spec is not None:
            return _Place(target, module, attribute, Path(entry or ".").resolve())
    installed = _installed_otherwise(top)
    if installed is not None:
        return _Place(target, module, attribute, installed)
    raise TargetError(f"target {target!r}: there is no module {top!r} (looked in {Path.cwd()} and in sys.path)")


def _installed_otherwise(top: str) -> Path | None:
    """The folder of a module that has a finder of its own, as `pip install --editable` gives one to a package."""
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # the program itself, `__main__`
        return None
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or [])
    if spec.has_location and spec.origin is not None:
        places.insert(0, str(Path(spec.origin).parent) if places else spec.origin)
    return Path(places[0]).resolve().parent if places else None


class _FreshLoader(importlib.machinery.SourceFileLoader):
    """Compiles from source, always: without a time stamp neither reads nor writes importlib a .pyc file."""

    def path_stats(self, path: Any) -> Mapping[str, Any]:
        raise OSError("source is read anew on every load")


class _FreshFinder:
    """Finds modules under the roots and has them compiled from source."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = roots

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            return None
        if not any(_is_own(name, spec.origin, root) for root in self._roots):
            return None
        spec.loader = _FreshLoader(spec.loader.name, spec.loader.path)
        return spec


@contextlib.contextmanager
def _fresh_imports(roots: Sequence[Path]) -> Iterator[None]:
    _earlier_roots.update(roots)
    for name, module in list(sys.modules.items()):
        if name != "__main__" and any(_is_own(name, _file_of(module), root) for root in _earlier_roots):
            del sys.modules[name]
    importlib.invalidate_caches()
    for root in reversed(roots):
        # In front, where Python puts the directory of a script. Stays after the load: actions may import lazily.
        if str(root) in sys.path:
            sys.path.remove(str(root))
        sys.path.insert(0, str(root))
    finder = _FreshFinder(roots)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def _is_own(module: str, file: str | None, root: Path) -> bool:
    """Whether a module belongs to the agent's own tree: under its root, and nothing that was installed there."""
    if file is None or not file.endswith(".py") or module.split(".")[0] in _OUR_PACKAGES:
        return False
    path = Path(file)
    if not path.is_absolute():
        path = path.resolve()
    if not path.is_relative_to(root):
        return False
    inside = path.relative_to(root).parts
    is_standard = module.split(".")[0] in sys.stdlib_module_names
    return not is_standard and not any(part in ("site-packages", "dist-packages") for part in (*root.parts, *inside))


def _own_source_files(root: Path) -> list[Path]:
    files = [(name, _file_of(module)) for name, module in list(sys.modules.items())]
    own = [file for name, file in files if file is not None and name != "__main__" and _is_own(name, file, root)]
    # PyTorch has a module that says it is of "_classes.py", wherever it is asked.
    return [Path(file) for file in own if os.path.isfile(file)]


def _file_of(module: Any) -> str | None:
    """Where a module says it was loaded from. Packages put objects of their own among the modules, which may answer
    with anything."""
    try:
        file = module.__file__
    except Exception:
        return None
    return file if isinstance(file, str) else None


def _digest_of(files: Sequence[Path], root: Path) -> bytes:
    digest = hashlib.sha256()
    for path in files:
        # Relative, so that the same code has the same digest wherever it is installed.
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        for part in (name.encode(), path.read_bytes()):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def _agents_at(place: _Place) -> list[tuple[str, Agent]]:
    module = _import(place)
    file = getattr(module, "__file__", None)
    if place.file is not None and (file is None or Path(file).resolve() != place.file):
        raise TargetError(
            f"target {place.target!r}: the name {place.module!r} is taken by {file or 'a built-in module'}: "
            "rename the file"
        )
    found: Any = module
    for part in place.attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            offered = [
                name
                for name, value in vars(module).items()
                if isinstance(value, (Agent, dict)) and not name.startswith("_")
            ]
            offered += [name for name, value in vars(module).items() if _is_agent_class(value) and value is not Agent]
            hint = f"; agents there are: {', '.join(offered)}" if offered else "; it has no agent"
            raise TargetError(
                f"target {place.target!r}: module {place.module} has no {place.attribute!r}{hint}"
            ) from None
    name = place.attribute.split(".")[-1]
    if isinstance(found, Mapping):
        agents = [(str(key), _agent_from(value, place)) for key, value in found.items()]
    elif isinstance(found, (list, tuple)):
        agents = [(type(agent).__name__, agent) for agent in (_agent_from(value, place) for value in found)]
    else:
        made = _agent_from(found, place)
        if isinstance(made, (list, tuple, Mapping)):
            items = made.items() if isinstance(made, Mapping) else ((type(agent).__name__, agent) for agent in made)
            agents = [(str(key), _agent_from(value, place)) for key, value in items]
        else:
            agents = [(name, made)]
    if not agents:
        raise TargetError(f"target {place.target!r} holds no agent")
    return agents


def _is_agent_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Agent)


def _agent_from(value: Any, place: _Place) -> Any:
    """An agent from an agent, its class or a factory; a factory may also return several."""
    if isinstance(value, Agent):
        return value
    if callable(value):
        try:
            inspect.signature(value).bind()
        except TypeError as error:
            raise TargetError(
                f"target {place.target!r}: {value!r} is to be called without arguments, but {error}"
            ) from error
        with _author_errors(place, f"{getattr(value, '__name__', value)}()"):
            made = value()
        if isinstance(made, (Agent, list, tuple, Mapping)):
            return made
        value = made
    if any(base.__module__.partition(".")[0] == "flink_agents" for base in type(value).__mro__):
        raise TargetError(
            f"target {place.target!r} is an agent of the package flink_agents: this version does not run those; derive "
            "it from flink_actions.Agent, whose names are the same"
        )
    raise TargetError(
        f"target {place.target!r} is a {type(value).__name__}: it must be an Agent, a subclass, a function "
        "that returns one, "
        "or a list or dict of these"
    )


def _import(place: _Place) -> ModuleType:
    with _author_errors(place, f"importing {place.module}"):
        try:
            return importlib.import_module(place.module)
        except ModuleNotFoundError as error:
            if error.name is not None and (place.module == error.name or place.module.startswith(error.name + ".")):
                raise TargetError(
                    f"target {place.target!r}: there is no module {error.name!r} under {place.root}"
                ) from error
            raise


@contextlib.contextmanager
def _author_errors(place: _Place, what: str) -> Iterator[None]:
    """Whatever the author's code raises meanwhile becomes a `TargetError`; what it says of an agent stays as it is."""
    try:
        yield
    except (AgentLoadError, KeyboardInterrupt):  # the latter: a person at the terminal
        raise
    except BaseException as error:  # not `Exception` alone: sys.exit(), and what a panic in an extension becomes
        raise _raised(place, what, error) from error


def _raised(place: _Place, what: str, error: BaseException) -> TargetError:
    """The error of the author's code, with the line of it that raised."""
    if isinstance(error, SyntaxError) and error.filename:
        location: Location | None = Location(error.filename, error.lineno or 0)
    else:
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).is_relative_to(place.root)
        ]
        location = Location(frames[-1].filename, frames[-1].lineno or 0) if frames else None
    hint = ""
    if isinstance(error, ModuleNotFoundError):
        hint = f": install {error.name!r} into the server's environment ({sys.prefix})"
    return TargetError(f"{what} raised {type(error).__name__}: {error}{hint}", location)
