"""What can go wrong with the server itself, as opposed to the user's code.

    ServerError
    ├── ConfigError     a flag, a variable or a line of the config file is wrong            exit code 2
    ├── StartError      the server cannot start: address taken, agent that does not load    exit code 1
    └── ProtocolError   the other side of a session broke a rule of session.proto: the session ends, nothing else

A message names the thing, its value and the way out; the command line prints it as it is, without a traceback.
"""

from __future__ import annotations

__all__ = ["ConfigError", "ProtocolError", "ServerError", "StartError"]


class ServerError(Exception):
    """The server cannot do what it was asked to; the message is for the person who asked."""

    exit_code = 1


class ConfigError(ServerError):
    """A setting is wrong: which one, its value, and what it may be."""

    exit_code = 2


class StartError(ServerError):
    """The settings are well formed, and yet the server cannot start with them."""


class ProtocolError(ServerError):
    """A frame breaks a rule of session.proto; the message goes to the other side in Bye."""
