package io.flinkactions.operator.store;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.errors.InterruptException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Writes entries, and tells what became of each.
 *
 * <p>Kafka's own thread only puts outcomes into a queue and calls {@code wake} at most once until
 * {@link #poll} has found the queue empty. All else runs on the mailbox thread, and none of it
 * waits but {@link #awaitTopic}, {@link #fence} and {@link #close}.
 *
 * @param <T> what the caller wants back with the outcome
 */
final class StoreWriter<T> implements AutoCloseable {

  // So that Kafka's thread has ended when the job's classes go.
  private static final Duration FORCED = Duration.ofSeconds(1);
  // What Kafka adds to a record.
  private static final int RECORD_OVERHEAD_BYTES = 64;

  /**
   * An entry is in the topic.
   *
   * @param token null for the end of an entry
   */
  record Written<T>(T token, int partition, long offset) {}

  private record Outcome<T>(T token, int partition, long offset, int bytes, Exception error) {}

  private final StoreSettings settings;
  private final KafkaClients clients;
  private final Runnable wake;
  private final KafkaProducer<byte[], byte[]> producer;
  private final Queue<Outcome<T>> outcomes = new ConcurrentLinkedQueue<>();
  private final AtomicBoolean isAwake = new AtomicBoolean();
  // Written by the mailbox thread, read by metric reporters too.
  private volatile long bytesInFlight;

  StoreWriter(StoreSettings settings, KafkaClients clients, Runnable wake) {
    this.settings = settings;
    this.clients = clients;
    this.wake = wake;
    this.producer =
        new KafkaProducer<>(
            clients.producer(), new ByteArraySerializer(), new ByteArraySerializer());
  }

  /** Waits until the producer knows where the topic's partitions are: sending asks for that. */
  void awaitTopic() throws InterruptedException {
    long deadline = System.nanoTime() + settings.timeout().toNanos();
    while (true) {
      try {
        producer.partitionsFor(settings.topic());
        return;
      } catch (InterruptException e) {
        throw interrupted();
      } catch (TimeoutException e) {
        if (System.nanoTime() > deadline) {
          throw clients.explain(e);
        }
      } catch (RuntimeException e) {
        throw clients.explain(e);
      }
    }
  }

  /** Writes an entry to each of these partitions, and waits for their offsets. */
  Map<Integer, Long> fence(Map<Integer, Map.Entry<byte[], byte[]>> entries)
      throws InterruptedException {
    Map<Integer, Future<RecordMetadata>> sent = new HashMap<>();
    Map<Integer, Long> offsets = new HashMap<>();
    try {
      entries.forEach(
          (partition, entry) ->
              sent.put(
                  partition,
                  producer.send(
                      new ProducerRecord<>(
                          settings.topic(), partition, entry.getKey(), entry.getValue()))));
      for (Map.Entry<Integer, Future<RecordMetadata>> fence : sent.entrySet()) {
        // The producer gives up by itself; this only bounds a defect of it.
        long patience = 2 * settings.timeout().toMillis();
        offsets.put(fence.getKey(), fence.getValue().get(patience, TimeUnit.MILLISECONDS).offset());
      }
    } catch (InterruptException e) {
      throw interrupted();
    } catch (ExecutionException e) {
      throw clients.explain(e.getCause());
    } catch (java.util.concurrent.TimeoutException e) {
      throw clients.explain(new TimeoutException("the producer does not answer", e));
    } catch (org.apache.kafka.common.KafkaException e) {
      throw clients.explain(e);
    }
    return offsets;
  }

  private static InterruptedException interrupted() {
    return new InterruptedException("the task ends while it waits for the action state store");
  }

  /**
   * Sends an entry; a null value ends it.
   *
   * @throws StoreException if it cannot even be queued
   */
  void send(int partition, byte[] key, byte[] value, T token) {
    int bytes = RECORD_OVERHEAD_BYTES + key.length + (value == null ? 0 : value.length);
    bytesInFlight += bytes;
    try {
      producer.send(
          new ProducerRecord<>(settings.topic(), partition, key, value),
          (written, error) ->
              onOutcome(
                  new Outcome<>(
                      token, partition, error == null ? written.offset() : -1, bytes, error)));
    } catch (org.apache.kafka.common.KafkaException e) {
      throw explain(e, bytes);
    }
  }

  /** On Kafka's thread. */
  private void onOutcome(Outcome<T> outcome) {
    outcomes.add(outcome);
    if (isAwake.compareAndSet(false, true)) {
      wake.run();
    }
  }

  /**
   * The next entry that is in the topic, in the order of its partition; null if there is none now.
   *
   * @throws StoreException if one could not be written
   */
  Written<T> poll() {
    Outcome<T> outcome = outcomes.poll();
    if (outcome == null) {
      isAwake.set(false);
      // One may have come in between, and found everybody awake.
      outcome = outcomes.poll();
      if (outcome == null) {
        return null;
      }
      isAwake.set(true);
    }
    bytesInFlight -= outcome.bytes();
    if (outcome.error() != null) {
      throw explain(outcome.error(), outcome.bytes());
    }
    return new Written<>(outcome.token(), outcome.partition(), outcome.offset());
  }

  private StoreException explain(Exception error, int bytes) {
    return error instanceof RecordTooLargeException
        ? new StoreException.RecordTooLarge(settings, bytes, error)
        : clients.explain(error);
  }

  /** Of entries whose outcome is not known yet. Any thread. */
  long bytesInFlight() {
    return bytesInFlight;
  }

  /**
   * @param patience for what is on its way; then it is dropped
   */
  void close(Duration patience) {
    try {
      producer.close(patience);
    } catch (InterruptException e) {
      // A task that is cancelled: all is released all the same.
      Thread.currentThread().interrupt();
    }
  }

  @Override
  public void close() {
    close(FORCED);
  }
}
