package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a generation has done before a reload is not done again by the next one. */
class ArchiveTest {

  private static final int KEYS = 100;
  private static final int INPUTS = 1_000;
  private static final int BEFORE_RELOAD = 500;
  private static final int FAILS_AT = 800;

  @TempDir Path folder;

  /** Two actions; the first pays, which a ledger outside of all processes tells. */
  private static String paying(int version) {
    return """
    import asyncio, os
    from flink_actions import Agent, Event, OutputEvent, action

    ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def pay(k, i):
        os.write(ledger, f"{k} {i}\\n".encode())
        return {"paid": [k, i]}

    class Paying(Agent):
        @action("_input_event")
        async def begin(self, event, ctx):
            paid = await ctx.durable_execute_async(pay, event.input["k"], event.input["i"])
            await asyncio.sleep(0.01)
            ctx.short_term_memory.set("count", ctx.short_term_memory.get("count", default=0) + 1)
            ctx.send_event(Event(type="half", attributes={**event.input, **paid}))

        @action("half")
        async def end(self, event, ctx):
            count = ctx.short_term_memory.get("count", default=0)
            ctx.send_event(OutputEvent(output={**event.attributes, "count": count, "version": %d}))

    agent = Paying()
    """
        .formatted(version);
  }

  @Test
  void after_a_reload_and_a_failure_before_any_checkpoint_nothing_is_paid_twice() throws Exception {
    try (ActionServerProcess server =
        ActionServerProcess.serving(paying(1), "--reload", "--workers", "2")) {
      TestJob job =
          TestJob.at(server, "archive")
              .inputs(INPUTS, KEYS)
              .parallelism(2)
              // None of them completes while the job runs.
              .checkpoints(folder, 3_600_000, false)
              .restarts(3)
              .before(inputs -> Incidents.holdFrom(BEFORE_RELOAD / KEYS, inputs))
              .afterwards(outputs -> Incidents.failAt(FAILS_AT, outputs))
              .start();
      job.awaitOutputs(BEFORE_RELOAD);
      Files.writeString(server.folder().resolve("agent.py"), paying(2));
      for (String worker : List.of("w0", "w1")) {
        job.await(
            Duration.ofSeconds(30),
            () -> said(server).contains("worker " + worker + " stays"),
            "worker " + worker + " has become an archive");
      }
      Incidents.letGo();
      List<String> outputs = job.awaitFinished();

      assertThat(job.restarts()).isEqualTo(1);
      // The sink has no transactions: what it had before the failure is there twice, and the same.
      Set<String> distinct = new HashSet<>(outputs);
      assertThat(distinct).hasSize(INPUTS);
      assertThat(outputs).hasSizeGreaterThan(INPUTS);
      assertThat(distinct.stream().filter(text -> text.contains("\"version\":1")))
          .hasSize(BEFORE_RELOAD);
      for (String output : distinct) {
        assertThat(OrderTest.number(output, "\"count\":"))
            .as(output)
            .isEqualTo(OrderTest.number(output, "\"i\":") + 1);
      }
      List<String> ledger = Files.readAllLines(server.folder().resolve("ledger"));
      assertThat(ledger).hasSize(INPUTS).doesNotHaveDuplicates();
    }
  }

  private static String said(ActionServerProcess server) {
    try {
      return server.log();
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }
}
