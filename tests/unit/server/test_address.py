from __future__ import annotations

import socket
from pathlib import Path

import pytest
from flink_actions.server.address import TcpAddress, UnixAddress, make_way_for_socket, parse_address
from flink_actions.server.errors import ConfigError, StartError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost:7077", TcpAddress("localhost", 7077)),
        ("[::1]:7077", TcpAddress("::1", 7077)),
        ("unix:/run/socket", UnixAddress("/run/socket")),
        ("unix:///run/socket", UnixAddress("/run/socket")),
    ],
)
def test_an_address_survives_being_read_and_written(text: str, address: TcpAddress | UnixAddress) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


def test_a_socket_path_that_the_system_could_not_bind_is_refused_with_its_limit() -> None:
    with pytest.raises(ConfigError, match="longer than 90 bytes"):
        parse_address("unix:/" + "x" * 100)


def test_a_worker_listens_beside_the_supervisor_under_its_incarnation() -> None:
    assert str(UnixAddress("/run/s").of_worker("w1", b"\x01" * 16)) == "unix:/run/s.w1.010101010101"
    assert TcpAddress("localhost", 7077).of_worker("w1", b"") == TcpAddress("localhost", 0)


def test_the_socket_files_of_dead_processes_are_removed_and_others_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "s"
    leftovers = [path, tmp_path / "s.w0.0123456789ab", tmp_path / "s.q0.0123456789ab"]
    for leftover in leftovers:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(leftover))
    other = tmp_path / "s.w0.txt"
    other.write_text("not a socket")
    alive_path = tmp_path / "s.w1.0123456789ab"
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(alive_path))
        alive.listen()
        make_way_for_socket(UnixAddress(str(path)))
        assert not any(leftover.exists() for leftover in leftovers)
        assert other.exists()
        assert alive_path.exists()


def test_a_socket_that_somebody_listens_at_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        with pytest.raises(StartError, match=r"another process listens there.*--listen"):
            make_way_for_socket(UnixAddress(str(path)))
        with pytest.raises(StartError, match=r"another process listens there.*--health-listen"):
            make_way_for_socket(UnixAddress(str(path)), "--health-listen")
        assert path.exists()


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(StartError, match="not a socket"):
        make_way_for_socket(UnixAddress(str(path)))
    assert path.read_text() == "data"


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="missing"):
        make_way_for_socket(UnixAddress(str(tmp_path / "missing" / "s")))
