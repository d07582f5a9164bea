"""A real Kafka broker (KRaft), as the operator's Java tests start theirs: a process of its own, from Maven's jars."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from tests.chaos.proxy import SERVER_HOST
from tests.support.free_ports import free_port

_OPERATOR = Path(__file__).parents[2] / "flink_job" / "operator"
_MAIN = _OPERATOR / "src/test/java/io/flinkactions/operator/store/BrokerMain.java"
CLASS_PATH = _OPERATOR / "target" / "test-class-path"

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{broker},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{broker}
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
"""


class KafkaBroker:
    """`with KafkaBroker(folder) as broker:`; data and log lie in the folder, and no process is left behind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.address = f"{SERVER_HOST}:{self._port}"

    def __enter__(self) -> KafkaBroker:
        assert CLASS_PATH.exists(), f"there is no {CLASS_PATH}: `make class-path` makes it"
        self._folder.mkdir(parents=True)
        properties, data = self._folder / "server.properties", self._folder / "data"
        properties.write_text(
            _PROPERTIES.format(host=SERVER_HOST, broker=self._port, controller=free_port(), data=data)
        )
        # One file of Java, run from its source. It ends when its standard input does, so also with this process.
        options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", CLASS_PATH.read_text().strip()]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["java", *options, str(_MAIN), str(properties), str(data)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._await_answer()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _await_answer(self) -> None:
        """Until it accepts connections, which it does when it has become its own leader."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection((SERVER_HOST, self._port), timeout=1.0).close()
                return
            except OSError:
                log = self._folder / "log"
                assert self._process.poll() is None, f"the broker has ended:\n{log.read_text()[-2_000:]}"
                assert time.monotonic() < deadline, f"no broker after {_START_SECONDS:g} s:\n{log.read_text()[-2_000:]}"
            time.sleep(0.1)

    def _end(self) -> None:
        self._process.kill()
        self._process.wait(_STOP_SECONDS)
        if self._process.stdin is not None:
            self._process.stdin.close()
