package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.session.CuttableServer;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Connections break while the worker lives: what it has, it keeps. */
class BlipTest {

  private static final int PROFILE_BYTES = 50_000;
  private static final int KEYS = 100;

  private static final String REMEMBERING =
      """
      import asyncio
      from flink_actions import Agent, OutputEvent, action

      class Remembering(Agent):
          @action("_input_event")
          async def count(self, event, ctx):
              memory = ctx.short_term_memory
              n = memory.get("n", default=0)
              if n == 0:
                  memory.set("profile", "x" * %d)
              await asyncio.sleep(0.02)
              memory.set("n", n + 1)
              ctx.send_event(OutputEvent(output={**event.input, "n": n + 1}))

      agent = Remembering()
      """
          .formatted(PROFILE_BYTES);

  @Test
  void cut_connections_lose_nothing_and_do_not_send_all_memory_again() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(REMEMBERING);
        CuttableServer network = new CuttableServer(server.endpoint())) {
      TestJob job =
          TestJob.at(network.endpoint(), "blip")
              .inputs(10_000, KEYS)
              .settings(settings -> settings.waitingBytes(20_000, 100_000_000))
              .start();
      for (int outputs = 2_000; outputs <= 8_000; outputs += 2_000) {
        job.awaitOutputs(outputs);
        network.cut();
      }
      List<String> outputs = job.awaitFinished();
      assertThat(job.restarts()).isZero();
      OrderTest.assertComplete(outputs, KEYS, 100);
      for (String output : outputs) {
        assertThat(OrderTest.number(output, "\"n\":"))
            .as(output)
            .isEqualTo(OrderTest.number(output, "\"i\":") + 1);
      }
      // The inputs and their envelopes take some 200 bytes each; all memory would be 5 MB each
      // time.
      assertThat(network.bytesToWorker()).isLessThan(KEYS * PROFILE_BYTES);
    }
  }

  /**
   * Each has made a call when it begins to wait, whose record is the largest part of its Invoke.
   */
  private static final String PAYING =
      """
      import asyncio, os
      from flink_actions import Agent, OutputEvent, action

      ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

      async def pay():
          return "x" * 50_000

      class Paying(Agent):
          @action("_input_event")
          async def work(self, event, ctx):
              await ctx.durable_execute_async(pay)
              os.write(ledger, f"waits {event.input['k']}\\n".encode())
              await asyncio.sleep(4)
              ctx.send_event(OutputEvent(output=event.input))

      agent = Paying()
      """;

  @Test
  void what_waits_for_credit_to_be_resumed_for_longer_than_the_linger_time_runs_on()
      throws Exception {
    int inputs = 40;
    try (ActionServerProcess server =
            ActionServerProcess.serving(
                PAYING, "--linger-seconds", "1", "--credit-bytes", "200000");
        CuttableServer network = new CuttableServer(server.endpoint())) {
      TestJob job = TestJob.at(network.endpoint(), "resumed-late").inputs(inputs, inputs).start();
      job.await(
          Duration.ofSeconds(20), () -> Ledger.ledger(server).size() == inputs, "all of them wait");
      // Their records are 2 MB: ten times the credit.
      network.cut();
      List<String> outputs = job.awaitFinished();
      assertThat(job.restarts()).isZero();
      OrderTest.assertComplete(outputs, inputs, 1);
      assertThat(Ledger.count(Ledger.ledger(server), "waits"))
          .hasSize(inputs)
          .allSatisfy((key, times) -> assertThat(times).isEqualTo(1));
    }
  }
}
