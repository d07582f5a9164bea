package io.flinkactions.operator.launch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.flinkactions.operator.OldestFlinkOnly;
import java.io.BufferedReader;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(90)
@OldestFlinkOnly
class LaunchedServerTest {

  private static final String AGENT =
      """
      from flink_actions import Agent, OutputEvent, action

      class Echo(Agent):
          @action("_input_event")
          async def echo(self, event, ctx):
              ctx.send_event(OutputEvent(output=event.input))

      agent = Echo()
      """;

  @TempDir Path folder;

  private static LaunchedServer open(LaunchSettings settings) throws Exception {
    return LaunchedServer.open(settings, () -> {});
  }

  /** What the only share in such a server is told. */
  private static void assertFailure(LaunchSettings settings, String... words) throws Exception {
    CountDownLatch failed = new CountDownLatch(1);
    try (LaunchedServer server = LaunchedServer.open(settings, failed::countDown)) {
      assertThat(failed.await(30, TimeUnit.SECONDS)).isTrue();
      assertThatThrownBy(server::check)
          .isInstanceOf(LaunchException.class)
          .hasMessageContainingAll(words);
    }
  }

  @Test
  void all_who_share_the_settings_share_a_server_and_the_last_one_ends_it() throws Exception {
    LaunchSettings settings = LaunchedAgent.in(folder, AGENT).withWorkers(2);
    ProcessHandle process;
    String endpoint;
    try (LaunchedServer last = open(settings)) {
      try (LaunchedServer first = open(LaunchedAgent.in(folder, AGENT).withWorkers(2))) {
        endpoint = first.endpoint();
        assertThat(last.endpoint()).isEqualTo(endpoint);
      }
      process = LaunchedAgent.awaitListening(endpoint);
      try (LaunchedServer other = open(settings.withWorkers(1))) {
        assertThat(other.endpoint()).isNotEqualTo(endpoint);
      }
      assertThat(process.isAlive()).isTrue();
    }
    assertThat(process.isAlive()).isFalse();
    assertThat(Path.of(endpoint.substring("unix:".length())).getParent()).doesNotExist();
  }

  @Test
  void one_that_is_killed_is_started_again_at_the_same_address() throws Exception {
    try (LaunchedServer server = open(LaunchedAgent.in(folder, AGENT))) {
      ProcessHandle killed = LaunchedAgent.awaitListening(server.endpoint());
      killed.destroyForcibly();
      LaunchedAgent.awaitAnother(server.endpoint(), killed);
      server.check();
    }
  }

  @Test
  void a_jvm_that_is_killed_takes_its_server_along() throws Exception {
    LaunchSettings settings = LaunchedAgent.in(folder, AGENT);
    Process jvm =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                LaunchingMain.class.getName(),
                settings.targets().get(0),
                settings.python())
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start();
    try (BufferedReader said = jvm.inputReader()) {
      String endpoint = said.lines().filter(line -> line.startsWith("unix:")).findFirst().get();
      ProcessHandle server = LaunchedAgent.awaitListening(endpoint);
      List<ProcessHandle> workers = server.descendants().toList();
      assertThat(workers).isNotEmpty();
      jvm.destroyForcibly();
      LaunchedAgent.awaitEnd(server);
      for (ProcessHandle worker : workers) {
        LaunchedAgent.awaitEnd(worker);
      }
    } finally {
      jvm.destroyForcibly();
    }
  }

  @Test
  void what_does_not_load_is_told_in_the_server_s_own_words() throws Exception {
    assertFailure(
        LaunchedAgent.in(folder, "import no_such_package\n"), "agent.py", "no_such_package");
  }

  @Test
  void a_target_that_is_not_there_is_told_with_its_path() throws Exception {
    assertFailure(
        LaunchSettings.of("nowhere/agent.py:agent").withPython(LaunchedAgent.python()),
        "there is no file nowhere/agent.py");
  }

  @Test
  void an_interpreter_that_is_not_there_is_told_with_the_setting() throws Exception {
    assertFailure(
        LaunchedAgent.in(folder, AGENT).withPython("/nowhere/python"),
        "/nowhere/python",
        "launch.python");
  }

  @Test
  void what_nobody_has_foreseen_is_told_too() throws Exception {
    assertFailure(
        LaunchedAgent.in(folder, AGENT).withPython("/nowhere/\0python"),
        "does not start",
        "InvalidPathException");
  }

  @Test
  void one_that_ends_after_a_good_life_has_started() {
    LaunchSettings settings = LaunchSettings.of("agent.py:agent");
    assertThat(LaunchException.ended(settings, 1, Duration.ofHours(2), "a defect"))
        .hasMessageContaining("has ended with exit code 1, 7200 s after its start: a defect")
        .hasMessageNotContaining("does not start");
    assertThat(LaunchException.ended(settings, 1, Duration.ofSeconds(2), "no such file"))
        .hasMessageContaining("does not start: no such file");
  }

  @Test
  void whoever_comes_after_a_failure_tries_again() throws Exception {
    LaunchSettings settings = LaunchedAgent.in(folder, "import no_such_package\n");
    CountDownLatch failed = new CountDownLatch(1);
    try (LaunchedServer broken = LaunchedServer.open(settings, failed::countDown)) {
      assertThat(failed.await(30, TimeUnit.SECONDS)).isTrue();
      assertThatThrownBy(broken::check).isInstanceOf(LaunchException.class);
      try (LaunchedServer mended = open(LaunchedAgent.in(folder, AGENT))) {
        LaunchedAgent.awaitListening(mended.endpoint());
        mended.check();
      }
    }
  }
}
