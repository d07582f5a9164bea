"""Where the server listens: `host:port` or `unix:/path`.

The supervisor listens at the address that jobs are given. Its workers listen beside it: on ports that the system
chooses, or on sockets named after the supervisor's. A worker's socket carries its incarnation, so that a worker that
an earlier supervisor left behind can never be mistaken for a new one.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from flink_actions.server.errors import ConfigError, StartError

__all__ = ["Address", "TcpAddress", "UnixAddress", "make_way_for_socket", "parse_address"]

# sockaddr_un.sun_path of Linux, the closing zero byte not counted.
_LONGEST_SOCKET_PATH = 107
# What a worker's socket adds to the supervisor's path: ".w12.0123456789ab".
_WORKER_SUFFIX_LENGTH = 17
_LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost"})


@dataclass(frozen=True)
class TcpAddress:
    """A host and a port; port 0 lets the system choose one."""

    host: str
    port: int

    @property
    def is_public(self) -> bool:
        """Whether other machines can reach it."""
        return not (self.host in _LOOPBACK_NAMES or self.host.startswith("127.") or self.host == "::1")

    @property
    def grpc_target(self) -> str:
        """As gRPC writes it."""
        return str(self)

    def of_worker(self, worker: str, incarnation: bytes) -> TcpAddress:
        """A worker listens on a port of its own: SO_REUSEPORT leaves workers idle when streams are few and long."""
        return TcpAddress(self.host, 0)

    def with_port(self, port: int) -> TcpAddress:
        """The same host; what is known once a port is bound."""
        return TcpAddress(self.host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class UnixAddress:
    """A socket in the file system; who may open the file may talk to the server."""

    path: str

    @property
    def is_public(self) -> bool:
        """Never: the permissions of the file decide."""
        return False

    @property
    def grpc_target(self) -> str:
        """As gRPC writes it."""
        return str(self)

    def of_worker(self, worker: str, incarnation: bytes) -> UnixAddress:
        """Beside the supervisor's socket, in the same folder, so that one mounted volume carries all of them."""
        return UnixAddress(f"{self.path}.{worker}.{incarnation.hex()[:12]}")

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address: TypeAlias = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """Read `host:port`, `[ipv6]:port` or `unix:/path`; raise `ConfigError` that says what it may look like."""
    if text.startswith("unix:"):
        return _parse_unix(text)
    host, colon, port_text = text.rpartition(":")
    if not colon or not host:
        raise ConfigError(f"listen address {text!r} has no port: write host:port or unix:/path")
    if not port_text.isdigit() or int(port_text) > 65535:
        raise ConfigError(f"listen address {text!r} has port {port_text!r}: a port is a number from 0 to 65535")
    return TcpAddress(host.removeprefix("[").removesuffix("]"), int(port_text))


def _parse_unix(text: str) -> UnixAddress:
    path = text.removeprefix("unix:").removeprefix("//")
    if not path:
        raise ConfigError("listen address 'unix:' has no path: write unix:/run/flink-actions/socket")
    path = os.path.abspath(path)
    if len(os.fsencode(path)) + _WORKER_SUFFIX_LENGTH > _LONGEST_SOCKET_PATH:
        longest = _LONGEST_SOCKET_PATH - _WORKER_SUFFIX_LENGTH
        raise ConfigError(f"socket path {path!r} is longer than {longest} bytes: choose a shorter folder")
    return UnixAddress(path)


def make_way_for_socket(address: UnixAddress, flag: str = "--listen") -> None:
    """Remove what dead processes left at `address`, which `flag` gave, and at its workers' addresses.

    gRPC removes an existing socket file before it binds, whether or not a process listens there; so whoever binds asks
    here first. Raises `StartError` if somebody listens or the path is not a socket.
    """
    path = Path(address.path)
    if not path.parent.is_dir():
        raise StartError(f"cannot listen at {address}: the folder {str(path.parent)!r} does not exist")
    if _exists_and_is_taken(path):
        raise StartError(
            f"cannot listen at {address}: another process listens there. Stop it, or choose another path with {flag}"
        )
    # "w0", "w1", ..., and "q0" in quarantine.
    for leftover in path.parent.glob(f"{path.name}.[wq]*.*"):
        with contextlib.suppress(StartError):
            _exists_and_is_taken(leftover)


def _exists_and_is_taken(path: Path) -> bool:
    """Whether somebody listens at `path`; a socket file without a listener is removed."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(mode):
        raise StartError(f"cannot listen at unix:{path}: the file is there and is not a socket. Choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return False
        except OSError:
            # Neither accepted nor refused (a full backlog, no permission): assume that it is somebody's.
            return True
    return True
