package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Gauge;
import org.apache.flink.metrics.Histogram;
import org.junit.jupiter.api.Test;

class UserMetricsJobTest {

  private static final String COUNTING =
      """
      import asyncio
      from flink_actions import Agent, OutputEvent, RetryableError, action

      class Counting(Agent):
          @action("_input_event", max_attempts=2, timeout_seconds=3)
          async def work(self, event, ctx):
              k = event.input["k"]
              ctx.action_metric_group.counter("tokens").inc(10)
              ctx.agent_metric_group.group("model").histogram("millis").update(k)
              ctx.agent_metric_group.gauge("load").update(0.5)
              if k % 2 == 0:
                  await asyncio.sleep(0)
              if k == 3 and ctx.attempt == 1:
                  raise RetryableError("what was paid was paid")
              if k == 5 and ctx.attempt == 1:
                  await asyncio.sleep(60)
              ctx.send_event(OutputEvent(output={"k": k}))

      agent = Counting()
      """;

  private static <M> Optional<M> metric(TestJob job, Class<M> type, String name) {
    return job.metrics().entrySet().stream()
        .filter(entry -> entry.getKey().endsWith("." + name))
        .map(Map.Entry::getValue)
        .map(type::cast)
        .findAny();
  }

  @Test
  void what_actions_count_is_in_flinks_metrics_that_of_failed_attempts_too() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(COUNTING)) {
      TestJob job =
          TestJob.at(server, "counting")
              .inputs(21, 21)
              .pausesBefore(20, Duration.ofSeconds(60))
              .start();
      job.awaitOutputs(20);
      // 20 Results, an attempt that failed, and one over its time.
      job.await(
          Duration.ofSeconds(20),
          () ->
              metric(job, Counter.class, "actions.action.work.user.tokens")
                      .map(Counter::getCount)
                      .orElse(0L)
                  == 220,
          "220 tokens");
      Histogram millis = metric(job, Histogram.class, "actions.user.model.millis").orElseThrow();
      assertThat(millis.getCount()).isEqualTo(22);
      assertThat(millis.getStatistics().getMax()).isEqualTo(19);
      assertThat(metric(job, Gauge.class, "actions.user.load").orElseThrow().getValue())
          .isEqualTo(0.5);
      assertThat(
              metric(job, Counter.class, "actions.action.work.failures").orElseThrow().getCount())
          .isEqualTo(2);
      for (String name : List.of("actions.timeouts", "actions.action.work.timeouts")) {
        assertThat(metric(job, Counter.class, name).orElseThrow().getCount()).isEqualTo(1);
      }
      assertThat(metric(job, Counter.class, "actions.userMetricsDropped").orElseThrow().getCount())
          .isZero();
      job.cancel();
    }
  }
}
