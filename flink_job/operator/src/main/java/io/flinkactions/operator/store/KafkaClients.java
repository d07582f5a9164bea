package io.flinkactions.operator.store;

import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.errors.AuthenticationException;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.RetriableException;

/** How this start's Kafka clients are set up, and what their errors mean. */
final class KafkaClients {

  private static final Duration LONGEST_REQUEST = Duration.ofSeconds(30);
  // The store's bound is ours: it counts bytes, and Kafka's buffer only has to be larger than it.
  private static final long SPARE_BUFFER_BYTES = 32L << 20;
  private static final int LARGEST_RECORD_BYTES = 64 << 20;
  // As users know Kafka's classes, put together so that shading does not change it.
  private static final String PUBLIC_PACKAGE = String.join(".", "org", "apache", "kafka", "");

  private final StoreSettings settings;
  private final String clientId;

  KafkaClients(StoreSettings settings, String clientId) {
    this.settings = settings;
    this.clientId = clientId;
  }

  Properties admin() {
    Properties properties = common("admin");
    properties.put(AdminClientConfig.DEFAULT_API_TIMEOUT_MS_CONFIG, millis(settings.timeout()));
    return properties;
  }

  Properties consumer() {
    Properties properties = common("reader");
    properties.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");
    properties.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    properties.put(ConsumerConfig.ALLOW_AUTO_CREATE_TOPICS_CONFIG, "false");
    properties.put(ConsumerConfig.DEFAULT_API_TIMEOUT_MS_CONFIG, millis(settings.timeout()));
    // All that is asked for is there. A request for more goes out with the last of it, and closing
    // waits until the broker has answered that: half a second by default.
    properties.put(ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG, "20");
    return properties;
  }

  Properties producer() {
    Properties properties = common("writer");
    properties.put(ProducerConfig.ACKS_CONFIG, "all");
    // Keeps the order within a partition over retries: the marker is an offset and nothing else.
    properties.put(ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, "true");
    properties.put(ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, millis(settings.timeout()));
    // An action waits for the answer.
    properties.put(ProducerConfig.LINGER_MS_CONFIG, "0");
    properties.put(ProducerConfig.COMPRESSION_TYPE_CONFIG, "none");
    properties.put(ProducerConfig.MAX_REQUEST_SIZE_CONFIG, LARGEST_RECORD_BYTES);
    properties.put(
        ProducerConfig.BUFFER_MEMORY_CONFIG, 2 * settings.bytesInFlight() + SPARE_BUFFER_BYTES);
    // The mailbox thread sends: there is room, and the topic's partitions are known and stay so.
    properties.put(ProducerConfig.MAX_BLOCK_MS_CONFIG, "1000");
    properties.put(ProducerConfig.METADATA_MAX_IDLE_CONFIG, Long.toString(Integer.MAX_VALUE));
    return properties;
  }

  private Properties common(String role) {
    Properties properties = new Properties();
    properties.put(CommonClientConfigs.BOOTSTRAP_SERVERS_CONFIG, settings.brokers());
    properties.put(CommonClientConfigs.CLIENT_ID_CONFIG, clientId + "-" + role);
    properties.put(CommonClientConfigs.REQUEST_TIMEOUT_MS_CONFIG, millis(requestTimeout()));
    properties.put(CommonClientConfigs.METRIC_REPORTER_CLASSES_CONFIG, "");
    properties.put(CommonClientConfigs.ENABLE_METRICS_PUSH_CONFIG, "false");
    for (Map.Entry<String, String> own : settings.properties().entrySet()) {
      properties.put(own.getKey(), relocated(own.getValue()));
    }
    return properties;
  }

  /** Values name classes of Kafka's (login modules, say), which have other names in our jar. */
  private static String relocated(String value) {
    String name = CommonClientConfigs.class.getName();
    String here = name.substring(0, name.indexOf("clients."));
    return here.equals(PUBLIC_PACKAGE) ? value : value.replace(PUBLIC_PACKAGE, here);
  }

  private Duration requestTimeout() {
    return settings.timeout().compareTo(LONGEST_REQUEST) < 0 ? settings.timeout() : LONGEST_REQUEST;
  }

  private static String millis(Duration duration) {
    return Long.toString(duration.toMillis());
  }

  /** What an error of Kafka's is to the job. */
  StoreException explain(Throwable error) {
    if (error instanceof StoreException explained) {
      return explained;
    }
    if (error instanceof AuthenticationException || error instanceof AuthorizationException) {
      return new StoreException.Refused(settings, error);
    }
    if (error instanceof RetriableException) {
      // Retried for as long as it may be.
      return new StoreException.Unreachable(
          settings, settings.timeout(), error.getMessage(), error);
    }
    return new StoreException.Failed(settings, error);
  }
}
