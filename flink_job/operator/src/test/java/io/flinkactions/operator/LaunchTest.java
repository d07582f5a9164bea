package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.flinkactions.operator.launch.LaunchException;
import io.flinkactions.operator.launch.LaunchSettings;
import io.flinkactions.operator.launch.LaunchedAgent;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Jobs that start their server themselves. */
class LaunchTest {

  private static final String ECHO =
      """
      from flink_actions import Agent, OutputEvent, action

      class Echo(Agent):
          @action("_input_event")
          async def echo(self, event, ctx):
              ctx.send_event(OutputEvent(output=event.input))

      agent = Echo()
      """;

  @TempDir Path folder;

  private static TestJob.Builder job(String name, LaunchSettings launch) {
    return TestJob.at("127.0.0.1:1", name)
        .parallelism(2)
        .settings(settings -> ActionSettings.builder("agent", launch));
  }

  @Test
  void a_job_starts_a_server_for_all_its_subtasks_and_leaves_none_behind() throws Exception {
    LaunchSettings launch = LaunchedAgent.in(folder, ECHO);
    TestJob job = job("launch", launch).start();
    OrderTest.assertComplete(job.awaitFinished(), 10, 100);
    assertThat(job.restarts()).isZero();
    assertThat(LaunchedAgent.find(launch.targets().get(0))).isEmpty();
  }

  @Test
  void a_job_whose_agent_does_not_load_fails_in_the_server_s_words() throws Exception {
    TestJob job = job("launch-broken", LaunchedAgent.in(folder, "1 / 0\n")).start();
    assertThatThrownBy(job::awaitFinished)
        .rootCause()
        .isInstanceOf(LaunchException.class)
        .hasMessageContainingAll("agent.py", "ZeroDivisionError");
  }
}
