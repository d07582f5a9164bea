package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.flinkactions.operator.ActionServerProcess;
import io.flinkactions.operator.OldestFlinkOnly;
import io.flinkactions.operator.session.SessionEvent.FrameReceived;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Sessions with a server that speaks TLS, asks for a certificate, and for a token. */
@Timeout(60)
@OldestFlinkOnly
class SecureServerTest {

  private static final String AGENT =
      """
      from flink_actions import Agent, OutputEvent, action

      class Echo(Agent):
          @action("_input_event")
          async def echo(self, event, ctx):
              ctx.send_event(OutputEvent(output=event.input))

      agent = Echo()
      """;

  @TempDir private static Path folder;
  private static ActionServerProcess server;

  @BeforeAll
  static void start() throws Exception {
    assumeTrue(isThere("openssl"), "needs the openssl command");
    authority("authority");
    authority("stranger");
    for (String name : List.of("server", "client")) {
      sign(name);
    }
    Files.writeString(folder.resolve("token"), "0123456789abcdef\n");
    Files.writeString(folder.resolve("other-token"), "fedcba9876543210");
    server =
        ActionServerProcess.serving(
            AGENT,
            "--tls-certificate",
            file("server.crt"),
            "--tls-key",
            file("server.key"),
            "--tls-client-ca",
            file("authority.crt"),
            "--token-file",
            file("token"));
  }

  @AfterAll
  static void stop() throws IOException {
    if (server != null) {
      server.close();
    }
  }

  private static boolean isThere(String command) {
    return List.of(System.getenv("PATH").split(":")).stream()
        .anyMatch(place -> Files.isExecutable(Path.of(place, command)));
  }

  private static String file(String name) {
    return folder.resolve(name).toString();
  }

  private static void authority(String name) throws Exception {
    openssl(newKey(name));
  }

  private static void sign(String name) throws Exception {
    openssl(
        newKey(name)
            + " -CA authority.crt -CAkey authority.key -addext subjectAltName=IP:127.0.0.1"
            + " -addext basicConstraints=critical,CA:FALSE");
  }

  private static String newKey(String name) {
    return ("req -x509 -days 2 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout"
            + " %1$s.key -out %1$s.crt -subj /CN=%1$s")
        .formatted(name);
  }

  private static void openssl(String arguments) throws Exception {
    List<String> command = new ArrayList<>(List.of("openssl"));
    command.addAll(List.of(arguments.split(" ")));
    Path log = folder.resolve("openssl.log");
    Process process =
        new ProcessBuilder(command)
            .directory(folder.toFile())
            .redirectErrorStream(true)
            .redirectOutput(log.toFile())
            .start();
    assertThat(process.waitFor(30, TimeUnit.SECONDS)).isTrue();
    assertThat(process.exitValue()).as(Files.readString(log)).isZero();
  }

  private static ChannelSecurity security(String ca, String pair, String token) {
    return new ChannelSecurity(
        true,
        file(ca + ".crt"),
        pair.isEmpty() ? "" : file(pair + ".crt"),
        pair.isEmpty() ? "" : file(pair + ".key"),
        "",
        token.isEmpty() ? "" : file(token));
  }

  private static Subtask subtask(ChannelSecurity security) {
    return subtask(security, 20);
  }

  private static Subtask subtask(ChannelSecurity security, int reconnectSeconds) {
    return new Subtask(
        Subtask.settings(server.endpoint())
            .withSecurity(security)
            .withReconnectTimeout(Duration.ofSeconds(reconnectSeconds)),
        StartIdentity.of("namespace-1", "operator-1", "agent").job("job-1", "a job").build());
  }

  @Test
  void with_all_that_the_server_asks_for_work_goes_and_comes_encrypted() throws Exception {
    try (Subtask subtask = subtask(security("authority", "client", "token"))) {
      WorkerSession session = subtask.welcomed();
      subtask.invoke(session, 1, 2);
      List<Long> answered = new ArrayList<>();
      while (answered.size() < 2) {
        FrameReceived received = subtask.next(FrameReceived.class);
        answered.addAll(received.frame().getResults().getHandleList());
        session.applied(received.frame());
      }
      Collections.sort(answered);
      assertThat(answered).containsExactly(1L, 2L);
    }
  }

  @Test
  void without_the_token_or_with_another_the_job_fails_at_once_and_says_what_is_wanted()
      throws Exception {
    for (String token : List.of("", "other-token")) {
      try (Subtask subtask = subtask(security("authority", "client", token))) {
        assertThat(subtask.fatal(SessionException.Unauthenticated.class))
            .hasMessageContainingAll(server.endpoint(), "wants a token", "agent.token-file")
            .hasMessageNotContaining("fedcba");
      }
    }
  }

  @Test
  void a_server_whose_certificate_nobody_known_has_signed_is_not_talked_to() throws Exception {
    try (Subtask subtask = subtask(security("stranger", "client", "token"), 4)) {
      assertThat(subtask.fatal(SessionException.ServerUnreachable.class))
          .hasMessageContaining("PKIX path building failed")
          .hasMessageNotContaining("Channel Pipeline");
    }
  }

  @Test
  void a_server_of_another_name_is_not_talked_to() throws Exception {
    ChannelSecurity right = security("authority", "client", "token");
    ChannelSecurity misnamed =
        new ChannelSecurity(
            true, right.ca(), right.certificate(), right.key(), "elsewhere", right.tokenFile());
    try (Subtask subtask = subtask(misnamed, 4)) {
      assertThat(subtask.fatal(SessionException.ServerUnreachable.class))
          .hasMessageContaining("elsewhere");
    }
  }

  @Test
  void without_a_certificate_or_without_tls_the_server_answers_nothing() throws Exception {
    for (ChannelSecurity wrong :
        List.of(security("authority", "", "token"), ChannelSecurity.NONE)) {
      try (Subtask subtask = subtask(wrong, 2)) {
        subtask.fatal(SessionException.ServerUnreachable.class);
      }
    }
  }

  @Test
  void a_file_that_holds_no_certificate_is_named() throws Exception {
    Files.writeString(folder.resolve("garbled.crt"), "no certificate");
    Files.writeString(folder.resolve("garbled.key"), "no key");
    for (ChannelSecurity wrong :
        List.of(
            security("garbled", "client", "token"), security("authority", "garbled", "token"))) {
      try (Subtask subtask = subtask(wrong)) {
        assertThat(subtask.fatal(SessionException.Unauthenticated.class))
            .hasMessageContainingAll("agent.tls names", "garbled.crt", "in PEM");
      }
    }
  }

  @Test
  void a_file_that_is_not_there_is_named() throws Exception {
    for (ChannelSecurity wrong :
        List.of(
            security("missing", "client", "token"),
            security("authority", "missing", "token"),
            security("authority", "client", "missing"))) {
      try (Subtask subtask = subtask(wrong)) {
        assertThat(subtask.fatal(SessionException.Unauthenticated.class))
            .hasMessageContainingAll("agent.t", "missing", "cannot be read");
      }
    }
  }

  @Test
  void half_of_a_protection_is_refused_while_the_job_is_built() {
    assertThatThrownBy(() -> new ChannelSecurity(true, "", "a.crt", "", "", ""))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("tls.key");
    assertThatThrownBy(() -> new ChannelSecurity(false, "a.crt", "", "", "", ""))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("tls.enabled");
  }

  @Test
  void the_name_to_expect_is_the_endpoints_host_for_its_workers_too() {
    ChannelSecurity tls = new ChannelSecurity(true, "", "", "", "", "");
    assertThat(tls.authority("10.0.0.7:4711", "agents.local:7077")).isEqualTo("agents.local");
    assertThat(tls.authority("10.0.0.7:4711", "dns:///agents.local:7077"))
        .isEqualTo("agents.local");
    assertThat(tls.authority("[::1]:4711", "[::1]:7077")).isEqualTo("[::1]");
    assertThat(tls.authority("unix:/run/a", "unix:/run/a")).isNull();
    assertThat(ChannelSecurity.NONE.authority("a:1", "a:1")).isNull();
  }
}
