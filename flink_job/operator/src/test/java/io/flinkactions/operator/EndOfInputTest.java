package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.LongStream;
import org.apache.flink.api.common.functions.MapFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class EndOfInputTest {

  private static final String SLOW =
      """
      import asyncio
      from flink_actions import Agent, OutputEvent, action

      class Slow(Agent):
          @action("_input_event")
          async def work(self, event, ctx):
              await asyncio.sleep(1.0 + event.input["k"] * 0.01)
              ctx.send_event(OutputEvent(output=event.input))

      agent = Slow()
      """;

  private static final String QUICK = SLOW.replace("1.0 + event.input[\"k\"] * 0.01", "0.01");

  /** Fails once, behind so many records. */
  private static final class FailOnce implements MapFunction<String, String> {
    private static final long serialVersionUID = 1L;
    private static final Map<String, Boolean> FAILED = new ConcurrentHashMap<>();
    private final String name;
    private final int after;
    private int seen;

    FailOnce(String name, int after) {
      this.name = name;
      this.after = after;
    }

    @Override
    public String map(String value) {
      if (++seen > after && FAILED.putIfAbsent(name, true) == null) {
        throw new IllegalStateException("the test's own failure");
      }
      return value;
    }
  }

  @TempDir Path folder;

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void a_crash_inside_the_end_of_input_restores_and_drains(boolean rocksDb) throws Exception {
    String name = "crash-at-end-" + rocksDb;
    try (ActionServerProcess server = ActionServerProcess.serving(SLOW)) {
      TestJob.Builder builder =
          TestJob.at(server, name)
              .inputs(200, 100)
              .checkpoints(folder, 200, true)
              .restarts(1)
              .afterwards(outputs -> outputs.map(new FailOnce(name, 120)));
      TestJob job = (rocksDb ? builder.rocksDb() : builder).start();
      List<String> outputs = job.awaitFinished();
      assertThat(FailOnce.FAILED).containsKey(name);
      assertThat(job.checkpointDurations()).as("checkpoints while it drained").isNotEmpty();
      // This sink has no transactions, so what came between checkpoint and crash is there twice;
      // nothing is missing.
      assertThat(outputs.stream().distinct()).hasSize(200);
      assertThat(outputs.size())
          .as("restored from a checkpoint inside the end of input")
          .isLessThan(320);
    }
  }

  @Test
  void stop_with_drain_waits_for_the_actions() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(QUICK)) {
      TestJob job =
          TestJob.at(server, "drain")
              .inputs(100_000_000, 1_000)
              .settings(settings -> settings.waitingBytes(10_000, 100_000_000))
              .start();
      job.awaitOutputs(2_000);
      job.stopWithSavepoint(folder, true);
      // What was read is answered, in order and once; the rest was not read.
      OrderTest.indicesByKey(job.outputs())
          .forEach(
              (key, indices) ->
                  assertThat(indices)
                      .isEqualTo(LongStream.range(0, indices.size()).boxed().toList()));
      assertThat(job.outputCount()).isGreaterThanOrEqualTo(2_000);
    }
  }

  @Test
  void a_drain_has_a_limit_and_says_what_to_do() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(SLOW)) {
      Throwable failure =
          TestJob.at(server, "drain-limit")
              .inputs(10, 10)
              .settings(settings -> settings.drainLimit(Duration.ofMillis(300)))
              .start()
              .awaitFailure();
      assertThat(failure).hasStackTraceContaining("drain limit").hasStackTraceContaining("10 keys");
    }
  }
}
