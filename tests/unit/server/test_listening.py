"""Addresses that a server can have, and those that it cannot."""

from __future__ import annotations

import socket
from typing import Any

import grpc.aio
import pytest
from flink_actions.server.address import TcpAddress
from flink_actions.server.errors import StartError
from flink_actions.server.listening import bind, grpc_options

# For documentation (RFC 5737): no machine has it.
_NOBODYS = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))
_LOOPBACK = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))


def _means(monkeypatch: pytest.MonkeyPatch, *found: Any) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: list(found))


async def test_a_name_may_have_an_address_that_this_machine_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """As "localhost" has ::1 in a container without IPv6."""
    _means(monkeypatch, _NOBODYS, _LOOPBACK)
    server = grpc.aio.server(options=grpc_options())
    assert bind(server, TcpAddress("localhost", 0), 0o600) != TcpAddress("localhost", 0)


async def test_a_name_that_has_no_other_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _means(monkeypatch, _NOBODYS)
    with pytest.raises(StartError, match="this machine has no address 'localhost'"):
        bind(grpc.aio.server(options=grpc_options()), TcpAddress("localhost", 0), 0o600)


async def test_a_port_that_is_taken_at_one_of_its_addresses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        _means(monkeypatch, _NOBODYS, (*_LOOPBACK[:4], other.getsockname()))
        address = TcpAddress("localhost", other.getsockname()[1])
        with pytest.raises(StartError, match=f"port {address.port} is taken"):
            bind(grpc.aio.server(options=grpc_options()), address, 0o600)
