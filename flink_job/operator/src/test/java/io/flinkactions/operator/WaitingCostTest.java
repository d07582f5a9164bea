package io.flinkactions.operator;

import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What waits costs the JVM nothing. */
class WaitingCostTest {

  private static final String ENDLESS =
      """
      import asyncio, pathlib
      from flink_actions import Agent, action

      class Endless(Agent):
          @action("_input_event")
          async def wait(self, event, ctx):
              (pathlib.Path.cwd() / f"started-{event.input['k']}").touch()
              await asyncio.sleep(600)

      agent = Endless()
      """;

  private static final int LIMIT = 1_000;
  private static final Duration SPAN = Duration.ofSeconds(2);
  private static final double MOST_CORES = 0.1;

  /** As many inputs as may run: the input ends. More than may wait: the source is held back. */
  @ParameterizedTest
  @ValueSource(longs = {LIMIT, 100_000_000})
  void a_thousand_actions_that_wait_burn_no_cpu_at_the_end_of_the_input_or_at_the_limit(long inputs)
      throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(ENDLESS)) {
      TestJob job =
          TestJob.at(server, "waiting-cost-" + inputs)
              .inputs(inputs, 2 * LIMIT)
              .settings(
                  settings -> settings.maxRunsInFlight(LIMIT).waitingBytes(20_000, 100_000_000))
              .start();
      job.await(
          Duration.ofSeconds(60), () -> server.fileCount("started-") == LIMIT, "all of them wait");
      // What has begun them may still be at work in the first of these spans.
      job.await(
          Duration.ofSeconds(20),
          () -> coresUsed() < MOST_CORES,
          "less than " + MOST_CORES + " cores used over " + SPAN);
      job.cancel();
    }
  }

  /**
   * CPU time of this JVM's threads over a span. The compiler's and the collector's are not among
   * them, and what else a machine is busy with adds nothing.
   */
  private static double coresUsed() {
    long began = System.nanoTime();
    Map<Long, Long> before = cpuNanosByThread();
    try {
      Thread.sleep(SPAN.toMillis());
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
    long used =
        cpuNanosByThread().entrySet().stream()
            .mapToLong(thread -> thread.getValue() - before.getOrDefault(thread.getKey(), 0L))
            .filter(nanos -> nanos > 0)
            .sum();
    return (double) used / (System.nanoTime() - began);
  }

  private static Map<Long, Long> cpuNanosByThread() {
    ThreadMXBean threads = ManagementFactory.getThreadMXBean();
    // -1: it has ended meanwhile.
    return Arrays.stream(threads.getAllThreadIds())
        .boxed()
        .collect(Collectors.toMap(id -> id, id -> Math.max(0, threads.getThreadCpuTime(id))));
  }
}
