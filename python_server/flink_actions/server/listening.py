"""How both kinds of process open their gRPC address."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

import grpc
import grpc.aio

from flink_actions.server.address import Address, TcpAddress, UnixAddress
from flink_actions.server.errors import StartError

__all__ = ["bind", "grpc_options"]

_NOT_OF_THIS_MACHINE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def grpc_options(*, max_receive_bytes: int = 4 * 1024 * 1024) -> list[tuple[str, Any]]:
    """Options of a server of ours."""
    return [
        # gRPC sets SO_REUSEPORT by itself: a second server on the same port would bind without a word and take a share
        # of the connections.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_receive_bytes),
        ("grpc.max_send_message_length", -1),
        # Jobs ping to notice a dead network; without these gRPC answers frequent pings by closing the connection.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ]


def bind(
    server: grpc.aio.Server,
    address: Address,
    socket_mode: int,
    credentials: grpc.ServerCredentials | None = None,
    *,
    flag: str = "--listen",
) -> Address:
    """Bind `server` and return the address with the port that it got; raise `StartError` if that is not possible.

    `credentials` are for TCP: who may open a socket is for the permissions of its file to say. `flag` is where the
    address came from.
    """
    if isinstance(address, UnixAddress):
        return _bind_socket(server, address, socket_mode)
    _try_to_bind(address, flag)
    try:
        if credentials is not None:
            return address.with_port(server.add_secure_port(address.grpc_target, credentials))
        return address.with_port(server.add_insecure_port(address.grpc_target))
    except RuntimeError as error:
        raise StartError(f"cannot listen at {address}: {error}") from error


def _try_to_bind(address: TcpAddress, flag: str) -> None:
    """Find out why an address cannot be had: gRPC logs that in its own words and raises without them."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise StartError(f"cannot listen at {address}: {address.host!r} has no address ({error.strerror})") from error
    errors = []
    for family, kind, protocol, _, socket_address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                # As gRPC does: a port whose last connections linger in TIME_WAIT is free.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(socket_address)
                probe.listen()
        except OSError as error:
            if error.errno not in _NOT_OF_THIS_MACHINE:
                raise _cannot_listen(address, flag, error) from error
            errors.append(error)
    # "localhost" may also mean ::1 where there is no IPv6, as in a container: gRPC listens at what there is.
    if len(errors) == len(found):
        raise _cannot_listen(address, flag, errors[0]) from errors[0]


def _cannot_listen(address: TcpAddress, flag: str, error: OSError) -> StartError:
    if error.errno == errno.EADDRINUSE:
        return StartError(
            f"cannot listen at {address}: port {address.port} is taken. Stop what listens there "
            f"(ss -ltnp 'sport = :{address.port}' names it), or choose another port with {flag}"
        )
    if error.errno in _NOT_OF_THIS_MACHINE:
        return StartError(f"cannot listen at {address}: this machine has no address {address.host!r}")
    return StartError(f"cannot listen at {address}: {error.strerror}")


def _bind_socket(server: grpc.aio.Server, address: UnixAddress, socket_mode: int) -> UnixAddress:
    # The mask makes the file private from its first moment; chmod alone would leave a gap.
    earlier_mask = os.umask(0o177)
    try:
        server.add_insecure_port(address.grpc_target)
        os.chmod(address.path, socket_mode)
    except (RuntimeError, OSError) as error:
        raise StartError(f"cannot listen at {address}: {error}") from error
    finally:
        os.umask(earlier_mask)
    return address
