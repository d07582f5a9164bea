"""TLS, clients' certificates and the token, over real connections with certificates made here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from flink_actions.server.config import read_settings
from flink_actions.server.errors import ConfigError
from flink_actions.wire.v1 import directory_pb2, directory_pb2_grpc, session_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.integration.conftest import BEHAVIOURS
from tests.support.certificates import Authority, KeyPair, needs_openssl
from tests.support.running_server import RunningServer
from tests.support.session_client import DEADLINE_SECONDS, Start, worker_target

TOKEN = "0123456789abcdef-token"
SESSION = "/flink_actions.wire.v1.Worker/Session"


@dataclass(frozen=True)
class Files:
    authority: Authority
    stranger: Authority
    server: KeyPair
    client: KeyPair
    token: Path

    @property
    def tls(self) -> list[str]:
        return ["--tls-certificate", str(self.server.certificate), "--tls-key", str(self.server.key)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("certificates")
    authority, token = Authority(folder), folder / "token"
    token.write_text(f"{TOKEN}\n")
    return Files(authority, Authority(folder, "stranger"), authority.signs("server"), authority.signs("client"), token)


@contextmanager
def channel(address: str, ca: Authority | None = None, client: KeyPair | None = None) -> Iterator[grpc.Channel]:
    if ca is None:
        opened = grpc.insecure_channel(address)
    else:
        pair = (None, None) if client is None else (client.key.read_bytes(), client.certificate.read_bytes())
        opened = grpc.secure_channel(address, grpc.ssl_channel_credentials(ca.certificate.read_bytes(), *pair))
    with opened:
        yield opened


def directory(of: grpc.Channel, token: str | None = None) -> directory_pb2.DirectoryState:
    """What the directory says first."""
    stub: Any = directory_pb2_grpc.DirectoryStub
    watch = stub(of).Watch(
        directory_pb2.WatchRequest(protocol_min=1, protocol_max=1), timeout=DEADLINE_SECONDS, metadata=bearer(token)
    )
    state: directory_pb2.DirectoryState = next(watch)
    while not any(worker.state == directory_pb2.WorkerEntry.SERVING for worker in state.workers):
        state = next(watch)
    watch.cancel()
    return state


def bearer(token: str | None) -> list[tuple[str, str]]:
    return [] if token is None else [("authorization", f"Bearer {token}")]


def welcomed(of: grpc.Channel, token: str | None = None) -> session_pb2.WorkerFrame:
    """The first word of a worker."""
    hello = session_pb2.OperatorFrame(hello=Start("behaviours").hello())
    session = of.stream_stream(SESSION)
    answers = session(iter([hello.SerializeToString()]), timeout=DEADLINE_SECONDS, metadata=bearer(token))
    return session_pb2.WorkerFrame.FromString(next(answers))


def code(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    found: grpc.StatusCode = raised.value.code()  # type: ignore[attr-defined]
    return found


@needs_openssl
def test_with_a_certificate_directory_and_workers_speak_tls_and_nothing_else(files: Files) -> None:
    with RunningServer(BEHAVIOURS, flags=files.tls) as server:
        server.until_logged(r"listening at \S+ \(TLS\)")
        with channel(server.address, files.authority) as trusting:
            (worker, *_) = directory(trusting).workers
        target = worker_target(server.address, worker)
        with channel(target, files.authority) as trusting:
            assert welcomed(trusting).HasField("welcome")
        for address in (server.address, target):
            for ca in (files.stranger, None):
                with channel(address, ca) as other:
                    ask = directory if address == server.address else welcomed
                    assert code(lambda other=other, ask=ask: ask(other)) is grpc.StatusCode.UNAVAILABLE


@needs_openssl
def test_a_client_without_a_certificate_of_the_authority_is_turned_away(files: Files) -> None:
    flags = [*files.tls, "--tls-client-ca", str(files.authority.certificate)]
    foreign = files.stranger.signs("foreign")
    with RunningServer(BEHAVIOURS, flags=flags) as server:
        server.until_logged(r"\(TLS, client certificates\)")
        with channel(server.address, files.authority, files.client) as known:
            (worker, *_) = directory(known).workers
        target = worker_target(server.address, worker)
        with channel(target, files.authority, files.client) as known:
            assert welcomed(known).HasField("welcome")
        for client in (None, foreign):
            with channel(server.address, files.authority, client) as unknown:
                assert code(lambda unknown=unknown: directory(unknown)) is grpc.StatusCode.UNAVAILABLE
            with channel(target, files.authority, client) as unknown:
                assert code(lambda unknown=unknown: welcomed(unknown)) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "unix"])
def test_every_rpc_but_health_needs_the_token(tmp_path: Path, socket_folder: Path, listen: str) -> None:
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    if listen == "unix":
        listen = f"unix:{socket_folder}/s"
    with RunningServer(BEHAVIOURS, listen=listen, flags=["--token-file", str(token)]) as server:
        server.until_logged(r"\(token\)")
        with channel(server.address) as plain:
            (worker, *_) = directory(plain, TOKEN).workers
            stub: Any = directory_pb2_grpc.DirectoryStub
            with channel(worker_target(server.address, worker)) as to_worker:
                assert welcomed(to_worker, TOKEN).HasField("welcome")
                for wrong in (None, "", TOKEN + "x", TOKEN[:-1]):
                    assert code(lambda w=wrong: welcomed(to_worker, w)) is grpc.StatusCode.UNAUTHENTICATED
                    assert code(lambda w=wrong: directory(plain, w)) is grpc.StatusCode.UNAUTHENTICATED
                    assert (
                        code(
                            lambda w=wrong: stub(plain).Describe(
                                directory_pb2.DescribeRequest(), timeout=DEADLINE_SECONDS, metadata=bearer(w)
                            )
                        )
                        is grpc.StatusCode.UNAUTHENTICATED
                    )
            health: Any = health_pb2_grpc.HealthStub
            answer = health(plain).Check(health_pb2.HealthCheckRequest(service="liveness"), timeout=DEADLINE_SECONDS)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


@needs_openssl
def test_describe_gets_through_with_what_the_server_asks_for(files: Files) -> None:
    flags = [*files.tls, "--tls-client-ca", str(files.authority.certificate), "--token-file", str(files.token)]
    client = ["--tls-certificate", str(files.client.certificate), "--tls-key", str(files.client.key)]
    access = ["--tls-ca", str(files.authority.certificate), *client, "--token-file", str(files.token)]
    with RunningServer(BEHAVIOURS, flags=flags) as server:
        told = described(server.address, access)
        assert "worker w0" in told.stdout
        refused = described(server.address, access[:-2])
        assert refused.returncode == 1
        assert "refuses to answer: this server wants a token" in refused.stderr
        assert "no action server answers" not in refused.stderr
        assert "give --tls-ca if it speaks TLS" in described(server.address, []).stderr


@pytest.mark.parametrize("missing", ["--tls-ca", "--tls-certificate", "--tls-key"])
def test_describe_wants_all_of_what_belongs_together(tmp_path: Path, missing: str) -> None:
    (tmp_path / "pem").write_text("")
    flags = [flag for flag in ("--tls-ca", "--tls-certificate", "--tls-key") if flag != missing]
    told = described("localhost:1", [word for flag in flags for word in (flag, str(tmp_path / "pem"))])
    assert told.returncode == 2
    assert missing in told.stderr


def described(address: str, access: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from flink_actions.server.cli import main; main()", "describe", address, *access]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)


@pytest.mark.parametrize("flag", ["--token-file", "--tls-certificate"])
def test_a_file_that_cannot_be_read_ends_the_start_with_its_name(tmp_path: Path, flag: str) -> None:
    missing = str(tmp_path / "missing")
    flags = [flag, missing, *(["--tls-key", missing] if flag == "--tls-certificate" else [])]
    with RunningServer(BEHAVIOURS, flags=flags) as server:
        assert server.wait() == 1
        assert missing in server.log
        assert "cannot be read: No such file" in server.log
        assert "Traceback" not in server.log


@needs_openssl
@pytest.mark.parametrize("wrong", ["tls-certificate", "tls-key", "tls-client-ca"])
def test_a_file_that_is_no_certificate_ends_the_start_with_its_name(files: Files, tmp_path: Path, wrong: str) -> None:
    given = dict(zip(("tls-certificate", "tls-key"), files.tls[1::2], strict=True))
    given["tls-client-ca"] = str(files.authority.certificate)
    given[wrong] = str(files.client.key if wrong == "tls-key" else files.token)
    flags = [word for flag, path in given.items() for word in (f"--{flag}", path)]
    with RunningServer(BEHAVIOURS, flags=flags) as server:
        assert server.wait() == 1
        assert given[wrong] in server.log
        assert "PEM" in server.log
        assert "cannot listen" not in server.log


def test_a_short_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    with RunningServer(BEHAVIOURS, flags=["--token-file", str(tmp_path / "token")]) as server:
        assert server.wait() == 1
        assert "openssl rand -hex 32" in server.log
        assert "secret" not in server.log


@pytest.mark.parametrize(
    "protection",
    [{"tls_certificate": "a", "tls_key": "b"}, {"token_file": "a"}, {"insecure_public": True}],
    ids=lambda protection: next(iter(protection)),
)
def test_a_public_address_needs_protection_or_the_flag(protection: dict[str, Any]) -> None:
    public = {"targets": ("agent.py:agent",), "listen": "0.0.0.0:7077"}
    with pytest.raises(ConfigError, match=r"--tls-certificate and --tls-key or a --token-file, or say --insecure"):
        read_settings(public, environment={})
    read_settings({**public, **protection}, environment={})


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"tls_certificate": "a"}, "tls_key is not set"),
        ({"tls_key": "a"}, "tls_certificate is not set"),
        ({"tls_client_ca": "a"}, "tls_certificate is not set"),
    ],
)
def test_half_of_a_protection_is_none(given: dict[str, Any], missing: str) -> None:
    with pytest.raises(ConfigError, match=missing):
        read_settings({"targets": ("agent.py:agent",), **given}, environment={})
