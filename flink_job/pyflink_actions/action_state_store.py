"""Where durable calls of level `synchronous` are recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pyflink_actions.durations import Duration, duration_text


@dataclass(frozen=True)
class KafkaStore:
    """A compacted Kafka topic. Several jobs may share it.

    A setting that is left out comes from the `agent:` section of Flink's configuration, and then from its default.

    Example:
        ActionServer("localhost:7077", action_state_store=KafkaStore("kafka:9092", "agent-calls"))
    """

    bootstrap_servers: str | None = None
    """`host:port`, separated by commas (localhost:9092)."""

    topic: str | None = None
    """Is created, compacted, if it is not there. An existing one has to be compacted."""

    partitions: int | None = None
    """Of a topic that is created (64). Not to be changed later."""

    replication_factor: int | None = None
    """Of a topic that is created (1)."""

    timeout: Duration | None = None
    """How long the brokers may be away before the job fails (2 minutes; at most 290 s)."""

    properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Of Kafka's clients, as Kafka names them: `security.protocol`, `sasl.jaas.config`, ..."""

    def options(self) -> dict[str, object]:
        """Keys of the `agent:` section; None where nothing was given."""
        return {
            "actionStateStoreBackend": "kafka",
            "kafkaBootstrapServers": self.bootstrap_servers,
            "kafkaActionStateTopic": self.topic,
            "kafkaActionStateTopicNumPartitions": self.partitions,
            "kafkaActionStateTopicReplicationFactor": self.replication_factor,
            "action-state-store.timeout": duration_text("timeout", self.timeout),
            **{f"kafka-properties.{name}": value for name, value in self.properties.items()},
        }
