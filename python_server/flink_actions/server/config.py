"""The server's settings: read once, from flags over environment over config file over defaults, into a frozen object.

A setting `drain_seconds` is the flag `--drain-seconds`, the variable `FLINK_ACTIONS_DRAIN_SECONDS`, and the key
`drain_seconds` (or `drain-seconds`) of the config file. The file is TOML or JSON; TOML needs Python 3.11, because
older ones cannot read it without another package. YAML is not read, for the same reason.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flink_actions.server.address import Address, parse_address
from flink_actions.server.errors import ConfigError

__all__ = ["ServerSettings", "read_settings"]

_ENVIRONMENT_PREFIX = "FLINK_ACTIONS_"
_KIB = 1024
_MIB = 1024 * _KIB


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """All that the supervisor and its workers are told. Immutable; travels to the workers as JSON."""

    targets: tuple[str, ...] = ()
    """What to serve: `package.module:agent` or `path/to/file.py:agent`."""

    listen: str = "127.0.0.1:7077"
    """Loopback by default: whoever reaches the port can run the agents and read what they answer."""

    health_listen: str = ""
    """A second address, for probes that cannot reach a Unix socket; may be public, as it answers health checks only."""

    insecure_public: bool = False
    """Allows a public address although nothing encrypts the traffic or asks who it is."""

    tls_certificate: str = ""
    """File with the server's certificate chain, PEM; with it TCP addresses speak TLS."""

    tls_key: str = ""
    """File with the certificate's private key, PEM."""

    tls_client_ca: str = ""
    """File with the authorities, PEM, one of which has to have signed a client's certificate; empty: none is asked."""

    token_file: str = ""
    """File with a token that every client has to bring; empty: none is asked."""

    workers: int = 1
    """Processes. One saturates about one core; more pay off when cores are free."""

    spares: int = 1
    """Processes that wait with the code loaded to take the place of a worker that dies; 0 saves their memory."""

    socket_mode: int = 0o600
    """Permissions of Unix sockets. Owner only; a job that runs as another user needs 660 and a common group."""

    load_limit_seconds: float = 120.0
    """A process that loads the agents' code for longer than this hangs, and is killed; so the first start fails."""

    drain_seconds: float = 25.0
    """How long running actions may go on after SIGTERM. Kubernetes kills after 30 s by default."""

    linger_seconds: float = 10.0
    """How long invocations whose session was lost run on, and their outcomes are kept, before they are given up."""

    max_frame_bytes: int = 4 * _MIB
    """Largest frame in either direction; gRPC's own default, which the operator's side has too."""

    frame_window: int = 2
    """Frames with Invokes that may be unacknowledged: one under way while one is stepped. More only adds latency."""

    credit_invocations: int = 16_384
    """Invocations that one session may have open: ten thousand actions that all wait, and some to spare."""

    credit_bytes: int = 64 * _MIB
    """Bytes of Invokes that one session may have open."""

    threads: int = 32
    """Most `def` actions that run at once in one worker."""

    memory_mirror_bytes: int = 256 * _MIB
    """How much memory of keys one worker may keep between invocations, for each job."""

    kept_work_bytes: int = 64 * _MIB
    """How much finished work one worker keeps until a checkpoint covers it, for each job whose TaskManager may die."""

    kept_work_seconds: float = 3600.0
    """How long such work is kept at most."""

    archive_seconds: float = 300.0
    """How long a worker stays at most after a reload, to hand its finished work back should the job restart."""

    quarantine_idle_seconds: float = 30.0
    """How long the quarantine worker waits for further suspects before it leaves."""

    quarantine_turn_seconds: float = 10.0
    """How long one subtask's suspects have the quarantine worker while others wait; what runs then has twice as long to
    end."""

    exit_with_stdin: bool = False
    """Leaves as after SIGTERM when standard input ends: for a process that starts a server and must not outlive it."""

    reload: bool = False
    """Reloads when a source file of the agents' own changes. For development; in production send SIGHUP."""

    blocked_after_seconds: float = 5.0
    """A worker whose event loop has not moved for this long is not ready."""

    blocked_limit_seconds: float = 30.0
    """A worker whose event loop has not moved for this long is ended and replaced, and the jobs are told which
    invocation it was stepping. Sooner than they give it up themselves (45 s), or they would send that to the next
    one."""

    allow_pickle: bool = False
    """Loads pickled inputs, and values of durable calls that have no JSON form, of jobs that allow it too. Loading a
    pickle runs whatever code its sender wrote into it."""

    log_level: str = "INFO"
    """Of the server's own loggers."""

    config: Mapping[str, Any] = field(default_factory=dict)
    """What agents and resources read as configuration: the section `agent` of the config file."""

    @property
    def address(self) -> Address:
        """`listen`, read."""
        return parse_address(self.listen)

    def to_json(self) -> str:
        """For a worker's start."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ServerSettings:
        """What `to_json` wrote."""
        values = json.loads(text)
        values["targets"] = tuple(values["targets"])
        return cls(**values)


def read_settings(
    flags: Mapping[str, Any], *, environment: Mapping[str, str] = os.environ, config_file: str | None = None
) -> ServerSettings:
    """Put the sources together and check the whole; raise `ConfigError` for the first thing that is wrong.

    `flags` holds only what was given on the command line.
    """
    values: dict[str, Any] = {}
    for source, given in (
        (f"config file {config_file}", _read_config_file(config_file) if config_file else {}),
        ("environment", _read_environment(environment)),
        ("command line", flags),
    ):
        for name, value in given.items():
            values[name] = _convert(source, name, value)
    settings = ServerSettings(**values)
    _check(settings)
    return settings


def _read_config_file(path: str) -> dict[str, Any]:
    suffix = Path(path).suffix.lower()
    if suffix not in (".toml", ".json"):
        raise ConfigError(f"config file {path!r} ends in {suffix!r}: only .toml and .json are read")
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"config file {path!r} cannot be read: {error.strerror}") from error
    loaded = _parse_json(path, content) if suffix == ".json" else _parse_toml(path, content)
    if not isinstance(loaded, dict):
        raise ConfigError(f"config file {path!r} holds a {type(loaded).__name__}, not a table of settings")
    agent_config = loaded.pop("agent", {})
    if not isinstance(agent_config, dict):
        raise ConfigError(
            f"config file {path!r}: agent is {agent_config!r}; it is a section, the configuration of agents and of "
            "resources"
        )
    if "config" in loaded:
        raise ConfigError(f"config file {path!r}: unknown setting 'config'; the section for agents is called agent")
    settings = {str(name).replace("-", "_"): value for name, value in loaded.items()}
    return {**settings, "config": agent_config}


def _parse_json(path: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise ConfigError(f"config file {path!r} is not JSON: {error}") from error


def _parse_toml(path: str, content: bytes) -> Any:
    if sys.version_info < (3, 11):
        raise ConfigError(f"config file {path!r}: TOML needs Python 3.11 or later; write it as JSON")
    import tomllib

    try:
        return tomllib.loads(content.decode())
    except ValueError as error:
        raise ConfigError(f"config file {path!r} is not TOML: {error}") from error


def _read_environment(environment: Mapping[str, str]) -> dict[str, str]:
    names = {f"{_ENVIRONMENT_PREFIX}{name.upper()}": name for name in _TYPES if name not in ("targets", "config")}
    for variable in environment.keys() - names.keys():
        if variable.startswith(_ENVIRONMENT_PREFIX):
            # Not every other one is a mistake: Kubernetes sets FLINK_ACTIONS_PORT and more for a service of that name.
            meant = difflib.get_close_matches(variable, names, n=1, cutoff=_TYPO_LIKENESS)
            if meant:
                raise ConfigError(f"environment: there is no setting {variable}; did you mean {meant[0]}?")
    return {names[variable]: text for variable, text in environment.items() if variable in names}


# Written by hand and not read from annotations: three kinds are all there are, and mode is octal.
_TYPES: dict[str, type] = {
    "targets": tuple,
    "listen": str,
    "health_listen": str,
    "insecure_public": bool,
    "tls_certificate": str,
    "tls_key": str,
    "tls_client_ca": str,
    "token_file": str,
    "workers": int,
    "spares": int,
    "socket_mode": int,
    "load_limit_seconds": float,
    "drain_seconds": float,
    "linger_seconds": float,
    "max_frame_bytes": int,
    "frame_window": int,
    "credit_invocations": int,
    "credit_bytes": int,
    "threads": int,
    "memory_mirror_bytes": int,
    "kept_work_bytes": int,
    "kept_work_seconds": float,
    "archive_seconds": float,
    "quarantine_idle_seconds": float,
    "quarantine_turn_seconds": float,
    "exit_with_stdin": bool,
    "reload": bool,
    "blocked_after_seconds": float,
    "blocked_limit_seconds": float,
    "allow_pickle": bool,
    "log_level": str,
    "config": dict,
}

_FORMS: dict[type, str] = {
    bool: "true or false",
    dict: "a table",
    float: "a number",
    int: "a whole number",
    str: "text",
    tuple: "a list of targets",
}

_LEAST: dict[str, float] = {
    "workers": 1,
    "spares": 0,
    "load_limit_seconds": 1,
    "drain_seconds": 0,
    "linger_seconds": 0,
    "max_frame_bytes": 64 * _KIB,
    "frame_window": 1,
    "credit_invocations": 1,
    "credit_bytes": 64 * _KIB,
    "threads": 1,
    "memory_mirror_bytes": 0,
    "kept_work_bytes": 0,
    "kept_work_seconds": 0,
    "archive_seconds": 0,
    "quarantine_idle_seconds": 0,
    "quarantine_turn_seconds": 0.1,
    # A worker that is well is heard of once a second, and looked at as often.
    "blocked_after_seconds": 1.5,
    "blocked_limit_seconds": 3.0,
}

_DAY_SECONDS = 86_400.0
# How like a setting's name a variable must be to be taken for a misspelt one.
_TYPO_LIKENESS = 0.9

# Of each setting in seconds, for what is no finite number is refused by these.
_MOST: dict[str, float] = {
    "load_limit_seconds": _DAY_SECONDS,
    "drain_seconds": _DAY_SECONDS,
    "linger_seconds": _DAY_SECONDS,
    "kept_work_seconds": 30 * _DAY_SECONDS,
    "archive_seconds": _DAY_SECONDS,
    "quarantine_idle_seconds": _DAY_SECONDS,
    "quarantine_turn_seconds": _DAY_SECONDS,
    "blocked_after_seconds": _DAY_SECONDS,
    "blocked_limit_seconds": _DAY_SECONDS,
    # gRPC counts the bytes of a message in 31 bits, and a worker takes four times this to say what is wrong with it.
    "max_frame_bytes": 256 * _MIB,
}

_TRUE_AND_FALSE = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _convert(source: str, name: str, value: Any) -> Any:
    wanted = _TYPES.get(name)
    if wanted is None:
        raise ConfigError(
            f"{source}: unknown setting {name!r}. Settings are: {', '.join(sorted(_TYPES.keys() - {'config'}))}"
        )
    try:
        return _converted(name, wanted, value)
    except (TypeError, ValueError, OverflowError):  # the last: what JSON and TOML know as infinite
        form = "octal, such as 660" if name == "socket_mode" else _FORMS[wanted]
        raise ConfigError(f"{source}: {name} is {value!r}; write {form}") from None


def _converted(name: str, wanted: type, value: Any) -> Any:
    if name == "socket_mode" and isinstance(value, str):
        return int(value, 8)
    if wanted is tuple:
        return (value,) if isinstance(value, str) else tuple(str(entry) for entry in value)
    if wanted is bool and isinstance(value, str):
        if value.lower() not in _TRUE_AND_FALSE:
            raise ValueError
        return _TRUE_AND_FALSE[value.lower()]
    if isinstance(value, bool) is not (wanted is bool):
        raise TypeError
    if wanted in (str, dict) and not isinstance(value, wanted):
        raise TypeError
    return wanted(value)


def _check(settings: ServerSettings) -> None:
    for name, least in _LEAST.items():
        value = getattr(settings, name)
        if value < least:
            raise ConfigError(f"{name} is {value}: it must be at least {least:g}")
    for name, most in _MOST.items():
        value = getattr(settings, name)
        if not value <= most:  # so written that NaN is refused too
            raise ConfigError(f"{name} is {value}: it must be at most {most:.0f}")
    if settings.log_level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ConfigError(f"log_level is {settings.log_level!r}: it may be DEBUG, INFO, WARNING or ERROR")
    if settings.health_listen:
        parse_address(settings.health_listen)
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        given, missing = ("tls_certificate", "tls_key") if settings.tls_certificate else ("tls_key", "tls_certificate")
        raise ConfigError(f"{given} is {getattr(settings, given)!r} and {missing} is not set: TLS needs both files")
    if settings.tls_client_ca and not settings.tls_certificate:
        raise ConfigError(
            f"tls_client_ca is {settings.tls_client_ca!r} and tls_certificate is not set: clients show certificates "
            "over TLS only, so the server needs one too"
        )
    is_protected = settings.tls_certificate or settings.token_file or settings.insecure_public
    if settings.address.is_public and not is_protected:
        raise ConfigError(
            f"{settings.listen} can be reached from other machines, and nothing encrypts or authenticates the traffic: "
            "listen on 127.0.0.1 or on a Unix socket, give it --tls-certificate and --tls-key or a --token-file, or "
            "say --insecure-public if the network protects it"
        )
