package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Gauge;
import org.apache.flink.metrics.Histogram;
import org.apache.flink.metrics.Metric;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OperatorMetricsJobTest {

  private static final String REMEMBERING =
      """
      import asyncio, os
      from flink_actions import Agent, OutputEvent, action

      class Remembering(Agent):
          @action("_input_event")
          async def work(self, event, ctx):
              k = event.input["k"]
              if k == 10 and ctx.attempt == 1:
                  os.abort()
              if k == 50:
                  await asyncio.sleep(600)
              ctx.short_term_memory["text"] = "x" * 1_000
              ctx.send_event(OutputEvent(output={"k": k}))

      agent = Remembering()
      """;

  // Each input goes to an action of its own. The last runs on. The one before it waits until the
  // others are over: the death of their worker would be another attempt for them.
  private static final String OUTCOMES =
      """
      import asyncio, os, pathlib
      from flink_actions import Agent, Event, OutputEvent, ResourceType, RetryableError, action, tool

      ACTIONS = ["plain", "retried", "slow", "doomed", "ignored", "deadly", "endless"]

      class Outcomes(Agent):
          @action("_input_event")
          async def route(self, event, ctx):
              ctx.send_event(Event(type=ACTIONS[event.input["k"]], attributes={}))

          @tool(rate=20)
          async def paced(self, text):
              return text

          @action("plain")
          async def plain(self, event, ctx):
              paced = ctx.get_resource("paced", ResourceType.TOOL)
              await paced.call("at once")
              ctx.send_event(OutputEvent(output=await paced.call("plain")))

          @action("retried", max_attempts=2)
          async def retried(self, event, ctx):
              if ctx.attempt == 1:
                  raise RetryableError("not yet")
              ctx.send_event(OutputEvent(output="retried"))

          @action("slow", max_attempts=2, timeout_seconds=0.3)
          async def slow(self, event, ctx):
              if ctx.attempt == 1:
                  await asyncio.sleep(600)
              ctx.send_event(OutputEvent(output="slow"))

          @action("doomed", on_failure="dead_letter")
          async def doomed(self, event, ctx):
              raise ValueError("never")

          @action("ignored", on_failure="ignore")
          async def ignored(self, event, ctx):
              raise ValueError("never")

          @action("deadly")
          async def deadly(self, event, ctx):
              while not pathlib.Path("go").exists():
                  await asyncio.sleep(0.02)
              if ctx.attempt == 1:
                  os.abort()
              ctx.send_event(OutputEvent(output="deadly"))

          @action("endless")
          async def endless(self, event, ctx):
              await asyncio.sleep(600)

      agent = Outcomes()
      """;

  private static final String CALLING =
      """
      from flink_actions import Agent, OutputEvent, action

      async def pay(k):
          return k

      class Calling(Agent):
          @action("_input_event")
          async def work(self, event, ctx):
              for _ in range(2):
                  await ctx.durable_execute_async(pay, event.input["k"])
              ctx.send_event(OutputEvent(output={"k": event.input["k"]}))

      agent = Calling()
      """;

  @TempDir Path folder;

  private static Optional<Metric> metric(TestJob job, String name) {
    return job.metrics().entrySet().stream()
        .filter(entry -> entry.getKey().endsWith(".actions." + name))
        .map(Map.Entry::getValue)
        .findAny();
  }

  /**
   * A counter's or a gauge's number, or how often a histogram was updated; -1 if it is not there.
   */
  private static long number(TestJob job, String name) {
    return metric(job, name)
        .map(
            found ->
                found instanceof Counter counter
                    ? counter.getCount()
                    : found instanceof Histogram histogram
                        ? histogram.getCount()
                        : ((Number) ((Gauge<?>) found).getValue()).longValue())
        .orElse(-1L);
  }

  private static void awaitNumber(TestJob job, String name, long expected) throws Exception {
    job.await(
        Duration.ofSeconds(60), () -> number(job, name) == expected, name + " is " + expected);
  }

  /** Of one action: its results, failures, timeouts, retries, deadLetters and ignoredFailures. */
  private static List<Long> outcomes(TestJob job, String group) {
    return Stream.of("results", "failures", "timeouts", "retries", "deadLetters", "ignoredFailures")
        .map(name -> number(job, group + name))
        .toList();
  }

  @Test
  void each_worker_and_what_checkpoints_take_are_in_flinks_metrics() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(REMEMBERING)) {
      TestJob job = TestJob.at(server, "remembering").inputs(51, 51).start();
      job.awaitOutputs(50);
      assertThat(number(job, "results")).isEqualTo(50);
      // Whoever was named by the crash ends in the quarantine worker, q0.
      long answers = number(job, "worker.w0.answers");
      assertThat(answers + Math.max(0, number(job, "worker.q0.answers"))).isEqualTo(50);
      assertThat(number(job, "worker.w0.deaths")).isEqualTo(1);
      assertThat(number(job, "worker.w0.open")).isEqualTo(1);
      assertThat(number(job, "worker.w0.invocations")).isEqualTo(1);
      assertThat(number(job, "worker.w0.freeCredit")).isPositive();
      job.savepoint(folder);
      assertThat(number(job, "snapshotBytes")).isBetween(50_000L, 70_000L);
      assertThat(number(job, "stateWrittenBytes")).isGreaterThanOrEqualTo(50_000);
      assertThat(number(job, "snapshotMicros")).isPositive();
      job.savepoint(folder);
      assertThat(number(job, "snapshotBytes")).isLessThan(2_000);
      job.cancel();
    }
  }

  @Test
  void a_call_that_comes_with_the_result_of_its_attempt_is_no_stale_reply() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(CALLING)) {
      TestJob job =
          TestJob.at(server, "calling")
              .inputs(51, 51)
              .pausesBefore(50, Duration.ofHours(1))
              .start();
      job.awaitOutputs(50);
      assertThat(number(job, "callsRecorded")).isPositive();
      assertThat(number(job, "staleReplies")).isZero();
      job.cancel();
    }
  }

  @Test
  void what_becomes_of_invocations_is_counted_in_all_and_by_action_and_the_docs_name_every_metric()
      throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(OUTCOMES)) {
      TestJob job = TestJob.at(server, "outcomes").inputs(7, 7).start();
      awaitNumber(job, "results", 10);
      awaitNumber(job, "deadLetters", 1);
      awaitNumber(job, "ignoredFailures", 1);
      server.folder().resolve("go").toFile().createNewFile();
      awaitNumber(job, "results", 11);

      assertThat(outcomes(job, "")).containsExactly(11L, 4L, 1L, 2L, 1L, 1L);
      assertThat(outcomes(job, "action.route.")).containsExactly(7L, 0L, 0L, 0L, 0L, 0L);
      assertThat(outcomes(job, "action.retried.")).containsExactly(1L, 1L, 0L, 1L, 0L, 0L);
      assertThat(outcomes(job, "action.slow.")).containsExactly(1L, 1L, 1L, 1L, 0L, 0L);
      assertThat(outcomes(job, "action.doomed.")).containsExactly(0L, 1L, 0L, 0L, 1L, 0L);
      assertThat(outcomes(job, "action.ignored.")).containsExactly(0L, 1L, 0L, 0L, 0L, 1L);
      assertThat(outcomes(job, "action.deadly.")).containsExactly(1L, 0L, 0L, 0L, 0L, 0L);
      assertThat(number(job, "latencyMicros")).isEqualTo(11);
      assertThat(number(job, "action.slow.latencyMicros")).isEqualTo(1);
      assertThat(number(job, "resource.tool.paced.permitWaits")).isEqualTo(1);
      assertThat(number(job, "resource.tool.paced.permitWaitMicros"))
          .isBetween(20_000L, 10_000_000L);

      assertThat(number(job, "inputs")).isEqualTo(7);
      assertThat(number(job, "events")).isEqualTo(7);
      assertThat(number(job, "outputs")).isEqualTo(4);
      assertThat(number(job, "unmatchedInputs")).isZero();
      assertThat(number(job, "runsInFlight")).isEqualTo(1);
      assertThat(number(job, "worker.w0.deaths")).isEqualTo(1);
      // What the dead worker had: the one that killed it, and the one that goes on for ever.
      assertThat(number(job, "resentInvocations")).isEqualTo(2);
      // The one that killed it was answered in quarantine; the other waits for the next worker.
      awaitNumber(job, "session.connected", 1);
      // Seven inputs, an event of each, two retries, and what was sent again.
      int invokes = 7 + 7 + 2 + 2;
      awaitNumber(job, "session.invokesSent", invokes);
      Histogram perFrame = (Histogram) metric(job, "session.invokesPerFrame").orElseThrow();
      assertThat(perFrame.getStatistics().getMean() * perFrame.getCount())
          .isCloseTo(invokes, within(0.01));
      Histogram bytes = (Histogram) metric(job, "session.invokeFrameBytes").orElseThrow();
      assertThat(bytes.getCount()).isEqualTo(perFrame.getCount());
      assertThat(bytes.getStatistics().getMin()).isPositive();

      Set<String> documented = MetricsTable.documented();
      // SynchronousCallsTest has these.
      documented.removeIf(MetricsTable::isOfStore);
      assertThat(MetricsTable.ofJob(job.metrics().keySet())).isEqualTo(documented);
      job.cancel();
    }
  }
}
