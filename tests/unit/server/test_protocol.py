from __future__ import annotations

import importlib.metadata

from flink_actions.server.protocol import SERVER_VERSION


def test_the_server_says_the_version_of_the_package() -> None:
    assert importlib.metadata.version("flink-actions") == SERVER_VERSION
