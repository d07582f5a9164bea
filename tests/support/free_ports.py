"""Ports for processes that have to be told theirs before they bind it."""

from __future__ import annotations

import contextlib
import random
import socket

# Below those that systems give to whoever asks for any: nobody else is given one before it is bound. Each comes once.
_CANDIDATES = range(10_000, 32_768)
_ports = iter(random.Random().sample(_CANDIDATES, len(_CANDIDATES)))


def free_port(*hosts: str) -> int:
    """A port that is free on all of these hosts, by default on 127.0.0.1."""
    for port in _ports:
        with contextlib.suppress(OSError), contextlib.ExitStack() as sockets:
            for host in hosts or ("127.0.0.1",):
                sockets.enter_context(socket.socket()).bind((host, port))
            return port
    raise AssertionError("all ports were given away")
