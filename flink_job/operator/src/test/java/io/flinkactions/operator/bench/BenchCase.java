package io.flinkactions.operator.bench;

import java.util.HashMap;
import java.util.Map;

/** What to run and measure, as {@code name=value} arguments; benchmarks/run.py writes them. */
record BenchCase(
    Measure measure,
    String endpoint,
    String agent,
    int keys,
    int payloadBytes,
    int parallelism,
    double rate,
    long burst,
    long warmUpMillis,
    long windowMillis,
    int windows,
    String stateBackend,
    long checkpointMillis,
    boolean unaligned,
    int maxRuns,
    double bufferTimeoutMillis,
    String checkpointFolder) {

  /** What the windows are about. */
  enum Measure {
    /** Outputs per second at full speed. */
    THROUGHPUT,
    /** Time from source to sink at a steady rate. */
    LATENCY,
    /** Time from the release of a burst to its last output. */
    BURST,
    /** Checkpoints and a savepoint while the source is at full speed. */
    CHECKPOINTS,
    /** Times without an output at a steady rate, while the caller kills the worker. */
    RECONNECT,
    /** The same job without operator and server: what the rest costs. */
    BASELINE
  }

  static BenchCase parse(String[] arguments) {
    Map<String, String> given = new HashMap<>();
    for (String argument : arguments) {
      int equals = argument.indexOf('=');
      if (equals < 1) {
        throw new IllegalArgumentException(
            "argument '" + argument + "' is not of the form name=value");
      }
      given.put(argument.substring(0, equals), argument.substring(equals + 1));
    }
    BenchCase parsed =
        new BenchCase(
            Measure.valueOf(take(given, "measure", "THROUGHPUT")),
            take(given, "endpoint", ""),
            take(given, "agent", ""),
            Integer.parseInt(take(given, "keys", "1000")),
            Integer.parseInt(take(given, "payload_bytes", "370")),
            Integer.parseInt(take(given, "parallelism", "1")),
            Double.parseDouble(take(given, "rate", "0")),
            Long.parseLong(take(given, "burst", "0")),
            Long.parseLong(take(given, "warm_up_ms", "8000")),
            Long.parseLong(take(given, "window_ms", "2000")),
            Integer.parseInt(take(given, "windows", "5")),
            take(given, "state", "hashmap"),
            Long.parseLong(take(given, "checkpoint_ms", "0")),
            Boolean.parseBoolean(take(given, "unaligned", "true")),
            Integer.parseInt(take(given, "max_runs", "0")),
            Double.parseDouble(take(given, "buffer_timeout_ms", "-1")),
            take(given, "checkpoint_folder", ""));
    if (!given.isEmpty()) {
      throw new IllegalArgumentException("unknown arguments: " + given.keySet());
    }
    return parsed;
  }

  private static String take(Map<String, String> given, String name, String otherwise) {
    String value = given.remove(name);
    return value == null ? otherwise : value;
  }
}
