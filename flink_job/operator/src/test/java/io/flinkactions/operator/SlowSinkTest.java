package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SlowSinkTest {

  private static final String LARGE_OUTPUTS =
      """
      from flink_actions import Agent, OutputEvent, action

      TEXT = "x" * 20_000

      class Large(Agent):
          @action("_input_event")
          async def answer(self, event, ctx):
              ctx.send_event(OutputEvent(output={**event.input, "text": TEXT}))

      agent = Large()
      """;

  @TempDir Path folder;

  @Test
  void a_slow_sink_with_large_outputs_does_not_delay_checkpoints() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(LARGE_OUTPUTS)) {
      TestJob job =
          TestJob.at(server, "slow-sink")
              .inputs(1_000_000, 1_000)
              .sinkPauses(20)
              .settings(
                  settings -> settings.maxRunsInFlight(1_000).waitingBytes(100_000, 100_000_000))
              .checkpoints(folder, 500, true)
              .start();
      job.awaitOutputs(100);
      long before = job.checkpointCount();
      job.awaitCheckpoints(before + 10, Duration.ofSeconds(20));
      // Most of it is the sink's own: it looks for barriers between two records.
      assertThat(job.checkpointDurations())
          .allSatisfy(millis -> assertThat(millis).isLessThan(1_000));
      job.cancel();
    }
  }
}
