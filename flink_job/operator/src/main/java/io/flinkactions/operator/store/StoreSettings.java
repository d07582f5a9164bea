package io.flinkactions.operator.store;

import java.io.Serializable;
import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;

/**
 * Where the action state store is, and what it may take.
 *
 * @param brokers {@code host:port}, separated by commas
 * @param topic created if it is not there; several jobs may share it
 * @param partitions of a topic that is created
 * @param replicationFactor of a topic that is created
 * @param timeout how long the brokers may be away before the job fails
 * @param bytesInFlight bytes of records of one subtask on their way, beyond which workers wait
 * @param rebuildLimit most bytes of records that one subtask reads back into its heap
 * @param properties of the Kafka clients, as Kafka names them
 */
public record StoreSettings(
    String brokers,
    String topic,
    int partitions,
    int replicationFactor,
    Duration timeout,
    long bytesInFlight,
    long rebuildLimit,
    Map<String, String> properties)
    implements Serializable {

  /** As long as Kafka's own producers try. */
  public static final Duration DEFAULT_TIMEOUT = Duration.ofMinutes(2);

  public static final int DEFAULT_PARTITIONS = 64;
  public static final int DEFAULT_REPLICATION_FACTOR = 1;
  public static final long DEFAULT_BYTES_IN_FLIGHT = 32L << 20;
  public static final long DEFAULT_REBUILD_LIMIT = 256L << 20;

  private static final Duration SHORTEST_TIMEOUT = Duration.ofSeconds(1);
  // A worker fails the call that was not acknowledged for 300 s: whose fault it was is known
  // earlier here.
  private static final Duration LONGEST_TIMEOUT = Duration.ofSeconds(290);
  private static final Pattern TOPIC = Pattern.compile("[a-zA-Z0-9._-]{1,249}");

  public StoreSettings {
    if (brokers.isBlank()) {
      throw new IllegalArgumentException(
          "kafkaBootstrapServers is empty; name the brokers of the action state store (host:port)");
    }
    if (!TOPIC.matcher(topic).matches()) {
      throw new IllegalArgumentException(
          "kafkaActionStateTopic is '"
              + topic
              + "', which is no name of a Kafka topic; give 1 to 249 letters, digits, '.', '_' and"
              + " '-'");
    }
    atLeastOne(partitions, "kafkaActionStateTopicNumPartitions");
    atLeastOne(replicationFactor, "kafkaActionStateTopicReplicationFactor");
    if (replicationFactor > Short.MAX_VALUE) {
      throw new IllegalArgumentException(
          "kafkaActionStateTopicReplicationFactor is "
              + replicationFactor
              + "; there are never so many brokers");
    }
    if (timeout.compareTo(SHORTEST_TIMEOUT) < 0 || timeout.compareTo(LONGEST_TIMEOUT) > 0) {
      throw new IllegalArgumentException(
          "action-state-store.timeout is "
              + timeout.toMillis()
              + " ms; it must be from "
              + SHORTEST_TIMEOUT.toMillis()
              + " ms to "
              + LONGEST_TIMEOUT.toMillis()
              + " ms");
    }
    atLeastOne(bytesInFlight, "action-state-store.bytes-in-flight");
    atLeastOne(rebuildLimit, "action-state-store.rebuild-limit");
    // Copied into a map that travels in the job graph whatever was given.
    properties = new TreeMap<>(properties);
  }

  /** A store at these brokers, all else by default. */
  public static StoreSettings kafka(String brokers, String topic) {
    return new StoreSettings(
        brokers,
        topic,
        DEFAULT_PARTITIONS,
        DEFAULT_REPLICATION_FACTOR,
        DEFAULT_TIMEOUT,
        DEFAULT_BYTES_IN_FLIGHT,
        DEFAULT_REBUILD_LIMIT,
        Map.of());
  }

  public StoreSettings withPartitions(int count, int replicas) {
    return new StoreSettings(
        brokers, topic, count, replicas, timeout, bytesInFlight, rebuildLimit, properties);
  }

  public StoreSettings withTimeout(Duration value) {
    return new StoreSettings(
        brokers,
        topic,
        partitions,
        replicationFactor,
        value,
        bytesInFlight,
        rebuildLimit,
        properties);
  }

  public StoreSettings withLimits(long inFlight, long rebuild) {
    return new StoreSettings(
        brokers, topic, partitions, replicationFactor, timeout, inFlight, rebuild, properties);
  }

  public StoreSettings withProperties(Map<String, String> value) {
    return new StoreSettings(
        brokers, topic, partitions, replicationFactor, timeout, bytesInFlight, rebuildLimit, value);
  }

  private static void atLeastOne(long value, String what) {
    if (value < 1) {
      throw new IllegalArgumentException(what + " is " + value + "; it must be at least 1");
    }
  }
}
