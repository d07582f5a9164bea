package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.FreePorts;
import io.flinkactions.operator.OldestFlinkOnly;
import io.flinkactions.operator.session.ScriptedWorker.Peer;
import io.flinkactions.operator.session.SessionEvent.Fatal;
import io.flinkactions.operator.session.SessionEvent.NoServer;
import io.flinkactions.operator.session.SessionEvent.Welcomed;
import io.flinkactions.wire.v1.AgentDigest;
import io.flinkactions.wire.v1.Generation;
import io.flinkactions.wire.v1.Hello;
import io.flinkactions.wire.v1.Reject;
import io.flinkactions.wire.v1.Welcome;
import io.flinkactions.wire.v1.WorkerEntry;
import io.flinkactions.wire.v1.WorkerFrame;
import io.grpc.Server;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(60)
@OldestFlinkOnly
class HandshakeTest {
  private ScriptedServer server;

  @BeforeEach
  void start() throws Exception {
    server = new ScriptedServer();
  }

  @AfterEach
  void stop() {
    server.close();
  }

  @Test
  void hello_says_who_starts_and_nothing_else_goes_before_welcome() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    worker.keepsSilent();
    StartIdentity identity =
        Subtask.identity()
            .subtask(2, 4, 128)
            .keyGroups(64, 95)
            .epoch(1234)
            .hasCheckpoints(true)
            .build();
    try (Subtask subtask = new Subtask(Subtask.settings(server.endpoint()), identity)) {
      Peer peer = worker.peer();
      Hello hello = peer.hello().getHello();
      assertThat(hello.getNamespace()).isEqualTo("namespace-1");
      assertThat(hello.getOperatorUid()).isEqualTo("operator-1");
      assertThat(hello.getAgent()).isEqualTo("echo");
      assertThat(hello.getSubtask()).isEqualTo(2);
      assertThat(hello.getKeyGroupFirst()).isEqualTo(64);
      assertThat(hello.getKeyGroupLast()).isEqualTo(95);
      assertThat(hello.getEpoch()).isEqualTo(1234);
      assertThat(hello.getStartId()).isEqualTo(identity.startId()).hasSize(16);
      assertThat(hello.getWasWelcomed()).isFalse();
      assertThat(hello.getHasCheckpoints()).isTrue();
      assertThat(peer.hello()).isEqualTo(peer.hello().toBuilder().clear().setHello(hello).build());
      subtask.sessions.flush();
      assertThat(peer.frameWithin(200)).isNull();
      assertThat(subtask.sessions.route("\"k\"", ByteString.EMPTY)).isNull();

      peer.sendAsIs(worker.welcome().build().toByteArray());
      WorkerSession session = subtask.welcomed();
      assertThat(session.worker()).isEqualTo("w0");
      assertThat(session.plan()).isEqualTo(ScriptedWorker.PLAN);
      assertThat(identity.wasWelcomed()).isTrue();
      assertThat(subtask.sessions.route("\"k\"", ByteString.EMPTY)).isSameAs(session);
    }
  }

  @Test
  void a_worker_that_says_nothing_is_asked_again() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    worker.keepsSilent();
    SessionSettings settings =
        Subtask.settings(server.endpoint()).withConnectTimeout(Duration.ofMillis(200));
    try (Subtask subtask = new Subtask(settings, Subtask.identity().build())) {
      assertThat(worker.peer().end()).isEqualTo("aborted");
      worker.welcomesAgain();
      subtask.welcomed();
    }
  }

  @ParameterizedTest
  @CsvSource({
    "PROTOCOL_VERSION, ProtocolVersion",
    "UNKNOWN_AGENT, UnknownAgent",
    "PLAN_MISMATCH, PlanMismatch",
    "CONTENT_TYPE, ContentTypeRefused",
    "UNAUTHENTICATED, Unauthenticated",
    "MALFORMED, ProtocolViolation",
  })
  void a_final_reject_fails_the_task_with_its_own_error_and_the_servers_words(
      Reject.Reason reason, String error) throws Exception {
    server.worker("w0").rejects(reason, "because of this");
    try (Subtask subtask = Subtask.of(server.endpoint())) {
      SessionException fatal = subtask.next(Fatal.class).error();
      assertThat(fatal.getClass().getSimpleName()).isEqualTo(error);
      assertThat(fatal).hasMessageContaining("because of this");
      assertThat(subtask.nextWithin(SessionEvent.class, 300)).isNull();
    }
  }

  @ParameterizedTest
  @CsvSource({"DRAINING", "OVERLOADED", "NAMESPACE_IN_USE"})
  void a_passing_reject_is_followed_by_another_attempt(Reject.Reason reason) throws Exception {
    ScriptedWorker worker = server.worker("w0");
    worker.rejects(reason, "not now");
    try (Subtask subtask = Subtask.of(server.endpoint())) {
      worker.peer();
      worker.peer();
      worker.welcomesAgain();
      subtask.welcomed();
    }
  }

  @Test
  void a_start_that_was_never_welcomed_raises_its_epoch_above_the_known_one() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    worker.answers(
        frame ->
            frame.getHello().getEpoch() > 5000
                ? worker.welcome().build()
                : WorkerFrame.newBuilder()
                    .setReject(
                        Reject.newBuilder()
                            .setReason(Reject.Reason.STALE_EPOCH)
                            .setKnownEpoch(5000))
                    .build());
    StartIdentity identity = Subtask.identity().epoch(1000).build();
    try (Subtask subtask = new Subtask(Subtask.settings(server.endpoint()), identity)) {
      subtask.welcomed();
      assertThat(identity.epoch()).isEqualTo(5001);
    }
  }

  @Test
  void a_start_that_was_welcomed_and_is_told_that_it_is_stale_ends() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    StartIdentity identity = Subtask.identity().epoch(1000).build();
    try (Subtask subtask = new Subtask(Subtask.settings(server.endpoint()), identity)) {
      subtask.welcomed();
      worker.answers(
          frame ->
              WorkerFrame.newBuilder()
                  .setReject(
                      Reject.newBuilder()
                          .setReason(Reject.Reason.STALE_EPOCH)
                          .setMessage("subtask 0 is stale")
                          .setKnownEpoch(5000))
                  .build());
      worker.peer().breakOff();
      subtask.next(SessionEvent.Interrupted.class);
      assertThat(worker.peer().hello().getHello().getWasWelcomed()).isTrue();
      assertThat(subtask.fatal(SessionException.StaleEpoch.class))
          .hasMessageContainingAll("subtask 0 is stale", "5000", "1000");
      assertThat(identity.epoch()).isEqualTo(1000);
    }
  }

  @Test
  void a_plan_travels_once_and_stays_the_same_object() throws Exception {
    server.generations(
        Generation.newBuilder()
            .setId(ScriptedServer.GENERATION)
            .addAgents(
                AgentDigest.newBuilder()
                    .setAgent("echo")
                    .setPlanDigest(ScriptedWorker.PLAN.getDigest()))
            .build());
    ScriptedWorker worker = server.worker("w0");
    worker.answers(
        frame -> {
          WorkerFrame.Builder welcome = worker.welcome();
          if (!frame.getHello().getKnownPlanDigest().isEmpty()) {
            welcome.getWelcomeBuilder().clearPlan();
          }
          return welcome.build();
        });
    try (Subtask subtask = Subtask.of(server.endpoint())) {
      WorkerSession first = subtask.welcomed();
      Peer peer = worker.peer();
      assertThat(peer.hello().getHello().getKnownPlanDigest()).isEmpty();
      peer.breakOff();
      subtask.next(SessionEvent.Interrupted.class);
      Welcomed second = subtask.next(Welcomed.class);
      assertThat(worker.peer().hello().getHello().getKnownPlanDigest())
          .isEqualTo(ScriptedWorker.PLAN.getDigest());
      assertThat(second.plan()).isSameAs(first.plan());
    }
  }

  @Test
  void a_welcome_without_a_plan_that_is_unknown_here_is_a_violation() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    worker.answers(
        frame -> {
          WorkerFrame.Builder welcome = worker.welcome();
          welcome.getWelcomeBuilder().clearPlan();
          return welcome.build();
        });
    try (Subtask subtask = Subtask.of(server.endpoint())) {
      assertThat(subtask.fatal(SessionException.ProtocolViolation.class))
          .hasMessageContaining("without the plan");
    }
  }

  @Test
  void work_before_welcome_is_a_violation() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    worker.answers(frame -> WorkerFrame.newBuilder().setResults(ScriptedWorker.results(1)).build());
    try (Subtask subtask = Subtask.of(server.endpoint())) {
      assertThat(subtask.fatal(SessionException.ProtocolViolation.class))
          .hasMessageContaining("neither Welcome nor Reject");
    }
  }

  @Test
  void a_server_of_another_protocol_names_both_versions_and_the_way_out() throws Exception {
    server.protocols(2, 3);
    try (Subtask subtask = Subtask.of(server.endpoint())) {
      assertThat(subtask.fatal(SessionException.ProtocolVersion.class))
          .hasMessageContainingAll(server.endpoint(), "9.9", "2 to 3", "speaks 1", "Upgrade");
    }
  }

  @Test
  void a_job_pointed_at_no_server_says_so_while_it_waits_then_fails_with_the_address()
      throws Exception {
    String nobody = nobody();
    SessionSettings settings =
        SessionSettings.of(nobody).withReconnectTimeout(Duration.ofMillis(1800));
    try (Subtask subtask = new Subtask(settings, Subtask.identity().build())) {
      NoServer notice = subtask.next(NoServer.class);
      assertThat(notice.detail()).contains(nobody, "refused");
      assertThat(notice.since()).isGreaterThanOrEqualTo(Duration.ofSeconds(1));
      assertThat(subtask.fatal(SessionException.ServerUnreachable.class))
          .hasMessageContainingAll(nobody, "reconnect-timeout", "refused", "flink-actions serve");
      assertThat(subtask.sessions.counters().state()).isEqualTo("failed");
    }
  }

  @Test
  void a_job_whose_server_comes_later_finds_it_at_once() throws Exception {
    String address = nobody();
    try (Subtask subtask = new Subtask(Subtask.settings(address), Subtask.identity().build())) {
      assertThat(subtask.nextWithin(Welcomed.class, 1500)).isNull();
      ScriptedWorker worker = server.worker("w0");
      long started = System.nanoTime();
      Server late = serveAt(address);
      try {
        subtask.welcomed();
        // It was away for 1.5 s: a twentieth of that, and what a loaded machine adds.
        assertThat(Duration.ofNanos(System.nanoTime() - started))
            .isLessThan(Duration.ofMillis(600));
        worker.peer();
      } finally {
        late.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
      }
    }
  }

  @Test
  void a_directory_without_a_serving_worker_is_told_in_words() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    server.announce(
        worker.entry().setState(WorkerEntry.State.STARTING).setExitReason("exit code 1").build());
    SessionSettings settings =
        Subtask.settings(server.endpoint()).withReconnectTimeout(Duration.ofMillis(500));
    try (Subtask subtask = new Subtask(settings, Subtask.identity().build())) {
      assertThat(subtask.fatal(SessionException.ServerUnreachable.class))
          .hasMessageContainingAll(server.endpoint(), "w0 STARTING", "exit code 1");
    }
  }

  @Test
  void another_grpc_service_at_the_address_is_no_action_server() throws Exception {
    Server other =
        NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0)).build().start();
    try (Subtask subtask = Subtask.of("127.0.0.1:" + other.getPort())) {
      assertThat(subtask.fatal(SessionException.NotAnActionServer.class))
          .hasMessageContainingAll("127.0.0.1:" + other.getPort(), "flink-actions serve");
    } finally {
      other.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    }
  }

  @Test
  void subtasks_begin_with_endpoints_of_their_own() throws Exception {
    try (ScriptedServer other = new ScriptedServer()) {
      ScriptedWorker first = server.worker("w0");
      ScriptedWorker second = other.worker("w1");
      SessionSettings both = SessionSettings.of(server.endpoint(), other.endpoint());
      for (int subtask = 0; subtask < 4; subtask++) {
        StartIdentity identity = Subtask.identity().subtask(subtask, 4, 128).build();
        try (Subtask started = new Subtask(both, identity)) {
          assertThat(started.welcomed().worker()).isEqualTo(subtask % 2 == 0 ? "w0" : "w1");
        }
      }
    }
  }

  @Test
  void a_subtask_whose_endpoints_cannot_be_reached_goes_on_to_the_one_that_can() throws Exception {
    server.worker("w0");
    SessionSettings settings =
        SessionSettings.of(nobody(), nobody(), server.endpoint())
            .withConnectTimeout(Duration.ofMillis(300));
    try (Subtask subtask = new Subtask(settings, Subtask.identity().build())) {
      assertThat(subtask.welcomed().worker()).isEqualTo("w0");
    }
  }

  @Test
  void a_subtask_stays_with_its_endpoint_while_a_server_is_started_anew_there() throws Exception {
    server.worker("w0");
    try (ScriptedServer other = new ScriptedServer()) {
      other.worker("w1");
      String own = nobody();
      SessionSettings settings = SessionSettings.of(own, other.endpoint());
      try (Subtask subtask = new Subtask(settings, Subtask.identity().build())) {
        assertThat(subtask.nextWithin(Welcomed.class, 1500)).isNull();
        Server late = serveAt(own);
        try {
          assertThat(subtask.welcomed().worker()).isEqualTo("w0");
        } finally {
          late.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
        }
      }
    }
  }

  @Test
  void a_job_none_of_whose_servers_is_there_fails_with_all_addresses() throws Exception {
    String[] nobodies = {nobody(), nobody()};
    SessionSettings settings =
        SessionSettings.of(nobodies)
            .withConnectTimeout(Duration.ofMillis(100))
            .withReconnectTimeout(Duration.ofMillis(700));
    try (Subtask subtask = new Subtask(settings, Subtask.identity().build())) {
      assertThat(subtask.fatal(SessionException.ServerUnreachable.class))
          .hasMessageContainingAll(nobodies);
    }
  }

  private static String nobody() {
    return "127.0.0.1:" + FreePorts.next();
  }

  /** The scripted server at another address, too. */
  private Server serveAt(String address) throws Exception {
    int port = Integer.parseInt(address.substring(address.indexOf(':') + 1));
    return NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", port))
        .addService(server)
        .build()
        .start();
  }

  @Test
  void limits_of_welcome_that_make_no_sense_are_violations() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    worker.welcomesWith(Welcome.newBuilder().setMaxFrameBytes(10));
    try (Subtask subtask = Subtask.of(server.endpoint())) {
      assertThat(subtask.fatal(SessionException.ProtocolViolation.class))
          .hasMessageContaining("max_frame_bytes 10");
    }
  }
}
