package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.state.MemoryTtl;
import java.time.Duration;
import org.junit.jupiter.api.Test;

class MemoryTtlJobTest {

  private static final String FORGETFUL =
      """
      import asyncio
      from flink_actions import Agent, Event, OutputEvent, action

      class Forgetful(Agent):
          @action("_input_event")
          async def remember(self, event, ctx):
              ctx.short_term_memory["user.name"] = "Ann"
              ctx.send_event(Event(type="wait"))

          @action("wait")
          async def wait(self, event, ctx):
              await asyncio.sleep(0.5)
              ctx.send_event(Event(type="recall"))

          @action("recall")
          async def recall(self, event, ctx):
              ctx.send_event(OutputEvent(output=len(ctx.short_term_memory)))

      agent = Forgetful()
      """;

  @Test
  void memory_is_gone_when_its_time_is_over() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(FORGETFUL)) {
      assertThat(job(server, "memory-expires").start().awaitFinished()).containsExactly("0");
    }
  }

  @Test
  void in_batch_it_lives_for_ever() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(FORGETFUL)) {
      assertThat(job(server, "memory-stays").batch().start().awaitFinished()).containsExactly("1");
    }
  }

  /** Less than the action between writing and reading takes. */
  private static TestJob.Builder job(ActionServerProcess server, String name) {
    return TestJob.at(server, name)
        .inputs(1, 1)
        .settings(settings -> settings.shortTermMemoryTtl(MemoryTtl.of(Duration.ofMillis(100))));
  }
}
