package io.flinkactions.operator;

import static io.flinkactions.operator.Ledger.ledger;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What workers have done is theirs to hand back, whosever its key was before and is by now: one
 * dies, the others stand in for it until it has a successor, and then the task is lost, before any
 * checkpoint.
 */
class StandInTest {

  private static final int KEYS = 100;
  private static final int INPUTS = 1_200;
  private static final int BEFORE_DEATH = 400;
  private static final int FAILS_AT = 900;

  @TempDir Path folder;

  /** Two actions; each pays, which a ledger outside of all processes tells. */
  private static final String PAYING =
      """
      import asyncio, os
      from flink_actions import Agent, Event, OutputEvent, action

      ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

      async def pay(k, i, step):
          os.write(ledger, f"{os.getpid()} {k} {i} {step}\\n".encode())
          return [k, i]

      class Paying(Agent):
          @action("_input_event")
          async def begin(self, event, ctx):
              k, i = event.input["k"], event.input["i"]
              for step in range(2):
                  await ctx.durable_execute_async(pay, k, i, step)
                  await asyncio.sleep(0.01)
              ctx.short_term_memory.set("count", ctx.short_term_memory.get("count", default=0) + 1)
              ctx.send_event(Event(type="half", attributes=event.input))

          @action("half")
          async def end(self, event, ctx):
              k, i = event.attributes["k"], event.attributes["i"]
              await ctx.durable_execute_async(pay, k, i, 2)
              count = ctx.short_term_memory.get("count", default=0)
              ctx.send_event(OutputEvent(output={**event.attributes, "count": count}))

      agent = Paying()
      """;

  /** Pid and call, of each line. */
  private static Map<String, Set<String>> payers(ActionServerProcess server) {
    Map<String, Set<String>> payers = new HashMap<>();
    for (String line : ledger(server)) {
      String[] words = line.split(" ", 2);
      payers.computeIfAbsent(words[1], call -> new HashSet<>()).add(words[0]);
    }
    return payers;
  }

  @Test
  void a_task_that_is_lost_after_a_worker_has_died_repeats_only_what_the_dead_one_had()
      throws Exception {
    try (ActionServerProcess server =
        ActionServerProcess.serving(PAYING, "--workers", "3", "--spares", "0")) {
      TestJob job =
          TestJob.at(server, "stand-in")
              .inputs(INPUTS, KEYS)
              .parallelism(2)
              // None of them completes while the job runs.
              .checkpoints(folder, 3_600_000, false)
              .restarts(3)
              .before(inputs -> Incidents.holdFrom(BEFORE_DEATH / KEYS, inputs))
              .afterwards(outputs -> Incidents.failAt(FAILS_AT, outputs))
              .start();
      job.awaitOutputs(BEFORE_DEATH);
      String victim = payers(server).values().iterator().next().iterator().next();
      ProcessHandle.of(Long.parseLong(victim)).orElseThrow().destroyForcibly();
      // What comes from now on goes to those that stand in, and then to a successor as well.
      Incidents.letGo();
      List<String> outputs = job.awaitFinished();

      assertThat(job.restarts()).isEqualTo(1);
      assertThat(new HashSet<>(outputs)).hasSize(INPUTS);
      for (String output : outputs) {
        assertThat(OrderTest.number(output, "\"count\":"))
            .as(output)
            .isEqualTo(OrderTest.number(output, "\"i\":") + 1);
      }
      Map<String, Integer> times = new HashMap<>();
      ledger(server)
          .forEach(line -> times.merge(line.substring(line.indexOf(' ') + 1), 1, Integer::sum));
      assertThat(times).hasSize(3 * INPUTS);
      Map<String, Set<String>> payers = payers(server);
      long ofTheDead = payers.values().stream().filter(who -> who.contains(victim)).count();
      List<String> again =
          times.keySet().stream().filter(call -> times.get(call) > 1).sorted().toList();
      System.out.println(
          ofTheDead + " calls were made by the worker that died, " + again.size() + " again");
      assertThat(ofTheDead).isPositive();
      assertThat(again)
          .allSatisfy(
              call -> {
                assertThat(payers.get(call)).contains(victim);
                assertThat(times.get(call)).isEqualTo(2);
              });
    }
  }
}
