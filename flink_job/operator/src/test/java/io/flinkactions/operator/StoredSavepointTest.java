package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A savepoint that an earlier version took is restored by this one. Each version adds its own to
 * {@code src/test/resources/savepoints} and never changes an older one. To write one:
 *
 * <pre>
 * mvn test -Dtest=StoredSavepointTest -DargLine="... -Dflinkactions.write-savepoint=src/test/resources/savepoints/format-N"
 * </pre>
 */
class StoredSavepointTest {

  private static final int KEYS = 20;
  private static final int PER_KEY = 40;

  // At the savepoint: each key's first run is in its second step, with memory of both kinds, and
  // all other inputs wait.
  private static final String STEPS =
      """
      import asyncio, pathlib
      from flink_actions import Agent, Event, OutputEvent, action

      class Steps(Agent):
          @action("_input_event")
          async def first(self, event, ctx):
              memory = ctx.short_term_memory
              memory.set("count", memory.get("count", default=0) + 1)
              ctx.sensory_memory.set("step.done", event.input["i"])
              ctx.send_event(Event(type="second", attributes={"input": event.input}))

          @action("second")
          async def second(self, event, ctx):
              k = event.attributes["input"]["k"]
              if not pathlib.Path("go").exists():
                  pathlib.Path(f"started-{k}").touch()
                  while not pathlib.Path("go").exists():
                      await asyncio.sleep(0.01)
              ctx.send_event(OutputEvent(output={
                  "k": k, "i": event.attributes["input"]["i"], "count": ctx.short_term_memory["count"],
                  "done": ctx.sensory_memory["step.done"], "run": ctx.run_number}))

      agent = Steps()
      """;

  @TempDir Path folder;

  private TestJob.Builder job(ActionServerProcess server, String name) {
    return TestJob.at(server, name)
        .inputs(KEYS * PER_KEY, KEYS)
        .checkpoints(folder, 500, true)
        // Still before its end at the savepoint, so that the source is restored too.
        .pausesBefore(KEYS * PER_KEY - 100, Duration.ofSeconds(3));
  }

  @ParameterizedTest
  @ValueSource(strings = {"format-1"})
  void a_stored_savepoint_is_restored_with_runs_memory_and_waiting_inputs(String stored)
      throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(STEPS)) {
      Files.createFile(server.folder().resolve("go"));
      String savepoint = Path.of("src/test/resources/savepoints", stored).toUri().toString();
      List<String> outputs = job(server, stored).from(savepoint).start().awaitFinished();
      OrderTest.assertComplete(outputs, KEYS, PER_KEY);
      for (String output : outputs) {
        long i = OrderTest.number(output, "\"i\":");
        assertThat(OrderTest.number(output, "\"count\":")).as(output).isEqualTo(i + 1);
        assertThat(OrderTest.number(output, "\"done\":")).as(output).isEqualTo(i);
        assertThat(OrderTest.number(output, "\"run\":")).as(output).isEqualTo(i);
      }
    }
  }

  @Test
  @EnabledIfSystemProperty(named = "flinkactions.write-savepoint", matches = ".+")
  void write_a_savepoint_of_this_version() throws Exception {
    Path target = Path.of(System.getProperty("flinkactions.write-savepoint"));
    try (ActionServerProcess server = ActionServerProcess.serving(STEPS)) {
      // No other checkpoint before it: the source would come to its end while the savepoint waits
      // for that one.
      TestJob job = job(server, "write").checkpoints(folder, 3_600_000, true).start();
      job.await(Duration.ofSeconds(20), () -> server.fileCount("started-") == KEYS, "all keys");
      Path savepoint = Path.of(URI.create(job.savepoint(folder)));
      job.cancel();
      Files.createDirectories(target);
      try (Stream<Path> files = Files.list(savepoint)) {
        for (Path file : files.toList()) {
          Files.copy(file, target.resolve(file.getFileName()));
        }
      }
    }
  }
}
