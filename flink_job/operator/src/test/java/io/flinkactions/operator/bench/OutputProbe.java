package io.flinkactions.operator.bench;

import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.LongAdder;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;

/**
 * The sink: counts outputs, and where asked measures the time since their input left the source.
 *
 * <p>Its counters are static: source, sink and the benchmark's main thread live in one JVM and one
 * class loader.
 */
final class OutputProbe implements Sink<String> {

  private static final long serialVersionUID = 1L;

  /** Inputs that may be under way at once without their times being overwritten. */
  private static final int RING = 1 << 17;

  private static final int MOST_LATENCIES = 1 << 20;
  private static final String SEQUENCE = "\"seq\":";

  private static final LongAdder EMITTED = new LongAdder();
  private static final LongAdder COUNT = new LongAdder();
  private static final LongAdder CHARACTERS = new LongAdder();
  private static final AtomicLongArray EMITTED_NANOS = new AtomicLongArray(RING);
  private static final int[] LATENCIES_MICROS = new int[MOST_LATENCIES];
  private static final AtomicInteger LATENCY_COUNT = new AtomicInteger();
  private static volatile String last = "";
  private static final long GAP_NANOS = 5_000_000;
  private static final int MOST_GAPS = 10_000;
  private static final Queue<Double> GAP_ENDS = new ConcurrentLinkedQueue<>();
  // The sink's thread.
  private static long lastNanos;

  private final boolean measuresLatency;
  private final boolean measuresGaps;

  OutputProbe(boolean measuresLatency, boolean measuresGaps) {
    this.measuresLatency = measuresLatency;
    this.measuresGaps = measuresGaps;
  }

  static void onEmit(long index, long nanoTime) {
    EMITTED.increment();
    EMITTED_NANOS.lazySet((int) (index & (RING - 1)), nanoTime);
  }

  /** Inputs so far. */
  static long emitted() {
    return EMITTED.sum();
  }

  /** Outputs so far. */
  static long count() {
    return COUNT.sum();
  }

  /** Characters of all outputs so far. */
  static long characters() {
    return CHARACTERS.sum();
  }

  /** The latest output: for a person to see that it is one. */
  static String last() {
    return last;
  }

  /** Forgets the gaps between outputs measured so far. */
  static void restartGaps() {
    GAP_ENDS.clear();
  }

  /** When outputs came that were the first for {@link #GAP_NANOS}: seconds, wall clock. */
  static List<Double> gapEnds() {
    return List.copyOf(GAP_ENDS);
  }

  private static void noteGap() {
    long now = System.nanoTime();
    if (now - lastNanos > GAP_NANOS && GAP_ENDS.size() < MOST_GAPS) {
      Instant end = Instant.now();
      GAP_ENDS.add(end.getEpochSecond() + end.getNano() / 1e9);
    }
    lastNanos = now;
  }

  /** Forgets the latencies measured so far. */
  static void restartLatencies() {
    LATENCY_COUNT.set(0);
  }

  /** Latencies since the restart, in microseconds, ascending. */
  static int[] latenciesMicros() {
    int[] sorted = Arrays.copyOf(LATENCIES_MICROS, Math.min(LATENCY_COUNT.get(), MOST_LATENCIES));
    Arrays.sort(sorted);
    return sorted;
  }

  @Override
  public SinkWriter<String> createWriter(WriterInitContext context) {
    return new SinkWriter<>() {
      @Override
      public void write(String output, Context ignored) {
        if (measuresLatency) {
          record(output);
        }
        if (measuresGaps) {
          noteGap();
        }
        COUNT.increment();
        CHARACTERS.add(output.length());
        last = output;
      }

      @Override
      public void flush(boolean endOfInput) {}

      @Override
      public void close() {}
    };
  }

  private static void record(String output) {
    int from = output.indexOf(SEQUENCE) + SEQUENCE.length();
    int to = from;
    while (Character.isDigit(output.charAt(to))) {
      to++;
    }
    long index = Long.parseLong(output, from, to, 10);
    long nanos = System.nanoTime() - EMITTED_NANOS.get((int) (index & (RING - 1)));
    int slot = LATENCY_COUNT.getAndIncrement();
    if (slot < MOST_LATENCIES) {
      LATENCIES_MICROS[slot] = (int) (nanos / 1_000);
    }
  }
}
