"""`flink-actions describe`: what a running server serves, and how its workers are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from flink_actions.server.address import parse_address
from flink_actions.server.errors import ConfigError, StartError
from flink_actions.server.plan_text import plan_lines
from flink_actions.server.protocol import PROTOCOL_MAX, PROTOCOL_MIN
from flink_actions.server.security import read_token
from flink_actions.wire.v1 import directory_pb2, directory_pb2_grpc

__all__ = ["Access", "describe"]


@dataclass(frozen=True)
class Access:
    """How to get to a server that is protected. All are files, but for the name.

    Args:
        ca: Authorities that have signed the server's certificate; with it the connection is encrypted.
        certificate: Own one, where the server asks for one.
        key: Its private key.
        server_name: In the server's certificate, if that is not the host of the address.
        token: What the server asks for.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    server_name: str | None = None
    token: str | None = None

    def channel(self, target: str) -> grpc.Channel:
        """To that server; raise `ConfigError` for a file that cannot be read, or one without another that it needs."""
        if self.ca is None:
            if self.certificate or self.key or self.server_name:
                raise ConfigError("--tls-certificate, --tls-key and --tls-server-name are for TLS: give --tls-ca too")
            return grpc.insecure_channel(target)
        if (self.certificate is None) is not (self.key is None):
            raise ConfigError("of --tls-certificate and --tls-key one is missing: a certificate needs its private key")
        ca, key, certificate = _read(self.ca), _read(self.key), _read(self.certificate)
        options = [("grpc.ssl_target_name_override", self.server_name)] if self.server_name else []
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(ca, key, certificate), options)

    def metadata(self) -> list[tuple[str, str]]:
        """What every rpc has to bring."""
        if self.token is None:
            return []
        token = read_token(self.token)
        return [("authorization", f"Bearer {token.decode()}")]


def _read(path: str | None) -> bytes | None:
    try:
        return None if path is None else Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{path!r} cannot be read: {error.strerror}") from error


def describe(address: str, timeout_seconds: float, access: Access = Access()) -> int:
    """Print what the server at `address` says and return 0; raise `StartError` if none answers."""
    target = parse_address(address).grpc_target
    metadata = access.metadata()
    with access.channel(target) as channel:
        stub = directory_pb2_grpc.DirectoryStub(channel)  # type: ignore[no-untyped-call]
        try:
            plans = stub.Describe(directory_pb2.DescribeRequest(), timeout=timeout_seconds, metadata=metadata)
            watch = stub.Watch(
                directory_pb2.WatchRequest(protocol_min=PROTOCOL_MIN, protocol_max=PROTOCOL_MAX),
                timeout=timeout_seconds,
                metadata=metadata,
            )
            state = next(iter(watch))
            watch.cancel()
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                raise StartError(f"the server at {target} refuses to answer: {error.details()}") from error
            tls = "; give --tls-ca if it speaks TLS" if access.ca is None and not target.startswith("unix:") else ""
            raise StartError(
                f"no action server answers at {target}: {error.details()}. Start one with flink-actions serve, or name "
                f"the address that it listens at{tls}"
            ) from error
    print(f"server {state.server_version} at {target}, protocol {state.protocol_min} to {state.protocol_max}")
    for plan in plans.plans:
        print("\n".join(plan_lines(plan)))
    for worker in state.workers:
        print(f"worker {_worker_line(worker)}")
    if state.reload_error:
        print(f"the code on disk does not load:\n{state.reload_error}")
    return 0


def _worker_line(worker: directory_pb2.WorkerEntry) -> str:
    parts = [worker.worker, directory_pb2.WorkerEntry.State.Name(worker.state), worker.address]
    if worker.generation:
        parts.append(f"generation {worker.generation.hex()[:8]}")
    if worker.exit_reason:
        parts.append(worker.exit_reason)
    return "  ".join(part for part in parts if part)
