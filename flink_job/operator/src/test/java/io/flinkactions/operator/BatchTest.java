package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.junit.jupiter.api.Test;

class BatchTest {

  private static final String TWO_STEPS =
      """
      import asyncio, random
      from flink_actions import Agent, Event, OutputEvent, action

      class TwoSteps(Agent):
          @action("_input_event")
          async def remember(self, event, ctx):
              await asyncio.sleep(random.random() * 0.01)
              memory = ctx.short_term_memory
              seen = memory.get("seen", default=[])
              seen.append(event.input["i"])
              memory.set("seen", seen)
              memory.set(f"by.i{event.input['i']}", event.input["k"])
              if len(seen) == 1:
                  # More than the operator keeps on its heap, of all keys together.
                  memory.set("filler", "x" * 30_000)
              ctx.sensory_memory.set("step", 1)
              ctx.send_event(Event(type="second", attributes={"input": event.input, "count": len(seen)}))

          @action("second")
          async def answer(self, event, ctx):
              await asyncio.sleep(random.random() * 0.01)
              memory = ctx.short_term_memory
              ctx.send_event(OutputEvent(output={
                  "k": event.attributes["input"]["k"], "i": event.attributes["input"]["i"],
                  "count": event.attributes["count"], "seen": memory["seen"],
                  "fields": len(memory["by"]), "step": ctx.sensory_memory.get("step")}))

      agent = TwoSteps()
      """;

  private static final String TWO_AT_ONCE =
      """
      import asyncio
      from flink_actions import Agent, OutputEvent, action

      running = 0

      class Counts(Agent):
          @action("_input_event")
          async def count(self, event, ctx):
              global running
              running += 1
              await asyncio.sleep(0.05)
              ctx.send_event(OutputEvent(output={"running": running}))
              running -= 1

      agent = Counts()
      """;

  @Test
  void batch_gives_what_streaming_gives_with_memory_and_two_steps_on_400_keys() throws Exception {
    // Without mirrors: a worker would know what the operator had forgotten.
    try (ActionServerProcess server =
        ActionServerProcess.serving(TWO_STEPS, "--memory-mirror-bytes", "0")) {
      List<String> streaming =
          job(server, "as-streaming").start().awaitFinished().stream().sorted().toList();
      List<String> batch = job(server, "as-batch").batch().start().awaitFinished();
      OrderTest.assertComplete(batch, 400, 5);
      assertThat(batch.stream().sorted().toList()).isEqualTo(streaming);
    }
  }

  @Test
  void unsorted_batch_input_keeps_the_order_of_records_without_timestamps() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(TWO_STEPS)) {
      List<String> batch =
          TestJob.at(server, "unsorted-batch")
              .inputs(2_000, 400)
              .settings(settings -> settings.unsortedBatchInput(true))
              .batch()
              .start()
              .awaitFinished();
      OrderTest.assertComplete(batch, 400, 5);
    }
  }

  @Test
  void keys_are_concurrent_in_batch() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(TWO_AT_ONCE)) {
      List<String> outputs =
          TestJob.at(server, "concurrent-batch").inputs(400, 400).batch().start().awaitFinished();
      List<Long> running = new ArrayList<>();
      outputs.forEach(output -> running.add(OrderTest.number(output, "\"running\":")));
      assertThat(running).hasSize(400);
      assertThat(running.stream().max(Long::compare).get()).isGreaterThan(100);
    }
  }

  /** Timestamps, because Flink's sort loses the order of a key's records without them. */
  private static TestJob.Builder job(ActionServerProcess server, String name) {
    return TestJob.at(server, name)
        .inputs(2_000, 400)
        .watermarks(
            WatermarkStrategy.<Long>forBoundedOutOfOrderness(Duration.ZERO)
                .withTimestampAssigner((n, previous) -> n));
  }
}
