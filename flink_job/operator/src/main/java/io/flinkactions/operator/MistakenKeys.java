package io.flinkactions.operator;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.IntStream;

/**
 * Finds keys of the {@code agent:} section that are handed to the agents, and whose author may have
 * meant a setting of the job: settings of apache/flink-agents that are none here, and misspelt ones
 * of ours. They are only spoken of: agents may have settings of any name.
 */
final class MistakenKeys {

  /** A setting of apache/flink-agents, without {@code agent.}, and what does its work here. */
  private record Foreign(Pattern key, String instead) {
    Foreign(String key, String instead) {
      this(Pattern.compile(key), instead);
    }
  }

  private static final List<Foreign> FOREIGN =
      List.of(
          new Foreign(
              "num-async-threads",
              "`def` actions run in as many threads as `flink-actions serve --threads` says, and"
                  + " `async def` needs none"),
          new Foreign("max-in-flight-input-records", "set agent.max-runs-in-flight"),
          new Foreign("parallel-execution\\.enabled", "keys are always concurrent"),
          new Foreign(
              "max-retries",
              "give the action max_attempts, or set agent.default-failure-policy.max-attempts"),
          new Foreign(
              "retry-wait-interval",
              "give the action a backoff, or set agent.default-failure-policy.backoff.initial"),
          new Foreign(
              "error-handling-strategy",
              "give the action on_failure, or set agent.default-failure-policy.on-failure"),
          new Foreign(
              "async\\.batch\\.parallelism",
              "give the action concurrency, or limit asyncio.gather by a semaphore"),
          new Foreign(
              "async\\.batch\\.timeout\\.ms",
              "give the action timeout_seconds, or put asyncio.timeout around a part of it"),
          new Foreign(
              "(chat|tool-call|rag)\\.async|tool-call\\.(parallelism|num-async-threads|batch\\..+)",
              "there are no built-in chat, tool and retrieval actions yet"),
          new Foreign(
              "action\\.trigger-condition\\.evaluate-failure-strategy",
              "there are no conditions of triggers yet; test the event in the action"),
          new Foreign("agent-run\\.begin-event", "an input event begins every run; trigger on it"),
          new Foreign(
              "event-log\\..+|event-listeners|eventLoggerType|baseLogDir|prettyPrint",
              "there is no event log yet"),
          new Foreign(
              "fluss[A-Z].+",
              "the action state store is Kafka; set agent.actionStateStoreBackend to 'kafka'"));

  private static final int LONG_NAME = 8;

  private MistakenKeys() {}

  /**
   * What there is to say, a sentence for each key.
   *
   * @param keys that go to the agents, without {@code agent.}
   * @param settings of the job, without {@code agent.}
   */
  static List<String> remarks(Collection<String> keys, Collection<String> settings) {
    List<String> remarks = new ArrayList<>();
    for (String key : keys) {
      foreign(key)
          .or(() -> misplaced(key, settings))
          .or(() -> misspelt(key, settings))
          .ifPresent(remark -> remarks.add(JobOptions.SECTION + key + " is " + remark));
    }
    return remarks;
  }

  private static Optional<String> foreign(String key) {
    return FOREIGN.stream()
        .filter(foreign -> foreign.key.matcher(key).matches())
        .findFirst()
        .map(
            foreign ->
                "a setting of Flink Agents that does nothing here but stand in ctx.config: "
                    + foreign.instead);
  }

  /** Is it a setting, given where only the agents read? */
  private static Optional<String> misplaced(String key, Collection<String> settings) {
    return settings.contains(key)
        ? Optional.of(
            "a setting of the job, and sets nothing in the agents' config, which is ctx.config:"
                + " give it as an argument of ActionServer, as -D "
                + JobOptions.SECTION
                + key
                + "=..., or in section agent of config.yaml")
        : Optional.empty();
  }

  /** Is it a setting but for one or two letters, its case and its separators? */
  private static Optional<String> misspelt(String key, Collection<String> settings) {
    String letters = letters(key);
    int tolerance = letters.length() < LONG_NAME ? 1 : 2;
    return settings.stream()
        .filter(setting -> distance(letters, letters(setting)) <= tolerance)
        .min(Comparator.comparingInt(setting -> distance(letters, letters(setting))))
        .map(
            meant ->
                "no setting of the job, and goes to the agents as ctx.config; did you mean "
                    + JobOptions.SECTION
                    + meant
                    + "?");
  }

  private static String letters(String key) {
    return key.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]", "");
  }

  /** How many letters have to be put in, left out or replaced to make one text of the other. */
  private static int distance(String from, String to) {
    int[] row = IntStream.rangeClosed(0, to.length()).toArray();
    for (int i = 1; i <= from.length(); i++) {
      int diagonal = row[0];
      row[0] = i;
      for (int j = 1; j <= to.length(); j++) {
        int replaced = diagonal + (from.charAt(i - 1) == to.charAt(j - 1) ? 0 : 1);
        diagonal = row[j];
        row[j] = Math.min(replaced, 1 + Math.min(row[j], row[j - 1]));
      }
    }
    return row[to.length()];
  }
}
