from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest
from flink_actions.server.config import ServerSettings, read_settings
from flink_actions.server.errors import ConfigError


def test_the_command_line_wins_over_the_environment_and_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.write_text(json.dumps({"workers": 2, "threads": 2, "drain-seconds": 2}))
    environment = {"FLINK_ACTIONS_THREADS": "3", "FLINK_ACTIONS_DRAIN_SECONDS": "3", "UNRELATED": "x"}
    settings = read_settings({"drain_seconds": "4"}, environment=environment, config_file=str(file))
    assert (settings.workers, settings.threads, settings.drain_seconds) == (2, 3, 4.0)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TOML needs Python 3.11")
def test_the_agent_section_of_a_toml_file_becomes_the_configuration_of_agents(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('targets = ["a:b", "c:d"]\nsocket_mode = "660"\n[agent]\nmodel = "small"\n')
    settings = read_settings({}, environment={}, config_file=str(file))
    assert settings.targets == ("a:b", "c:d")
    assert settings.socket_mode == 0o660
    assert settings.config == {"model": "small"}


def test_settings_reach_a_worker_unchanged() -> None:
    settings = ServerSettings(targets=("a:b",), workers=3, config={"model": {"size": 1}})
    assert ServerSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ({"workers": "many"}, ["command line", "workers", "'many'", "write a whole number"]),
        ({"workers": "0"}, ["workers is 0", "at least 1"]),
        ({"linger_seconds": "inf"}, ["linger_seconds is inf", "at most 86400"]),
        ({"drain_seconds": "nan"}, ["drain_seconds is nan", "at most 86400"]),
        ({"max_frame_bytes": "1000000000"}, ["max_frame_bytes is 1000000000", "at most 268435456"]),
        # Else it is a worker that is well that is not ready, or ended.
        ({"blocked_after_seconds": "1"}, ["blocked_after_seconds is 1.0", "at least 1.5"]),
        ({"blocked_limit_seconds": "2"}, ["blocked_limit_seconds is 2.0", "at least 3"]),
        ({"wrkers": "1"}, ["'wrkers'", "Settings are", "workers"]),
        ({"listen": "localhost"}, ["'localhost'", "no port", "unix:/path"]),
        ({"listen": "localhost:99999"}, ["'99999'", "65535"]),
        ({"log_level": "LOUD"}, ["'LOUD'", "DEBUG"]),
        ({"socket_mode": "9"}, ["socket_mode", "'9'", "octal, such as 660"]),
        ({"insecure_public": "perhaps"}, ["insecure_public", "'perhaps'"]),
        ({"workers": True}, ["workers", "True"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_the_way_out(flags: dict[str, object], names: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        read_settings(flags, environment={})
    assert all(name in str(raised.value) for name in names), raised.value


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_no_setting_takes_what_is_no_finite_number(value: str) -> None:
    floats = [one.name for one in dataclasses.fields(ServerSettings) if isinstance(one.default, float)]
    assert floats
    for name in floats:
        with pytest.raises(ConfigError, match=f"{name} is {value}"):
            read_settings({name: value}, environment={})


def test_an_infinite_count_of_a_config_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.write_text('{"workers": Infinity}')
    with pytest.raises(ConfigError, match="workers is inf; write a whole number"):
        read_settings({}, environment={}, config_file=str(file))


@pytest.mark.parametrize("listen", ["0.0.0.0:7077", "[::]:7077", "192.168.0.1:7077", "example.org:7077"])
def test_a_public_address_needs_a_flag_that_says_what_it_risks(listen: str) -> None:
    with pytest.raises(ConfigError, match="--insecure-public"):
        read_settings({"listen": listen}, environment={})
    assert read_settings({"listen": listen, "insecure_public": True}, environment={}).listen == listen


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:7077", "[::1]:7077", "unix:/tmp/socket"])
def test_a_local_address_needs_no_flag(listen: str) -> None:
    assert read_settings({"listen": listen}, environment={}).listen == listen


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("server.yaml", "workers: 1", ["'.yaml'", ".toml and .json"]),
        ("server.json", "{", ["not JSON"]),
        ("server.json", "[]", ["list"]),
        ("server.toml", "agent = 5", ["agent is 5", "it is a section"]),
        # Whose content was for the agents, and nobody read it.
        ("server.toml", "[config]\nmodel = 'small'", ["'config'", "is called agent"]),
        ("missing.json", None, ["cannot be read"]),
    ],
)
def test_an_unreadable_config_file_is_named_with_what_is_wrong(
    tmp_path: Path, name: str, content: str | None, names: list[str]
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError) as raised:
        read_settings({}, environment={}, config_file=str(file))
    assert all(part in str(raised.value) for part in [*names, name]), raised.value


def test_a_misspelt_variable_is_an_error_that_names_the_right_one() -> None:
    with pytest.raises(ConfigError, match=r"FLINK_ACTIONS_DRAIN_SECOND; did you mean FLINK_ACTIONS_DRAIN_SECONDS\?"):
        read_settings({}, environment={"FLINK_ACTIONS_DRAIN_SECOND": "5"})


def test_variables_of_others_are_left_alone() -> None:
    """Kubernetes sets such ones for a service that is named flink-actions."""
    environment = {
        "FLINK_ACTIONS_PORT": "tcp://10.0.0.1:7077",
        "FLINK_ACTIONS_SERVICE_HOST": "10.0.0.1",
        "FLINK_ACTIONS_PORT_7077_TCP_ADDR": "10.0.0.1",
        "FLINK_ACTIONS_OPERATOR_JAR": "/there",
    }
    assert read_settings({}, environment=environment) == read_settings({}, environment={})
