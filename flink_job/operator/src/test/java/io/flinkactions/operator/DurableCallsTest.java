package io.flinkactions.operator;

import static io.flinkactions.operator.Ledger.assertOneKeyPerCall;
import static io.flinkactions.operator.Ledger.count;
import static io.flinkactions.operator.Ledger.ledger;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.source.lib.NumberSequenceSource;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Counts what calls have really done, in a ledger outside of job and worker. */
class DurableCallsTest {

  @TempDir Path folder;

  /**
   * Three calls one after the other, each of which writes a line when it begins, one with its
   * idempotency key, and one when it is done.
   */
  private static String paying(String options) {
    return """
    import asyncio, os
    from flink_actions import Agent, OutputEvent, RetryableError, action, current_call

    ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(*words):
        os.write(ledger, (" ".join(str(word) for word in words) + "\\n").encode())

    async def pay(k, i, step):
        write("begin", k, i, step)
        write("key", k, i, step, current_call().idempotency_key)
        await asyncio.sleep(0.3)
        write("done", k, i, step)
        return {"of": [k, i, step]}

    class Paying(Agent):
        @action("_input_event"%s)
        async def work(self, event, ctx):
            k, i = event.input["k"], event.input["i"]
            for step in range(3):
                paid = await ctx.durable_execute_async(pay, k, i, step)
                if paid != {"of": [k, i, step]}:
                    write("wrong", k, i, step)
            ctx.send_event(OutputEvent(output={"k": k, "i": i, "attempt": ctx.attempt}))

    agent = Paying()
    """
        .formatted(options);
  }

  /** Calls that have begun more than once, by the invocation that made them. */
  private static Map<String, List<String>> repeated(List<String> ledger) {
    Map<String, List<String>> byInvocation = new HashMap<>();
    count(ledger, "begin")
        .forEach(
            (call, times) -> {
              if (times > 1) {
                byInvocation
                    .computeIfAbsent(
                        call.substring(0, call.lastIndexOf(' ')), i -> new ArrayList<>())
                    .add(call);
              }
            });
    return byInvocation;
  }

  @Test
  void a_killed_worker_repeats_the_last_call_of_each_action_at_most_and_restarts_no_job()
      throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(paying(""))) {
      TestJob job = TestJob.at(server, "kill-worker").inputs(2_000, 1_000).start();
      job.await(
          Duration.ofSeconds(30),
          // All have begun and none can have ended: three calls take 0.9 s.
          () -> ledgerLines(server, "begin .* 0") >= 1_000,
          "1,000 actions are in the middle of their calls");
      server.killWorkers();
      List<String> outputs = job.awaitFinished();
      assertThat(job.restarts()).isZero();
      OrderTest.assertComplete(outputs, 1_000, 2);
      List<String> ledger = ledger(server);
      assertThat(count(ledger, "wrong")).isEmpty();
      assertOneKeyPerCall(ledger);
      assertThat(count(ledger, "done")).hasSize(6_000);
      Map<String, List<String>> repeated = repeated(ledger);
      long again =
          outputs.stream().filter(text -> OrderTest.number(text, "\"attempt\":") > 1).count();
      System.out.println(
          "worker killed with " + again + " in flight: calls repeated: " + repeated.size());
      assertThat(again).isEqualTo(1_000);
      assertThat(repeated.values()).allMatch(calls -> calls.size() == 1);
      assertThat(count(ledger, "begin").values()).allMatch(times -> times <= 2);
    }
  }

  private static long ledgerLines(ActionServerProcess server, String pattern) {
    return ledger(server).stream().filter(line -> line.matches(pattern)).count();
  }

  @Test
  void a_job_that_fails_while_its_worker_lives_makes_no_recorded_call_again() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(paying(""))) {
      TestJob job =
          TestJob.at(server, "task-fails")
              .inputs(2_000, 500)
              .checkpoints(folder, 200, false)
              .restarts(3)
              .afterwards(outputs -> Incidents.failAt(700, outputs))
              .start();
      List<String> outputs = job.awaitFinished();
      assertThat(job.restarts()).isEqualTo(1);
      Set<String> seen = new HashSet<>();
      for (String output : outputs) {
        seen.add(OrderTest.number(output, "\"k\":") + " " + OrderTest.number(output, "\"i\":"));
      }
      // The sink has no transactions, so what it had since the checkpoint is there twice.
      assertThat(seen).hasSize(2_000);
      List<String> ledger = ledger(server);
      assertThat(count(ledger, "wrong")).isEmpty();
      assertOneKeyPerCall(ledger);
      Map<String, Integer> done = count(ledger, "done");
      assertThat(done).hasSize(6_000);
      long doneTwice = done.values().stream().filter(times -> times > 1).count();
      Map<String, List<String>> repeated = repeated(ledger);
      System.out.println(
          "task failed: outputs repeated: "
              + (outputs.size() - 2_000)
              + ", calls begun again: "
              + repeated.size()
              + ", done again: "
              + doneTwice
              + ", checkpoints "
              + job.checkpointDurations());
      assertThat(doneTwice).isZero();
      assertThat(repeated.values()).allMatch(calls -> calls.size() == 1);
    }
  }

  @Test
  void records_are_in_the_savepoint_and_serve_workers_that_never_saw_the_calls() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(paying(""))) {
      TestJob first = TestJob.at(server, "savepoint").inputs(500, 500).start();
      // Each is in its second call or its third.
      first.await(
          Duration.ofSeconds(30), () -> ledgerLines(server, "begin .*") >= 1_100, "1,100 calls");
      String savepoint = first.stopWithSavepoint(folder, false);
      int emitted = first.outputCount();
      server.kill();
      server.start(paying(""));
      List<String> outputs =
          TestJob.at(server, "savepoint").inputs(500, 500).from(savepoint).start().awaitFinished();
      OrderTest.assertComplete(outputs, 500, 1);
      List<String> ledger = ledger(server);
      assertThat(count(ledger, "wrong")).isEmpty();
      assertOneKeyPerCall(ledger);
      assertThat(count(ledger, "done")).hasSize(1_500);
      Map<String, List<String>> repeated = repeated(ledger);
      System.out.println(
          "savepoint, other worker: "
              + (500 - emitted)
              + " restored, calls repeated: "
              + repeated.size());
      assertThat(emitted).isLessThan(400);
      assertThat(repeated.values()).allMatch(calls -> calls.size() == 1);
      // The first call of each was recorded long before.
      assertThat(repeated.values()).noneMatch(calls -> calls.get(0).endsWith(" 0"));
    }
  }

  @Test
  void a_pickled_value_is_in_the_savepoint_and_is_read_only_for_a_job_that_allows_it()
      throws Exception {
    String booking =
        """
        import asyncio, os
        from flink_actions import Agent, OutputEvent, action

        class Seat:
            def __init__(self, row):
                self.row = row

        async def book():
            with open("ledger", "a") as ledger:
                ledger.write("booked a seat\\n")
            return Seat(7)

        async def wait():
            if not os.path.exists("waits"):
                open("waits", "w").close()
                await asyncio.sleep(60)

        class Booking(Agent):
            @action("_input_event")
            async def work(self, event, ctx):
                seat = await ctx.durable_execute_async(book)
                # Begins when the job has the record of the other.
                await ctx.durable_execute_async(wait)
                ctx.send_event(OutputEvent(output={"k": 0, "i": 0, "row": seat.row}))

        agent = Booking()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(booking, "--allow-pickle")) {
      TestJob first = pickling(server, true).start();
      first.await(
          Duration.ofSeconds(30), () -> server.fileCount("waits") == 1, "the call is recorded");
      String savepoint = first.stopWithSavepoint(folder, false);
      server.kill();
      server.start(booking);
      assertThat(pickling(server, false).from(savepoint).start().awaitFailure())
          .hasStackTraceContaining("book: it was recorded as a pickle")
          .hasStackTraceContaining("agent.allow-pickle");
      List<String> outputs = pickling(server, true).from(savepoint).start().awaitFinished();
      assertThat(outputs).hasSize(1);
      assertThat(OrderTest.number(outputs.get(0), "\"row\":")).isEqualTo(7);
      assertThat(ledger(server)).hasSize(1);
    }
  }

  private static TestJob.Builder pickling(ActionServerProcess server, boolean isAllowed) {
    return TestJob.at(server, "pickled-value")
        .inputs(1, 1)
        .settings(settings -> settings.allowPickle(isAllowed));
  }

  @Test
  void records_of_many_bytes_come_back_over_several_frames() throws Exception {
    String large =
        """
        import asyncio, os
        from flink_actions import Agent, OutputEvent, RetryableError, action

        made = []

        async def make(n):
            made.append(n)
            return "x" * 100_000

        class Large(Agent):
            @action("_input_event", max_attempts=2, backoff=0.01)
            async def work(self, event, ctx):
                length = 0
                for n in range(60):
                    length += len(await ctx.durable_execute_async(make, n))
                if ctx.attempt == 1:
                    raise RetryableError("once")
                ctx.send_event(OutputEvent(output={"k": 0, "i": 0, "made": len(made), "length": length}))

        agent = Large()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(large)) {
      List<String> outputs =
          TestJob.at(server, "large-records").inputs(1, 1).start().awaitFinished();
      assertThat(outputs).hasSize(1);
      assertThat(OrderTest.number(outputs.get(0), "\"made\":")).isEqualTo(60);
      assertThat(OrderTest.number(outputs.get(0), "\"length\":")).isEqualTo(6_000_000);
    }
  }

  @Test
  void what_ended_an_attempt_is_called_again_and_what_went_well_is_not() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(RateLimited.agent(""))) {
      RateLimited.assertCalledAsOften(
          TestJob.at(server, "called-again").inputs(1, 1).start().awaitFinished());
    }
  }

  /** Of the two sources, one is slow until the task fails and the other afterwards. */
  private static DataStream<String> withSecondSource(DataStream<String> inputs) {
    DataStream<String> second =
        inputs
            .getExecutionEnvironment()
            .fromSource(
                new NumberSequenceSource(0, 999), WatermarkStrategy.noWatermarks(), "second")
            .uid("second")
            .setParallelism(1)
            .map(n -> "{\"k\":" + n % 50 + ",\"i\":" + (1_000 + n / 50) + "}")
            .returns(Types.STRING)
            .setParallelism(1);
    return slow(false, inputs).union(slow(true, second));
  }

  private static DataStream<String> slow(boolean afterwards, DataStream<String> stream) {
    return stream
        .map(
            text -> {
              Thread.sleep(Incidents.hasFailed() == afterwards ? 3 : 1);
              return text;
            })
        .returns(Types.STRING)
        .setParallelism(1)
        .disableChaining();
  }

  @Test
  void no_input_is_answered_with_another_s_result_when_sources_interleave_otherwise()
      throws Exception {
    // What a call gives depends on the input, and nothing that names the call says so: only the
    // invocation's id does.
    String drawing =
        """
        import asyncio, contextvars, os
        from flink_actions import Agent, OutputEvent, action

        ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        current = contextvars.ContextVar("current")

        async def draw():
            k, i = current.get()
            os.write(ledger, f"drawn {k} {i}\\n".encode())
            return i

        class Drawing(Agent):
            @action("_input_event")
            async def work(self, event, ctx):
                k, i = event.input["k"], event.input["i"]
                current.set((k, i))
                drawn = await ctx.durable_execute_async(draw)
                await asyncio.sleep(0.02)
                ctx.send_event(OutputEvent(output={"k": k, "i": i, "drawn": drawn}))

        agent = Drawing()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(drawing)) {
      TestJob job =
          TestJob.at(server, "interleaved")
              .inputs(1_000, 50)
              .before(DurableCallsTest::withSecondSource)
              .checkpoints(folder, 150, true)
              .restarts(3)
              .afterwards(outputs -> Incidents.failAt(900, outputs))
              .start();
      List<String> outputs = job.awaitFinished();
      assertThat(job.restarts()).isEqualTo(1);
      Set<String> seen = new HashSet<>();
      for (String output : outputs) {
        long i = OrderTest.number(output, "\"i\":");
        assertThat(OrderTest.number(output, "\"drawn\":")).as(output).isEqualTo(i);
        seen.add(OrderTest.number(output, "\"k\":") + " " + i);
      }
      assertThat(seen).hasSize(2_000);
      long again = count(ledger(server), "drawn").values().stream().filter(n -> n > 1).count();
      System.out.println(
          "interleaved otherwise: outputs repeated: "
              + (outputs.size() - 2_000)
              + ", inputs worked on again: "
              + again
              + ", checkpoints "
              + job.checkpointDurations());
      // Else the order was the same, and nothing was tried here.
      assertThat(again).isPositive();
    }
  }
}
