package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.Optional;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Gauge;
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

  @TempDir Path folder;

  private static long number(TestJob job, String name) {
    Optional<?> found =
        job.metrics().entrySet().stream()
            .filter(entry -> entry.getKey().endsWith(".actions." + name))
            .map(entry -> entry.getValue())
            .findAny();
    if (found.isEmpty()) {
      return -1;
    }
    return found.get() instanceof Counter counter
        ? counter.getCount()
        : ((Number) ((Gauge<?>) found.get()).getValue()).longValue();
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
}
