package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

/** A job that was given several servers. */
@OldestFlinkOnly
class EndpointsTest {

  private static final String ECHO =
      """
      import asyncio
      from flink_actions import Agent, OutputEvent, action

      class Echo(Agent):
          @action("_input_event")
          async def echo(self, event, ctx):
              await asyncio.sleep(0.01)
              ctx.send_event(OutputEvent(output=event.input))

      agent = Echo()
      """;

  private static TestJob.Builder job(String name, String... endpoints) {
    return TestJob.at(endpoints[0], name)
        .parallelism(2)
        .inputs(20_000, 100)
        .settings(
            settings ->
                ActionSettings.builder("agent", List.of(endpoints))
                    .waitingBytes(20_000, 100_000_000));
  }

  @Test
  void subtasks_whose_server_is_not_there_work_with_the_next() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(ECHO)) {
      String nobody = "127.0.0.1:" + FreePorts.next();
      TestJob job = job("first-is-dead", nobody, server.endpoint()).start();
      OrderTest.assertComplete(job.awaitFinished(), 100, 200);
      assertThat(job.restarts()).isZero();
    }
  }

  @Test
  void subtasks_whose_server_goes_away_for_good_go_on_with_the_next() throws Exception {
    try (ActionServerProcess first = ActionServerProcess.serving(ECHO);
        ActionServerProcess second = ActionServerProcess.serving(ECHO)) {
      TestJob job = job("first-dies", first.endpoint(), second.endpoint()).start();
      job.awaitOutputs(2_000);
      first.kill();
      OrderTest.assertComplete(job.awaitFinished(), 100, 200);
      assertThat(job.restarts()).isZero();
    }
  }
}
