package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RestoreTest {

  private static final String COUNTING =
      """
      import asyncio, random
      from flink_actions import Agent, Event, OutputEvent, action

      class Counting(Agent):
          @action("_input_event")
          async def count(self, event, ctx):
              await asyncio.sleep(random.random() * 0.01)
              memory = ctx.short_term_memory
              n = memory.get("n") + 1 if memory.is_exist("n") else 1
              memory.set("n", n)
              ctx.sensory_memory.set("n", n)
              ctx.send_event(Event(type="counted", attributes={"input": event.input}))

          @action("counted")
          async def answer(self, event, ctx):
              await asyncio.sleep(random.random() * 0.01)
              ctx.send_event(OutputEvent(output={
                  "k": event.attributes["input"]["k"], "i": event.attributes["input"]["i"],
                  "n": ctx.sensory_memory.get("n")}))

      agent = Counting()
      """;

  private static final int KEYS = 200;
  private static final int PER_KEY = 300;

  // Little may wait, so that the source is far from its end when the job is stopped.
  private static final UnaryOperator<ActionSettings.Builder> HELD_BACK =
      settings -> settings.waitingBytes(20_000, 100_000_000);

  @TempDir Path folder;

  @ParameterizedTest
  @CsvSource({"1,4,false", "4,1,false", "2,3,true"})
  void stop_with_runs_in_flight_and_start_at_another_parallelism_loses_and_doubles_nothing(
      int before, int after, boolean rocksDb) throws Exception {
    String name = "restore-" + before + "-" + after;
    try (ActionServerProcess server = ActionServerProcess.serving(COUNTING)) {
      TestJob first = job(server, name, before, rocksDb).start();
      first.awaitOutputs(500);
      String savepoint = first.stopWithSavepoint(folder, false);
      int cut = first.outputCount();
      assertThat(cut).isBetween(500, KEYS * PER_KEY - 100);

      // Twice in a row: a run that was restored is restored again.
      TestJob second = job(server, name, after, rocksDb).from(savepoint).start();
      second.awaitOutputs(cut + 500);
      savepoint = second.stopWithSavepoint(folder, false);

      List<String> outputs =
          job(server, name, before, rocksDb).from(savepoint).start().awaitFinished();
      OrderTest.assertComplete(outputs, KEYS, PER_KEY);
      for (String output : outputs) {
        assertThat(OrderTest.number(output, "\"n\":"))
            .as("memory agrees with the order of inputs: %s", output)
            .isEqualTo(OrderTest.number(output, "\"i\":") + 1);
      }
    }
  }

  private TestJob.Builder job(
      ActionServerProcess server, String name, int parallelism, boolean rocksDb) {
    TestJob.Builder job =
        TestJob.at(server, name)
            .inputs(KEYS * PER_KEY, KEYS)
            .parallelism(parallelism)
            .checkpoints(folder, 500, false)
            .settings(HELD_BACK);
    return rocksDb ? job.rocksDb() : job;
  }

  @Test
  void an_event_sent_before_an_await_comes_out_once_after_a_restore() throws Exception {
    String agent =
        """
        import asyncio, pathlib
        from flink_actions import Agent, OutputEvent, action

        class Sends(Agent):
            @action("_input_event")
            async def send(self, event, ctx):
                ctx.send_event(OutputEvent(output=event.input))
                if not pathlib.Path("go").exists():
                    pathlib.Path(f"started-{event.input['k']}").touch()
                    while not pathlib.Path("go").exists():
                        await asyncio.sleep(0.01)

        agent = Sends()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(agent)) {
      TestJob first = once(server).start();
      first.await(Duration.ofSeconds(20), () -> server.fileCount("started-") == 20, "20 actions");
      String savepoint = first.stopWithSavepoint(folder, false);
      assertThat(first.outputs()).isEmpty();
      Files.createFile(server.folder().resolve("go"));
      List<String> outputs = once(server).from(savepoint).start().awaitFinished();
      OrderTest.assertComplete(outputs, 20, 3_000);
    }
  }

  private TestJob.Builder once(ActionServerProcess server) {
    return TestJob.at(server, "once")
        .inputs(60_000, 20)
        .checkpoints(folder, 500, false)
        .settings(HELD_BACK);
  }
}
