package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.failure.DeadLetter;
import java.util.List;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PoisonTest {

  /** Waits as the others do, and then kills its process: in its own step, where that is seen. */
  private static final String IN_A_STEP =
      """
              if event.input["k"] == 500:
                  os.abort()
      """;

  /** From a thread that nobody knows of: nothing tells who it was. */
  private static final String IN_A_THREAD =
      """
              if event.input["k"] == 500:
                  threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGKILL)).start()
                  await asyncio.sleep(60)
      """;

  private static String poison(double wait, String how, double rest) {
    return """
    import asyncio, os, signal, threading
    from flink_actions import Agent, OutputEvent, action

    class Poison(Agent):
        @action("_input_event")
        async def work(self, event, ctx):
            await asyncio.sleep(%s)
    %s
            await asyncio.sleep(%s)
            ctx.send_event(OutputEvent(output={**event.input, "attempt": ctx.attempt}))

    agent = Poison()
    """
        .formatted(wait, how, rest);
  }

  private static List<String> run(ActionServerProcess server, String name, int parallelism)
      throws Exception {
    TestJob job =
        TestJob.at(server, name)
            .inputs(1_000, 1_000)
            .parallelism(parallelism)
            .afterwards(
                outputs ->
                    outputs.union(
                        ((SingleOutputStreamOperator<String>) outputs)
                            .getSideOutput(DeadLetter.TAG)))
            .start();
    List<String> all = job.awaitFinished();
    assertThat(job.restarts()).isZero();
    return all;
  }

  /** That one input was dead-lettered and all others were answered; returns the letter. */
  private static String theOnlyLetter(List<String> all) {
    List<String> letters = all.stream().filter(text -> text.startsWith("{\"agent\"")).toList();
    assertThat(letters).hasSize(1);
    assertThat(letters.get(0)).contains("\"input\":{\"k\":500,", "\"class\":\"WorkerDied\"");
    List<String> answers = all.stream().filter(text -> !text.startsWith("{\"agent\"")).toList();
    assertThat(OrderTest.indicesByKey(answers)).hasSize(999);
    assertThat(answers).hasSize(999);
    return letters.get(0);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void of_a_thousand_only_the_one_that_kills_its_worker_is_dead_lettered(int parallelism)
      throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(poison(0.3, IN_A_STEP, 0.7))) {
      List<String> all = run(server, "poison-" + parallelism, parallelism);
      // Where all work, and three times alone.
      assertThat(theOnlyLetter(all)).contains("\"worker_deaths\":4");
      assertThat(server.log()).contains("worker q0 (pid").doesNotContain("reloaded");
      // The others have lost the worker with it once.
      assertThat(all).noneMatch(text -> text.contains("\"attempt\":3"));
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void where_nothing_tells_who_it_was_it_is_found_by_halves_and_no_other_is_dead_lettered(
      int parallelism) throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(poison(0.1, IN_A_THREAD, 0.2))) {
      List<String> all = run(server, "hidden-poison-" + parallelism, parallelism);
      String letter = theOnlyLetter(all);
      // Twice where all work, once for each half of a half, and three times alone.
      assertThat(OrderTest.number(letter, "\"worker_deaths\":")).isBetween(5L, 16L);
      System.out.println(
          "found after " + OrderTest.number(letter, "\"worker_deaths\":") + " deaths");
    }
  }

  @Test
  void several_that_kill_their_workers_are_all_found() throws Exception {
    String several = IN_A_THREAD.replace("== 500", "in (7, 500, 501)");
    try (ActionServerProcess server = ActionServerProcess.serving(poison(0.1, several, 0.2))) {
      List<String> all = run(server, "poisons", 2);
      assertThat(all.stream().filter(text -> text.contains("\"class\":\"WorkerDied\""))).hasSize(3);
      assertThat(all.stream().filter(text -> text.contains("\"attempt\":")))
          .hasSizeGreaterThan(996);
      assertThat(all).hasSize(1_000);
    }
  }
}
