"""Who may talk to the server, and whether anybody can listen: TLS, clients' certificates, a bearer token.

Certificates protect TCP addresses; a Unix socket has its file's permissions. The token is asked for at both. Health
checks need no token: they say nothing that a probe may not know, and probes have none.
"""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import grpc.aio

from flink_actions.server.config import ServerSettings
from flink_actions.server.errors import StartError

__all__ = ["ServerSecurity", "read_token"]

_HEALTH_METHODS = "/grpc.health.v1.Health/"
_SHORTEST_TOKEN = 16

_Handler: TypeAlias = Any  # gRPC has no types of its own


@dataclass(frozen=True)
class ServerSecurity:
    """What a process's servers ask of those who connect. Read once, at the start of the process.

    Args:
        credentials: For TCP addresses; None: not encrypted.
        token: What has to stand behind "Bearer"; None: nobody is asked.
        asks_clients: For certificates of theirs.
    """

    credentials: grpc.ServerCredentials | None = None
    token: bytes | None = None
    asks_clients: bool = False

    @classmethod
    def read(cls, settings: ServerSettings) -> ServerSecurity:
        """From the files that the settings name; raise `StartError` for one that cannot be read."""
        credentials = None
        if settings.tls_certificate:
            clients = _read("tls_client_ca", settings.tls_client_ca) if settings.tls_client_ca else None
            pair = (_read("tls_key", settings.tls_key), _read("tls_certificate", settings.tls_certificate))
            _check_certificates(settings)
            credentials = grpc.ssl_server_credentials([pair], clients, require_client_auth=clients is not None)
        token = read_token(settings.token_file) if settings.token_file else None
        return cls(credentials, token, bool(settings.tls_client_ca))

    def interceptors(self) -> list[grpc.aio.ServerInterceptor]:
        """For `grpc.aio.server`."""
        return [] if self.token is None else [_TokenGuard(self.token)]

    def __str__(self) -> str:
        parts = {"TLS": self.credentials, "client certificates": self.asks_clients, "token": self.token}
        return ", ".join(name for name, there in parts.items() if there)


def read_token(path: str) -> bytes:
    """The token in a file, without white space around it; raise `StartError` if there is none."""
    token = _read("token_file", path).strip()
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or any(byte <= 32 for byte in token):
        raise StartError(
            f"token_file {path!r} holds no token: it is {_SHORTEST_TOKEN} or more printable ASCII characters without "
            "spaces; `openssl rand -hex 32` makes one"
        )
    return token


def _read(setting: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise StartError(f"{setting} is {path!r}, which cannot be read: {error.strerror}") from error


def _check_certificates(settings: ServerSettings) -> None:
    """gRPC says of files that are none of that only that it cannot listen."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An encrypted key would be asked for at the terminal; gRPC cannot read one.
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password="")
    except (OSError, ValueError) as error:
        raise StartError(
            f"tls_certificate {settings.tls_certificate!r} and tls_key {settings.tls_key!r} are no certificate chain "
            f"and its unencrypted private key, in PEM: {error}"
        ) from error
    if settings.tls_client_ca:
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except OSError as error:
            raise StartError(
                f"tls_client_ca {settings.tls_client_ca!r} holds no certificates in PEM: {error}"
            ) from error


class _TokenGuard(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # gRPC has no types
    """Ends every rpc that does not bring the token before its handler sees anything of it."""

    def __init__(self, token: bytes) -> None:
        self._wanted = b"Bearer " + token

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(_HEALTH_METHODS):
            return handler
        for name, value in handler_call_details.invocation_metadata:
            if name == "authorization" and hmac.compare_digest(_bytes(value), self._wanted):
                return handler
        return _refusing(handler)


def _bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else value


def _refusing(handler: _Handler) -> _Handler:
    """Answers at once: one that streams would be waited for."""

    async def refuse(_: Any, context: Any) -> Any:
        await context.abort(
            grpc.StatusCode.UNAUTHENTICATED,
            "this server wants a token, and the one that came (if any) is another: give the job the same file, as "
            "ActionServer(token_file=...) or agent.token-file, and flink-actions describe as --token-file",
        )

    if handler.request_streaming:
        make = grpc.stream_stream_rpc_method_handler if handler.response_streaming else None
        return (make or grpc.stream_unary_rpc_method_handler)(refuse)
    make = grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
    return make(refuse)
