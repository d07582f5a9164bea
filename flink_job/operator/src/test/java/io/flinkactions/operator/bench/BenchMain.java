package io.flinkactions.operator.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * Runs one case of the benchmark and says what happens, a JSON object per line with {@code BENCH }
 * in front. The caller, benchmarks/run.py, runs the server beside and reads its CPU time whenever a
 * window begins or ends.
 */
public final class BenchMain {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final long FIRST_OUTPUT_DEADLINE_MILLIS = 60_000;
  private static final long BURST_DEADLINE_MILLIS = 60_000;

  private final BenchCase benchCase;

  private BenchMain(BenchCase benchCase) {
    this.benchCase = benchCase;
  }

  /** Arguments are those of {@link BenchCase}. */
  public static void main(String[] arguments) {
    try {
      new BenchMain(BenchCase.parse(arguments)).run();
    } catch (Exception failure) {
      failure.printStackTrace();
      System.exit(1);
    }
    // Not by returning: threads that a library left behind would keep the caller waiting.
    System.exit(0);
  }

  private void run() throws Exception {
    switch (benchCase.measure()) {
      case LATENCY, RECONNECT -> PacedSource.pace = Pace.perSecond(benchCase.rate());
      case BURST -> PacedSource.pace = new Pace.OnRelease();
      default -> PacedSource.pace = Pace.unlimited();
    }
    try (BenchJob job = BenchJob.start(benchCase)) {
      say("submitted", Map.of("since_jvm_ms", sinceJvmStartMillis()));
      switch (benchCase.measure()) {
        case BURST -> bursts(job, (Pace.OnRelease) PacedSource.pace);
        default -> windows(job);
      }
      say("end", Map.of("last_output", OutputProbe.last()));
    }
  }

  private void windows(BenchJob job) throws Exception {
    awaitOutputs(job, 1, FIRST_OUTPUT_DEADLINE_MILLIS);
    say("first_output", Map.of("since_jvm_ms", sinceJvmStartMillis()));
    Thread.sleep(benchCase.warmUpMillis());
    for (int window = 0; window < benchCase.windows(); window++) {
      job.failIfEnded();
      windowOnce(job);
    }
    switch (benchCase.measure()) {
      case CHECKPOINTS -> say("savepoint", Map.of("ms", job.savepointMillis()));
      case LATENCY -> say("answered", Map.of("inputs", awaitAllAnswered(job)));
      default -> {}
    }
  }

  /** Stops the source and waits until nothing is open: what never came counts in no latency. */
  private static long awaitAllAnswered(BenchJob job) throws Exception {
    PacedSource.pace = new Pace.OnRelease();
    long emitted;
    do {
      emitted = OutputProbe.emitted();
      awaitOutputs(job, emitted, BURST_DEADLINE_MILLIS);
    } while (OutputProbe.emitted() != emitted);
    return emitted;
  }

  private void windowOnce(BenchJob job) throws Exception {
    OutputProbe.restartLatencies();
    OutputProbe.restartGaps();
    Instant begin = Instant.now();
    say("window_begin", Map.of());
    Thread.sleep(benchCase.windowMillis());
    Map<String, Object> measured = begin.until();
    if (benchCase.measure() == BenchCase.Measure.LATENCY) {
      measured.putAll(percentiles(OutputProbe.latenciesMicros()));
    }
    if (benchCase.measure() == BenchCase.Measure.RECONNECT) {
      measured.put("gap_ends", OutputProbe.gapEnds());
    }
    if (benchCase.checkpointMillis() > 0) {
      measured.put("checkpoints_ms", job.checkpointMillisSince(begin.wallClockMillis()));
    }
    say("window_end", measured);
  }

  private void bursts(BenchJob job, Pace.OnRelease pace) throws Exception {
    long expected = 0;
    // The first is the warm-up: it opens the session and loads the classes.
    for (int window = 0; window <= benchCase.windows(); window++) {
      Instant begin = Instant.now();
      say("window_begin", Map.of());
      expected += benchCase.burst();
      pace.release(benchCase.burst());
      awaitOutputs(job, expected, BURST_DEADLINE_MILLIS);
      Map<String, Object> measured = begin.until();
      if (benchCase.checkpointMillis() > 0) {
        measured.put("checkpoints_ms", job.checkpointMillisSince(begin.wallClockMillis()));
      }
      say(window == 0 ? "warm_up_end" : "window_end", measured);
      Thread.sleep(500);
    }
  }

  private static void awaitOutputs(BenchJob job, long count, long deadlineMillis) throws Exception {
    long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(deadlineMillis);
    while (OutputProbe.count() < count) {
      job.failIfEnded();
      if (System.nanoTime() > deadline) {
        throw new IllegalStateException(
            OutputProbe.count() + " of " + count + " outputs after " + deadlineMillis + " ms");
      }
      Thread.sleep(1);
    }
  }

  private static Map<String, Object> percentiles(int[] sortedMicros) {
    if (sortedMicros.length == 0) {
      throw new IllegalStateException(
          "no output in a whole window: nothing to take percentiles of");
    }
    return Map.of(
        "latencies", sortedMicros.length,
        "p50_us", sortedMicros[sortedMicros.length / 2],
        "p99_us", sortedMicros[(int) (sortedMicros.length * 0.99)],
        "max_us", sortedMicros[sortedMicros.length - 1]);
  }

  private static void say(String event, Map<String, ?> more) throws Exception {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("event", event);
    line.putAll(more);
    System.out.println("BENCH " + JSON.writeValueAsString(line));
    System.out.flush();
  }

  private static long sinceJvmStartMillis() {
    return ManagementFactory.getRuntimeMXBean().getUptime();
  }

  /** What the counters said at one time. */
  private record Instant(
      long nanos, long wallClockMillis, long outputs, long characters, long cpuNanos) {

    static Instant now() {
      OperatingSystemMXBean system =
          (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
      return new Instant(
          System.nanoTime(),
          System.currentTimeMillis(),
          OutputProbe.count(),
          OutputProbe.characters(),
          system.getProcessCpuTime());
    }

    /** From then until now. */
    Map<String, Object> until() {
      Instant now = now();
      long count = now.outputs - outputs;
      Map<String, Object> measured = new LinkedHashMap<>();
      measured.put("seconds", (now.nanos - nanos) / 1e9);
      measured.put("outputs", count);
      measured.put("output_characters", count == 0 ? 0 : (now.characters - characters) / count);
      measured.put("jvm_cpu_seconds", (now.cpuNanos - cpuNanos) / 1e9);
      return measured;
    }
  }
}
