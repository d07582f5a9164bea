package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.failure.DeadLetter;
import java.nio.file.Path;
import java.time.Duration;
import java.util.function.UnaryOperator;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
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

  private static final String FAILING =
      """
      from flink_actions import Agent, action

      class Failing(Agent):
          @action("_input_event", on_failure="dead_letter")
          async def answer(self, event, ctx):
              raise ValueError("never " * 1_500)

      agent = Failing()
      """;

  @TempDir Path folder;

  @Test
  void a_slow_sink_with_large_outputs_does_not_delay_checkpoints() throws Exception {
    assertCheckpointsAreQuick(LARGE_OUTPUTS, outputs -> outputs);
  }

  @Test
  void a_slow_sink_with_large_dead_letters_does_not_delay_checkpoints() throws Exception {
    // Rebalanced, so that barriers overtake what waits for the sink.
    assertCheckpointsAreQuick(
        FAILING,
        outputs ->
            ((SingleOutputStreamOperator<String>) outputs)
                .getSideOutput(DeadLetter.TAG)
                .rebalance());
  }

  private void assertCheckpointsAreQuick(String agent, UnaryOperator<DataStream<String>> sunk)
      throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(agent)) {
      TestJob job =
          TestJob.at(server, "slow-sink")
              .inputs(1_000_000, 1_000)
              .afterwards(sunk)
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
