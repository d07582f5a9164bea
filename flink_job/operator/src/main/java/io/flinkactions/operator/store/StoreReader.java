package io.flinkactions.operator.store;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Reads partitions from where a snapshot knows them up to a fence, in the thread that asks. */
final class StoreReader implements AutoCloseable {

  private static final Logger LOG = LoggerFactory.getLogger(StoreReader.class);
  private static final Duration POLL = Duration.ofMillis(200);
  private static final Duration CLOSE = Duration.ofSeconds(1);
  private static final long PROGRESS_NANOS = Duration.ofSeconds(5).toNanos();

  private final StoreSettings settings;
  private final KafkaClients clients;
  private final Rebuild rebuild;
  private final KafkaConsumer<byte[], byte[]> consumer;
  // Next offset to be read.
  private final Map<TopicPartition, Long> positions = new HashMap<>();
  private long read;

  /**
   * @param from first offset of each partition; a negative one: from its beginning
   */
  StoreReader(
      StoreSettings settings, KafkaClients clients, Rebuild rebuild, Map<Integer, Long> from) {
    this.settings = settings;
    this.clients = clients;
    this.rebuild = rebuild;
    this.consumer =
        new KafkaConsumer<>(
            clients.consumer(), new ByteArrayDeserializer(), new ByteArrayDeserializer());
    try {
      from.forEach(
          (partition, offset) ->
              positions.put(new TopicPartition(settings.topic(), partition), offset));
      consumer.assign(positions.keySet());
      positions.forEach(
          (partition, offset) -> {
            if (offset >= 0) {
              consumer.seek(partition, offset);
            } else {
              consumer.seekToBeginning(List.of(partition));
            }
          });
    } catch (RuntimeException e) {
      consumer.close(CloseOptions.timeout(CLOSE));
      throw e;
    }
  }

  /**
   * Reads each partition up to and including this offset of it.
   *
   * @throws StoreException if the brokers say nothing for too long, or what they say is no use
   */
  void readUpTo(Map<Integer, Long> last) throws InterruptedException {
    Map<TopicPartition, Long> open = new HashMap<>();
    last.forEach(
        (partition, offset) -> open.put(new TopicPartition(settings.topic(), partition), offset));
    consumer.resume(open.keySet());
    long begin = System.nanoTime();
    long lastProgress = begin;
    long lastSaid = begin;
    long bound = open.size();
    while (true) {
      open.entrySet().removeIf(partition -> isBehind(partition.getKey(), partition.getValue()));
      if (open.isEmpty()) {
        return;
      }
      int got = poll();
      long now = System.nanoTime();
      if (got > 0) {
        lastProgress = now;
      } else if (now - lastProgress > settings.timeout().toNanos()) {
        throw new StoreException.Unreachable(
            settings,
            settings.timeout(),
            "partitions " + open.keySet() + " of the topic give nothing",
            null);
      }
      if (now - lastSaid > PROGRESS_NANOS) {
        lastSaid = now;
        LOG.info(
            "Rebuilding from topic '{}' for {} s: {} records read, {} calls kept, {} of {}"
                + " partitions to go",
            settings.topic(),
            Duration.ofNanos(now - begin).toSeconds(),
            read,
            rebuild.calls().count(),
            open.size(),
            bound);
      }
    }
  }

  private boolean isBehind(TopicPartition partition, long last) {
    if (positions.get(partition) <= last) {
      return false;
    }
    consumer.pause(List.of(partition));
    return true;
  }

  private int poll() throws InterruptedException {
    try {
      int got = 0;
      for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
        TopicPartition partition = new TopicPartition(record.topic(), record.partition());
        positions.put(partition, record.offset() + 1);
        // What is behind the fence too: the rebuild knows what of it counts.
        rebuild.onRecord(record.partition(), record.offset(), record.key(), record.value());
        got++;
      }
      read += got;
      return got;
    } catch (InterruptException e) {
      throw new InterruptedException("the task ends while it reads the action state store");
    } catch (KafkaException e) {
      throw clients.explain(e);
    }
  }

  long read() {
    return read;
  }

  @Override
  public void close() {
    consumer.close(CloseOptions.timeout(CLOSE));
  }
}
