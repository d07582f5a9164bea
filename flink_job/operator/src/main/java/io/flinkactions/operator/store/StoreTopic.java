package io.flinkactions.operator.store;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The topic as it is.
 *
 * @param id Kafka's own: another one once the topic has been deleted and made anew
 */
record StoreTopic(String id, int partitions) {

  private static final Logger LOG = LoggerFactory.getLogger(StoreTopic.class);

  // Above a session's frame, so that whatever a worker can send can be recorded.
  private static final String LARGEST_RECORD_BYTES = Integer.toString(8 << 20);
  // What this jar can read: the others need native libraries.
  private static final Set<String> READABLE = Set.of("producer", "uncompressed", "none", "gzip");
  private static final long PAUSE_MILLIS = 100;

  /**
   * Describes the topic; creates it if it is not there.
   *
   * @throws StoreException if it cannot be had, or would lose entries
   */
  static StoreTopic open(StoreSettings settings, KafkaClients clients) throws InterruptedException {
    try (Admin admin = Admin.create(clients.admin())) {
      Optional<TopicDescription> found = describe(admin, settings, clients);
      if (found.isEmpty()) {
        create(admin, settings, clients);
        found = awaitCreated(admin, settings, clients);
      }
      check(admin, settings, clients);
      TopicDescription topic = found.orElseThrow();
      return new StoreTopic(topic.topicId().toString(), topic.partitions().size());
    }
  }

  private static Optional<TopicDescription> describe(
      Admin admin, StoreSettings settings, KafkaClients clients) throws InterruptedException {
    try {
      return Optional.of(
          await(
              admin
                  .describeTopics(List.of(settings.topic()))
                  .topicNameValues()
                  .get(settings.topic()),
              settings));
    } catch (ExecutionException e) {
      if (e.getCause() instanceof UnknownTopicOrPartitionException) {
        return Optional.empty();
      }
      throw clients.explain(e.getCause());
    }
  }

  private static void create(Admin admin, StoreSettings settings, KafkaClients clients)
      throws InterruptedException {
    NewTopic topic =
        new NewTopic(settings.topic(), settings.partitions(), (short) settings.replicationFactor())
            .configs(
                Map.of(
                    TopicConfig.CLEANUP_POLICY_CONFIG,
                    TopicConfig.CLEANUP_POLICY_COMPACT,
                    TopicConfig.MAX_MESSAGE_BYTES_CONFIG,
                    LARGEST_RECORD_BYTES));
    try {
      await(admin.createTopics(List.of(topic)).values().get(settings.topic()), settings);
      LOG.info(
          "Created topic '{}' for the action state store: {} partitions, replication factor {}",
          settings.topic(),
          settings.partitions(),
          settings.replicationFactor());
    } catch (ExecutionException e) {
      // Another subtask was quicker.
      if (!(e.getCause() instanceof TopicExistsException)) {
        throw clients.explain(e.getCause());
      }
    }
  }

  /** Brokers learn of a new topic one after the other. */
  private static Optional<TopicDescription> awaitCreated(
      Admin admin, StoreSettings settings, KafkaClients clients) throws InterruptedException {
    long deadline = System.nanoTime() + settings.timeout().toNanos();
    while (true) {
      Optional<TopicDescription> found = describe(admin, settings, clients);
      if (found.isPresent()
          && found.get().partitions().stream().allMatch(p -> p.leader() != null)) {
        return found;
      }
      if (System.nanoTime() > deadline) {
        throw new StoreException.Unreachable(
            settings,
            settings.timeout(),
            "topic '" + settings.topic() + "' was created and is not to be found",
            null);
      }
      Thread.sleep(PAUSE_MILLIS);
    }
  }

  private static void check(Admin admin, StoreSettings settings, KafkaClients clients)
      throws InterruptedException {
    ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, settings.topic());
    Config config;
    try {
      config = await(admin.describeConfigs(List.of(resource)).values().get(resource), settings);
    } catch (ExecutionException e) {
      throw clients.explain(e.getCause());
    }
    String policy = config.get(TopicConfig.CLEANUP_POLICY_CONFIG).value();
    if (!Arrays.asList(policy.split(",")).contains(TopicConfig.CLEANUP_POLICY_COMPACT)) {
      throw new StoreException.UnfitTopic(
          settings,
          TopicConfig.CLEANUP_POLICY_CONFIG,
          policy,
          "it deletes entries that are still needed, and keeps those that are not",
          "Set it to 'compact', or name another topic in kafkaActionStateTopic");
    }
    if (!policy.equals(TopicConfig.CLEANUP_POLICY_COMPACT)) {
      LOG.warn(
          "Topic '{}' has {} '{}': calls of runs that are longer under way than its retention"
              + " are made again",
          settings.topic(),
          TopicConfig.CLEANUP_POLICY_CONFIG,
          policy);
    }
    String compression = config.get(TopicConfig.COMPRESSION_TYPE_CONFIG).value();
    if (!READABLE.contains(compression)) {
      throw new StoreException.UnfitTopic(
          settings,
          TopicConfig.COMPRESSION_TYPE_CONFIG,
          compression,
          "its codec needs a native library that is not in the operator's jar",
          "Set it to 'producer' or 'gzip'");
    }
  }

  private static <T> T await(KafkaFuture<T> future, StoreSettings settings)
      throws ExecutionException, InterruptedException {
    try {
      // The client gives up by itself; this only bounds a defect of it.
      return future.get(2 * settings.timeout().toMillis(), TimeUnit.MILLISECONDS);
    } catch (java.util.concurrent.TimeoutException e) {
      throw new ExecutionException(new TimeoutException("the admin client does not answer", e));
    }
  }
}
