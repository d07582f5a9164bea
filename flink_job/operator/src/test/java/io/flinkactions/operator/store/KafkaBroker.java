package io.flinkactions.operator.store;

import io.flinkactions.operator.FreePorts;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** A real broker (KRaft), as a process of its own. */
public final class KafkaBroker implements AutoCloseable {

  private static final Duration START_LIMIT = Duration.ofSeconds(60);
  private static final Duration STOP_LIMIT = Duration.ofSeconds(10);
  private static KafkaBroker shared;

  private final Path folder;
  private final String address;
  private final Process process;

  private KafkaBroker(Path folder, String address, Process process) {
    this.folder = folder;
    this.address = address;
    this.process = process;
  }

  /** One for all tests of the JVM: nobody is to pause it. */
  public static synchronized KafkaBroker shared() throws Exception {
    if (shared == null) {
      KafkaBroker broker = start();
      Runtime.getRuntime().addShutdownHook(new Thread(broker::close, "end of the broker"));
      shared = broker;
    }
    return shared;
  }

  /** Starts a broker of the caller's own and waits until it answers. */
  public static KafkaBroker start() throws Exception {
    Path folder = Files.createTempDirectory("kafka-broker");
    String address = "127.0.0.1:" + FreePorts.next();
    int controllerPort = FreePorts.next();
    Path data = folder.resolve("data");
    Path properties = folder.resolve("server.properties");
    Files.writeString(
        properties,
        """
        process.roles=broker,controller
        node.id=1
        controller.quorum.voters=1@127.0.0.1:%d
        listeners=PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d
        advertised.listeners=PLAINTEXT://%s
        controller.listener.names=CONTROLLER
        log.dirs=%s
        auto.create.topics.enable=false
        offsets.topic.replication.factor=1
        transaction.state.log.replication.factor=1
        transaction.state.log.min.isr=1
        share.coordinator.state.topic.replication.factor=1
        # A broker that was paused is not to lose itself.
        broker.session.timeout.ms=60000
        """
            .formatted(controllerPort, address, controllerPort, address, data));
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx256m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                BrokerMain.class.getName(),
                properties.toString(),
                data.toString())
            .redirectErrorStream(true)
            .redirectOutput(folder.resolve("log").toFile())
            .start();
    KafkaBroker broker = new KafkaBroker(folder, address, process);
    try {
      broker.awaitAnswer();
    } catch (Throwable e) {
      broker.close();
      throw e;
    }
    return broker;
  }

  private void awaitAnswer() throws Exception {
    long deadline = System.nanoTime() + START_LIMIT.toNanos();
    while (true) {
      try (Admin admin = admin(Duration.ofSeconds(2))) {
        if (!admin.describeCluster().nodes().get().isEmpty()) {
          return;
        }
      } catch (java.util.concurrent.ExecutionException e) {
        if (!process.isAlive() || System.nanoTime() > deadline) {
          throw new IllegalStateException(
              "the broker did not start:\n" + Files.readString(folder.resolve("log")), e);
        }
      }
    }
  }

  private Admin admin(Duration limit) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", address);
    properties.put("default.api.timeout.ms", Long.toString(limit.toMillis()));
    properties.put("request.timeout.ms", Long.toString(limit.toMillis()));
    return Admin.create(properties);
  }

  /** "host:port". */
  public String address() {
    return address;
  }

  /** Makes a topic as an administrator would who knows nothing of us. */
  public void createTopic(String topic, int partitions, Map<String, String> configs)
      throws Exception {
    try (Admin admin = admin(Duration.ofSeconds(30))) {
      admin
          .createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs)))
          .all()
          .get();
    }
  }

  /** Raises the number of a topic's partitions, as an administrator may. */
  public void addPartitions(String topic, int total) throws Exception {
    try (Admin admin = admin(Duration.ofSeconds(30))) {
      admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(total))).all().get();
    }
  }

  /** A topic's settings. */
  public Map<String, String> configs(String topic) throws Exception {
    var resource =
        new org.apache.kafka.common.config.ConfigResource(
            org.apache.kafka.common.config.ConfigResource.Type.TOPIC, topic);
    Map<String, String> configs = new HashMap<>();
    try (Admin admin = admin(Duration.ofSeconds(30))) {
      admin
          .describeConfigs(Set.of(resource))
          .all()
          .get()
          .get(resource)
          .entries()
          .forEach(entry -> configs.put(entry.name(), entry.value()));
    }
    return configs;
  }

  /** All that is in a topic, partition by partition. */
  public List<ConsumerRecord<byte[], byte[]>> records(String topic) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", address);
    List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
    try (KafkaConsumer<byte[], byte[]> consumer =
        new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      List<TopicPartition> partitions =
          consumer.partitionsFor(topic).stream()
              .map(info -> new TopicPartition(topic, info.partition()))
              .toList();
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
      long deadline = System.nanoTime() + START_LIMIT.toNanos();
      while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
        if (System.nanoTime() > deadline) {
          throw new IllegalStateException("topic " + topic + " is not to be read");
        }
        consumer.poll(Duration.ofMillis(100)).forEach(records::add);
      }
    }
    return records;
  }

  /** It stands still and says nothing, as behind a network that is gone. */
  public void pause() throws Exception {
    signal("STOP");
    // One of its threads has to run once to take the signal; the others go on until then.
    Path stat = Path.of("/proc", Long.toString(process.pid()), "stat");
    long deadline = System.nanoTime() + STOP_LIMIT.toNanos();
    while (Files.exists(stat) && !Files.readString(stat).contains(") T ")) {
      if (System.nanoTime() > deadline) {
        throw new IllegalStateException("the broker does not stop: " + Files.readString(stat));
      }
      Thread.sleep(1);
    }
  }

  public void resume() throws Exception {
    signal("CONT");
  }

  private void signal(String name) throws Exception {
    int code =
        new ProcessBuilder("kill", "-" + name, Long.toString(process.pid())).start().waitFor();
    if (code != 0) {
      throw new IllegalStateException("kill -" + name + " says " + code);
    }
  }

  @Override
  public void close() {
    process.destroyForcibly();
    try {
      process.waitFor(10, TimeUnit.SECONDS);
      try (Stream<Path> files = Files.walk(folder)) {
        files.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }
}
