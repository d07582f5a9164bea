package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.failure.DeadLetter;
import io.flinkactions.operator.failure.DefaultFailurePolicy;
import io.flinkactions.operator.failure.DefaultFailurePolicy.OnFailure;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FailuresTest {

  @TempDir Path folder;

  private static String agent(String options, String body) {
    return """
    import asyncio, pathlib, time
    from flink_actions import Agent, Backoff, Event, OutputEvent, RetryableError, TerminalError, action

    seen = {}

    class Failing(Agent):
        @action("_input_event", %s)
        async def work(self, event, ctx):
            k, i = event.input["k"], event.input["i"]
            first = seen.setdefault((k, i), time.time())
            tries = seen[k, i, "tries"] = seen.get((k, i, "tries"), 0) + 1
    %s
            ctx.send_event(OutputEvent(output={
                "k": k, "i": i, "tries": tries, "waited": int((time.time() - first) * 1000)}))

    agent = Failing()
    """
        .formatted(options, body.indent(8));
  }

  /** Dead letters come out where outputs do, and are told by their shape. */
  private static DataStream<String> withDeadLetters(DataStream<String> outputs) {
    return outputs.union(
        ((SingleOutputStreamOperator<String>) outputs).getSideOutput(DeadLetter.TAG));
  }

  private static boolean isDeadLetter(String text) {
    return text.startsWith("{\"agent\"");
  }

  private static List<String> lettersOf(List<String> outputs) {
    return outputs.stream().filter(FailuresTest::isDeadLetter).toList();
  }

  private static List<String> answersOf(List<String> outputs) {
    return outputs.stream().filter(text -> !isDeadLetter(text)).toList();
  }

  @Test
  void a_thousand_that_wait_for_a_retry_hold_no_worker_no_place_and_no_checkpoint()
      throws Exception {
    String limited =
        agent(
            "max_attempts=2",
            """
            if k < 1000 and tries == 1:
                raise RetryableError("429", after=2.0)
            """);
    try (ActionServerProcess server = ActionServerProcess.serving(limited)) {
      TestJob job =
          TestJob.at(server, "rate-limited")
              .inputs(2_000, 2_000)
              .settings(settings -> settings.maxRunsInFlight(50))
              .start();
      // All others are answered while the first thousand wait, though no more than 50 may run.
      job.awaitOutputs(1_000);
      long began = System.nanoTime();
      job.savepoint(folder);
      long savepointMillis = (System.nanoTime() - began) / 1_000_000;
      List<String> meanwhile = job.outputs();
      assertThat(meanwhile).allMatch(output -> OrderTest.number(output, "\"k\":") >= 1_000);
      List<String> outputs = job.awaitFinished();
      System.out.println("savepoint while 1,000 wait: " + savepointMillis + " ms");
      assertThat(savepointMillis).isLessThan(1_500);
      assertThat(job.restarts()).isZero();
      OrderTest.assertComplete(outputs, 2_000, 1);
      for (String output : outputs) {
        boolean isLimited = OrderTest.number(output, "\"k\":") < 1_000;
        assertThat(OrderTest.number(output, "\"tries\":")).isEqualTo(isLimited ? 2 : 1);
        if (isLimited) {
          assertThat(OrderTest.number(output, "\"waited\":")).isBetween(1_990L, 10_000L);
        }
      }
    }
  }

  @Test
  void what_waits_at_its_worker_for_others_of_its_action_is_not_over_time() throws Exception {
    String narrow =
        agent(
            "concurrency=2, timeout_seconds=1",
            """
            now = seen["now"] = seen.get("now", 0) + 1
            pathlib.Path(f"at-work-{now}").touch()
            await asyncio.sleep(0.3)
            seen["now"] -= 1
            """);
    try (ActionServerProcess server = ActionServerProcess.serving(narrow)) {
      // Two at a time for 0.3 s each: the last one begins when its time limit is over seven times.
      TestJob job = TestJob.at(server, "narrow").inputs(50, 50).start();
      OrderTest.assertComplete(job.awaitFinished(), 50, 1);
      assertThat(job.restarts()).isZero();
      assertThat(server.fileCount("at-work-")).isEqualTo(2);
    }
  }

  @Test
  void one_that_waits_over_a_savepoint_is_tried_again_once_and_not_before_it_is_due()
      throws Exception {
    String waiting =
        agent(
            "max_attempts=3, backoff=Backoff(3.0, jitter=0)",
            """
            pathlib.Path(f"try-{k}-{tries}-{time.time()}").touch()
            if tries == 1:
                raise ValueError("once")
            """);
    try (ActionServerProcess server = ActionServerProcess.serving(waiting)) {
      TestJob first = TestJob.at(server, "waits").inputs(20, 20).start();
      first.await(Duration.ofSeconds(20), () -> server.fileCount("try-") == 20, "20 tries");
      Thread.sleep(200);
      String savepoint = first.stopWithSavepoint(folder, false);
      assertThat(first.outputs()).isEmpty();
      List<String> outputs =
          TestJob.at(server, "waits").inputs(20, 20).from(savepoint).start().awaitFinished();
      OrderTest.assertComplete(outputs, 20, 1);
      for (String output : outputs) {
        assertThat(OrderTest.number(output, "\"tries\":")).isEqualTo(2);
        assertThat(OrderTest.number(output, "\"waited\":")).isBetween(2_990L, 10_000L);
      }
      assertThat(server.fileCount("try-")).isEqualTo(40);
    }
  }

  @Test
  void what_fails_to_the_last_attempt_is_dead_lettered_and_its_key_goes_on() throws Exception {
    String poison =
        agent(
            "max_attempts=3, backoff=0.01, on_failure='dead_letter'",
            """
            if i % 10 == 3:
                raise ValueError(f"no {i}")
            if i % 10 == 7:
                raise TerminalError("never")
            """);
    try (ActionServerProcess server = ActionServerProcess.serving(poison)) {
      TestJob job =
          TestJob.at(server, "dead-letters")
              .inputs(200, 10)
              .afterwards(FailuresTest::withDeadLetters)
              .start();
      List<String> all = job.awaitFinished();
      assertThat(job.restarts()).isZero();
      assertThat(answersOf(all)).hasSize(160);
      List<String> letters = lettersOf(all);
      assertThat(letters).hasSize(40);
      for (String letter : letters) {
        boolean isTerminal = OrderTest.number(letter, "\"i\":") % 10 == 7;
        assertThat(letter)
            .contains(isTerminal ? "\"kind\":\"TERMINAL\"" : "\"class\":\"ValueError\"")
            .contains("\"attempts\":" + (isTerminal ? 1 : 3))
            .contains("\"action\":\"work\"")
            .contains("in work");
      }
    }
  }

  private static DefaultFailurePolicy deadLetters(int attempts, Duration wait) {
    return new DefaultFailurePolicy(
        OnFailure.DEAD_LETTER, attempts, wait, 1.0, Duration.ofMinutes(1), 0.0);
  }

  @Test
  void the_job_s_default_policy_holds_for_actions_that_state_none_and_for_no_other()
      throws Exception {
    String mixed =
        """
        import pathlib
        from flink_actions import Agent, OutputEvent, action

        tries = {}

        class Mixed(Agent):
            @action("_input_event")
            async def unstated(self, event, ctx):
                k, i = event.input["k"], event.input["i"]
                n = tries[k, i] = tries.get((k, i), 0) + 1
                if n == 1 or i == 1:
                    raise ValueError(f"try {n}")
                ctx.send_event(OutputEvent(output={"k": k, "i": i, "tries": n}))

            @action("_input_event", on_failure="ignore")
            async def stated(self, event, ctx):
                k, i = event.input["k"], event.input["i"]
                pathlib.Path(f"stated-{k}-{i}-{ctx.attempt}").touch()
                raise ValueError("once and no more")

        agent = Mixed()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(mixed)) {
      TestJob job =
          TestJob.at(server, "default-policy")
              .inputs(30, 10)
              .settings(
                  settings -> settings.defaultFailurePolicy(deadLetters(3, Duration.ofMillis(10))))
              .afterwards(FailuresTest::withDeadLetters)
              .start();
      List<String> all = job.awaitFinished();
      assertThat(job.restarts()).isZero();
      assertThat(answersOf(all)).hasSize(20).allMatch(text -> text.contains("\"tries\":2"));
      assertThat(lettersOf(all))
          .hasSize(10)
          .allMatch(
              text ->
                  text.contains("\"action\":\"unstated\"")
                      && text.contains("\"attempts\":3")
                      && text.contains("try 3"));
      assertThat(server.fileCount("stated-")).isEqualTo(30);
    }
  }

  @Test
  void a_job_is_restored_with_another_default_policy_and_what_waits_for_a_retry_goes_on()
      throws Exception {
    String unstated =
        agent(
            "limit=1",
            """
            pathlib.Path(f"try-{k}-{tries}").touch()
            if tries == 1 or k % 2 == 1:
                raise ValueError(f"try {tries}")
            """);
    try (ActionServerProcess server = ActionServerProcess.serving(unstated)) {
      TestJob.Builder builder =
          TestJob.at(server, "other-default-policy")
              .inputs(20, 20)
              .afterwards(FailuresTest::withDeadLetters);
      TestJob first =
          builder
              .settings(
                  settings -> settings.defaultFailurePolicy(deadLetters(9, Duration.ofSeconds(3))))
              .start();
      first.await(Duration.ofSeconds(20), () -> server.fileCount("try-") == 20, "20 tries");
      Thread.sleep(200);
      String savepoint = first.stopWithSavepoint(folder, false);
      assertThat(first.outputs()).isEmpty();
      List<String> all =
          builder
              .settings(
                  settings -> settings.defaultFailurePolicy(deadLetters(2, Duration.ofMillis(10))))
              .from(savepoint)
              .start()
              .awaitFinished();
      assertThat(answersOf(all)).hasSize(10);
      for (String answer : answersOf(all)) {
        assertThat(OrderTest.number(answer, "\"tries\":")).isEqualTo(2);
        assertThat(OrderTest.number(answer, "\"waited\":")).isBetween(2_990L, 10_000L);
      }
      // The failure before the savepoint is one of the two that the new policy allows.
      assertThat(lettersOf(all)).hasSize(10).allMatch(text -> text.contains("\"attempts\":2"));
      assertThat(server.fileCount("try-")).isEqualTo(40);
    }
  }

  @Test
  void what_is_ignored_leaves_nothing_and_the_rest_of_its_run_goes_on() throws Exception {
    String ignoring =
        """
        from flink_actions import Agent, OutputEvent, action

        class Ignoring(Agent):
            @action("_input_event", on_failure="ignore")
            async def broken(self, event, ctx):
                ctx.send_event(OutputEvent(output={"never": "seen"}))
                ctx.sensory_memory.set("never", "seen")
                raise ValueError("ignored")

            @action("_input_event")
            async def works(self, event, ctx):
                assert not ctx.sensory_memory.is_exist("never")
                ctx.send_event(OutputEvent(output=event.input))

        agent = Ignoring()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(ignoring)) {
      List<String> outputs = TestJob.at(server, "ignored").inputs(100, 5).start().awaitFinished();
      OrderTest.assertComplete(outputs, 5, 20);
    }
  }

  @Test
  void the_last_attempt_of_a_failing_action_fails_the_job_and_says_which_it_was() throws Exception {
    String failing = agent("max_attempts=3, backoff=0.01", "raise ValueError(f'try {tries}')");
    try (ActionServerProcess server = ActionServerProcess.serving(failing)) {
      assertThat(TestJob.at(server, "last-attempt").inputs(1, 1).start().awaitFailure())
          .hasStackTraceContaining("ValueError: try 3")
          .hasStackTraceContaining("attempt 3");
    }
  }

  @Test
  void batch_waits_for_retries_too() throws Exception {
    String once =
        agent(
            "max_attempts=2, backoff=0.5",
            """
            if tries == 1:
                raise ValueError("once")
            """);
    try (ActionServerProcess server = ActionServerProcess.serving(once)) {
      List<String> outputs =
          TestJob.at(server, "batch-retries")
              .inputs(100, 50)
              .batch()
              .settings(settings -> settings.unsortedBatchInput(true))
              .start()
              .awaitFinished();
      OrderTest.assertComplete(outputs, 50, 2);
      assertThat(outputs)
          .allSatisfy(
              output -> {
                assertThat(OrderTest.number(output, "\"tries\":")).isEqualTo(2);
                assertThat(OrderTest.number(output, "\"waited\":")).isGreaterThanOrEqualTo(440);
              });
    }
  }

  @Test
  void an_attempt_over_its_time_is_cancelled_and_counts_as_a_failure() throws Exception {
    String slow =
        agent(
            "timeout_seconds=0.3, max_attempts=2, backoff=0.01",
            """
            if tries == 1:
                await asyncio.sleep(30)
            """);
    try (ActionServerProcess server = ActionServerProcess.serving(slow)) {
      List<String> outputs = TestJob.at(server, "over-time").inputs(50, 50).start().awaitFinished();
      OrderTest.assertComplete(outputs, 50, 1);
      assertThat(outputs)
          .allSatisfy(
              output -> {
                assertThat(OrderTest.number(output, "\"tries\":")).isEqualTo(2);
                assertThat(OrderTest.number(output, "\"waited\":")).isBetween(300L, 8_000L);
              });
    }
  }

  @Test
  void what_is_queued_behind_an_action_that_blocks_its_worker_is_not_over_time() throws Exception {
    String blocking =
        agent(
            "timeout_seconds=0.5, on_failure='dead_letter'",
            """
            if k == 0:
                time.sleep(8)
            """);
    try (ActionServerProcess server = ActionServerProcess.serving(blocking)) {
      // The first one holds up 999 keys, in its own frame, in later ones and on this side, for 16
      // times as long as each may run.
      TestJob job =
          TestJob.at(server, "blocked")
              .inputs(1_000, 1_000)
              .afterwards(FailuresTest::withDeadLetters)
              .start();
      List<String> all = job.awaitFinished();
      assertThat(lettersOf(all)).isEmpty();
      OrderTest.assertComplete(all, 1_000, 1);
      assertThat(all).allMatch(output -> OrderTest.number(output, "\"tries\":") == 1);
      assertThat(job.restarts()).isZero();
    }
  }

  @Test
  void what_waits_for_a_thread_is_not_over_time_nor_is_its_run() throws Exception {
    String threaded =
        """
        import time
        from flink_actions import Agent, OutputEvent, action

        class Threaded(Agent):
            @action("_input_event", timeout_seconds=1.0, on_failure="dead_letter")
            def work(self, event, ctx):
                time.sleep(0.3)
                ctx.send_event(OutputEvent(output=event.input))

        agent = Threaded()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(threaded, "--threads", "2")) {
      // Two at a time: the last one begins when its limits are over several times.
      TestJob job =
          TestJob.at(server, "threads")
              .inputs(40, 40)
              .settings(settings -> settings.runTimeout(Duration.ofMillis(1_000)))
              .afterwards(FailuresTest::withDeadLetters)
              .start();
      OrderTest.assertComplete(job.awaitFinished(), 40, 1);
      assertThat(job.restarts()).isZero();
    }
  }

  @Test
  void a_run_s_limit_counts_what_its_actions_take_and_no_wait() throws Exception {
    String chain =
        """
        import asyncio
        from flink_actions import Agent, Event, OutputEvent, RetryableError, action

        seen = set()

        class Chain(Agent):
            @action("_input_event", "again", on_failure="dead_letter", max_attempts=3)
            async def work(self, event, ctx):
                e = event.input if event.type == "_input_event" else event.attributes
                k, i, n = e["k"], e["i"], e.get("n", 0)
                if i == 0 and n == 1 and k not in seen:
                    seen.add(k)
                    raise RetryableError("wait", after=2.0)
                await asyncio.sleep(0.2)
                if n < (2 if i == 0 else 50):
                    ctx.send_event(Event(type="again", attributes={"k": k, "i": i, "n": n + 1}))
                else:
                    ctx.send_event(OutputEvent(output={"k": k, "i": i}))

        agent = Chain()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(chain)) {
      List<String> all =
          TestJob.at(server, "run-limit")
              .inputs(20, 10)
              .settings(settings -> settings.runTimeout(Duration.ofMillis(1_500)))
              .afterwards(FailuresTest::withDeadLetters)
              .start()
              .awaitFinished();
      assertThat(answersOf(all)).hasSize(10).allMatch(text -> text.contains("\"i\":0"));
      List<String> letters = lettersOf(all);
      assertThat(letters).hasSize(10);
      assertThat(letters)
          .allMatch(text -> text.contains("\"kind\":\"TIMEOUT\"") && text.contains("\"i\":1"));
    }
  }
}
