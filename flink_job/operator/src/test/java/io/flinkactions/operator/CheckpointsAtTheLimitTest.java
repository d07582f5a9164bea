package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CheckpointsAtTheLimitTest {

  // Every action waits until the test lets all of them go.
  private static final String WAITING =
      """
      import asyncio, pathlib
      from flink_actions import Agent, OutputEvent, action

      class Waiting(Agent):
          @action("_input_event")
          async def wait(self, event, ctx):
              (pathlib.Path.cwd() / f"started-{event.input['k']}").touch()
              while not pathlib.Path("go").exists():
                  await asyncio.sleep(0.2)
              ctx.send_event(OutputEvent(output=event.input))

      agent = Waiting()
      """;

  private static final int LIMIT = 100;
  private static final int KEYS = 500;
  private static final int PER_KEY = 80;
  private static final long SOON_MILLIS = 1_000;

  @TempDir Path folder;

  /** At the limit of runs, with far more inputs than may wait: the source is held back. */
  private TestJob.Builder atTheLimit(ActionServerProcess server, String name) {
    return TestJob.at(server, name)
        .inputs(KEYS * PER_KEY, KEYS)
        .checkpoints(folder, 500, false)
        .settings(settings -> settings.maxRunsInFlight(LIMIT).waitingBytes(20_000, 100_000_000));
  }

  private static void awaitLimit(TestJob job, ActionServerProcess server) throws Exception {
    job.await(
        Duration.ofSeconds(30),
        () -> server.fileCount("started-") == LIMIT,
        "the limit is reached");
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void checkpoints_complete_while_every_action_waits(boolean isUnaligned) throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(WAITING)) {
      TestJob job =
          atTheLimit(server, "limit-" + isUnaligned)
              // Each aligned checkpoint lets in what lies in the network; the source must not end
              // of it.
              .inputs(100_000_000, KEYS)
              .checkpoints(folder, 500, isUnaligned)
              .start();
      awaitLimit(job, server);
      long before = job.checkpointCount();
      job.awaitCheckpoints(before + 5, Duration.ofSeconds(20));
      List<Long> durations = job.checkpointDurations();
      assertThat(durations).allSatisfy(millis -> assertThat(millis).isLessThan(SOON_MILLIS));
      assertThat(job.outputs()).isEmpty();
      job.cancel();
    }
  }

  @Test
  void a_savepoint_completes_and_so_does_a_stop_which_loses_and_doubles_nothing() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(WAITING)) {
      // Each checkpoint lets in what lies in the network. A source that came to its end of that
      // would
      // hold up the stop until all actions are through.
      int perKey = 5 * PER_KEY;
      TestJob.Builder builder = atTheLimit(server, "limit-savepoint").inputs(KEYS * perKey, KEYS);
      TestJob job = builder.start();
      awaitLimit(job, server);
      assertThat(job.savepointDuration(job.savepoint(folder))).isLessThan(SOON_MILLIS);
      assertThat(job.outputs()).isEmpty();

      String savepoint = job.stopWithSavepoint(folder, false);
      // Not how long Flink takes to end the job after it.
      assertThat(job.savepointDuration(savepoint)).isLessThan(SOON_MILLIS);

      server.folder().resolve("go").toFile().createNewFile();
      List<String> outputs = builder.from(savepoint).start().awaitFinished();
      OrderTest.assertComplete(outputs, KEYS, perKey);
    }
  }

  @Test
  void results_that_come_while_the_job_stops_are_not_applied() throws Exception {
    String constant =
        """
        import asyncio
        from flink_actions import Agent, OutputEvent, action

        class Constant(Agent):
            @action("_input_event")
            async def work(self, event, ctx):
                await asyncio.sleep(0.02)
                ctx.send_event(OutputEvent(output=event.input))

        agent = Constant()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(constant)) {
      // Results come all the time, so some come between the snapshot and the end of the job.
      int perKey = 300;
      TestJob.Builder builder =
          atTheLimit(server, "stopping")
              .inputs(KEYS * perKey, KEYS)
              .settings(settings -> settings.waitingBytes(20_000, 100_000_000));
      TestJob job = builder.start();
      for (int stops = 0; stops < 3; stops++) {
        job.awaitOutputs(job.outputCount() + 5_000);
        job = builder.from(job.stopWithSavepoint(folder, false)).start();
      }
      OrderTest.assertComplete(job.awaitFinished(), KEYS, perKey);
    }
  }
}
