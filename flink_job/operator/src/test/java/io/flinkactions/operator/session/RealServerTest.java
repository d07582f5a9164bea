package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.ActionServerProcess;
import io.flinkactions.operator.OldestFlinkOnly;
import io.flinkactions.operator.session.SessionEvent.Draining;
import io.flinkactions.operator.session.SessionEvent.Ended;
import io.flinkactions.operator.session.SessionEvent.FrameReceived;
import io.flinkactions.operator.session.SessionEvent.Interrupted;
import io.flinkactions.operator.session.SessionEvent.Welcomed;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.Results;
import io.flinkactions.wire.v1.WorkerEntry;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Sessions with the server that users run, in processes that are really killed. */
@Timeout(120)
@OldestFlinkOnly
class RealServerTest {
  private static final String AGENT =
      """
      import asyncio, os, signal
      from flink_actions import Agent, OutputEvent, action

      class Peer(Agent):
          @action("_input_event")
          async def echo(self, event, ctx):
              ctx.send_event(OutputEvent(output=event.input))

          @action("_input_event")
          async def wait(self, event, ctx):
              with open("started", "a") as file:
                  file.write("started\\n")
              await asyncio.sleep(event.input)
              ctx.send_event(OutputEvent(output="waited"))

          @action("_input_event")
          async def die(self, event, ctx):
              os.kill(os.getpid(), signal.SIGKILL)

      agent = Peer()
      """;
  private static final int ECHO = 0;
  private static final int WAIT = 1;
  private static final int DIE = 2;

  private static Subtask subtask(String endpoint) {
    return new Subtask(
        Subtask.settings(endpoint),
        StartIdentity.of("namespace-1", "operator-1", "agent").job("job-1", "a job").build());
  }

  private static Invoke invoke(long handle, int action, String payload) {
    return Subtask.invoke(handle, payload).toBuilder()
        .setAction(action)
        .setInvocationId(ByteString.copyFromUtf8(String.format("%016d", handle)))
        .setEventSource(ByteString.copyFromUtf8(String.format("%016d", handle)))
        .setKey(ByteString.copyFromUtf8("\"key-" + handle + "\""))
        .build();
  }

  private static void send(Subtask subtask, WorkerSession session, Invoke... invokes) {
    for (Invoke invoke : invokes) {
      session.queue(invoke);
    }
    subtask.sessions.flush();
  }

  /** Output payload by handle, of the next frame that has results. */
  private static Map<Long, String> outputs(Subtask subtask) throws InterruptedException {
    Map<Long, String> outputs = new HashMap<>();
    FrameReceived received = subtask.next(FrameReceived.class);
    assertThat(received.frame().getFailuresList()).isEmpty();
    Results results = received.frame().getResults();
    int event = 0;
    for (int i = 0; i < results.getHandleCount(); i++) {
      assertThat(results.getEventCount(i)).isEqualTo(1);
      outputs.put(results.getHandle(i), results.getEventPayload(event++).toStringUtf8());
      received.session().closed();
    }
    received.session().applied(received.frame());
    return outputs;
  }

  @Test
  void a_thousand_invocations_go_through_a_worker_and_come_back() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(AGENT);
        Subtask subtask = subtask(server.endpoint())) {
      WorkerSession session = subtask.welcomed();
      assertThat(session.plan().getActionsList())
          .extracting(action -> action.getName())
          .containsExactly("echo", "wait", "die");
      Map<Long, String> outputs = new HashMap<>();
      for (long handle = 1; handle <= 1000; handle++) {
        assertThat(session.mayInvoke(200)).isTrue();
        send(subtask, session, invoke(handle, ECHO, "\"text " + handle + "\""));
      }
      while (outputs.size() < 1000) {
        outputs.putAll(outputs(subtask));
      }
      assertThat(outputs).containsEntry(1L, "\"text 1\"").containsEntry(1000L, "\"text 1000\"");
      SessionCounters counters = subtask.sessions.counters();
      assertThat(counters.invokesSent()).isEqualTo(1000);
      // Far more Invokes than frames: the window lets them gather.
      assertThat(counters.framesSent()).isLessThan(800);
    }
  }

  @Test
  void a_unix_socket_does_as_well(@TempDir Path folder) throws Exception {
    String socket = "unix:" + folder.resolve("server");
    try (ActionServerProcess server = ActionServerProcess.serving(AGENT, "--listen", socket);
        Subtask subtask = subtask(socket)) {
      assertThat(server.log()).contains(socket);
      WorkerSession session = subtask.welcomed();
      send(subtask, session, invoke(1, ECHO, "\"over a file\""));
      assertThat(outputs(subtask)).containsEntry(1L, "\"over a file\"");
    }
  }

  @Test
  void a_worker_that_is_killed_is_known_dead_and_its_successor_works_at_once() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(AGENT);
        Subtask subtask = subtask(server.endpoint())) {
      WorkerSession first = subtask.welcomed();
      send(subtask, first, invoke(1, DIE, "1"));
      SessionEvent event = subtask.next();
      long died = System.nanoTime();
      Ended ended = (Ended) (event instanceof Interrupted ? subtask.next() : event);
      assertThat(ended.workerIsDead()).isTrue();
      assertThat(ended.cause()).contains("SIGKILL");
      assertThat(Duration.ofNanos(System.nanoTime() - died)).isLessThan(Duration.ofMillis(500));
      WorkerSession second = subtask.welcomed();
      assertThat(second.worker()).isEqualTo(first.worker());
      assertThat(second.incarnation()).isNotEqualTo(first.incarnation());
      assertThat(second.plan()).isSameAs(first.plan());
      send(subtask, second, invoke(2, ECHO, "\"again\""));
      assertThat(outputs(subtask)).containsEntry(2L, "\"again\"");
    }
  }

  @Test
  void while_one_worker_is_dead_the_other_has_all_keys() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(AGENT, "--workers", "2");
        Subtask subtask = subtask(server.endpoint())) {
      WorkerSession one = subtask.welcomed();
      WorkerSession other = subtask.welcomed();
      Set<WorkerSession> used = new HashSet<>();
      for (int i = 0; i < 100; i++) {
        used.add(subtask.sessions.route("\"key-" + i + "\"", ByteString.EMPTY));
      }
      assertThat(used).containsExactlyInAnyOrder(one, other);
      send(subtask, one, invoke(1, DIE, "1"));
      SessionEvent event = subtask.next();
      event = event instanceof Interrupted ? subtask.next() : event;
      assertThat(((Ended) event).session()).isSameAs(one);
      for (int i = 0; i < 100; i++) {
        assertThat(subtask.sessions.route("\"key-" + i + "\"", ByteString.EMPTY)).isSameAs(other);
      }
      send(subtask, other, invoke(2, ECHO, "2"));
      assertThat(outputs(subtask)).containsEntry(2L, "2");
      assertThat(subtask.welcomed().worker()).isEqualTo(one.worker());
    }
  }

  @Test
  void a_server_that_is_killed_whole_and_started_again_is_found_by_itself() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(AGENT);
        Subtask subtask = subtask(server.endpoint())) {
      WorkerSession first = subtask.welcomed();
      send(subtask, first, invoke(1, WAIT, "60"));
      server.kill();
      subtask.next(Interrupted.class);
      server.start(AGENT + "\n# changed\n");
      long serving = System.nanoTime();
      boolean hasEnded = false;
      WorkerSession second = null;
      while (!hasEnded || second == null) {
        SessionEvent event = subtask.next();
        if (event instanceof Ended ended) {
          assertThat(ended.session()).isSameAs(first);
          assertThat(ended.workerIsDead()).isTrue();
          hasEnded = true;
        } else {
          Welcomed welcomed = (Welcomed) event;
          assertThat(welcomed.resumes()).isNull();
          second = welcomed.session();
        }
      }
      System.out.printf(
          "found %.0f ms after the server said that it serves%n",
          (System.nanoTime() - serving) / 1e6);
      send(subtask, second, invoke(1, ECHO, "\"once more\""));
      assertThat(outputs(subtask)).containsEntry(1L, "\"once more\"");
    }
  }

  @Test
  void a_server_that_is_stopped_drains_in_band() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(AGENT);
        Subtask subtask = subtask(server.endpoint())) {
      WorkerSession session = subtask.welcomed();
      send(subtask, session, invoke(1, WAIT, "1"));
      Path started = server.folder().resolve("started");
      while (!Files.exists(started)) {
        Thread.sleep(10);
      }
      Thread stopping = new Thread(() -> stop(server));
      stopping.start();
      subtask.next(Draining.class);
      assertThat(subtask.sessions.route("\"k\"", ByteString.EMPTY)).isNull();
      assertThat(outputs(subtask)).containsEntry(1L, "\"waited\"");
      Ended ended = subtask.next(Ended.class);
      assertThat(ended.session()).isSameAs(session);
      stopping.join(TimeUnit.SECONDS.toMillis(20));
    }
  }

  private static void stop(ActionServerProcess server) {
    try {
      server.stop();
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void a_cut_connection_is_resumed_and_what_runs_is_not_started_again() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(AGENT);
        ScriptedServer directory = new ScriptedServer()) {
      WorkerEntry real = CuttableServer.onlyWorkerOf(server.endpoint());
      int port = Integer.parseInt(real.getAddress().substring(real.getAddress().indexOf(':') + 1));
      try (CuttableProxy network = new CuttableProxy(port)) {
        directory.announce(real.toBuilder().setAddress(":" + network.port()).build());
        try (Subtask subtask = subtask(directory.endpoint())) {
          WorkerSession first = subtask.welcomed();
          Invoke wait = invoke(1, WAIT, "1.5");
          send(subtask, first, wait);
          Path started = server.folder().resolve("started");
          while (!Files.exists(started)) {
            Thread.sleep(10);
          }
          network.cut();
          subtask.next(Interrupted.class);
          Welcomed welcomed = subtask.next(Welcomed.class);
          assertThat(welcomed.resumes()).isSameAs(first);
          send(subtask, welcomed.session(), wait);
          assertThat(outputs(subtask)).containsEntry(1L, "\"waited\"");
          assertThat(Files.readAllLines(started)).hasSize(1);
        }
      }
    }
  }

  @Test
  void an_agent_that_the_server_does_not_offer_fails_the_task_with_its_name() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(AGENT);
        Subtask subtask =
            new Subtask(
                Subtask.settings(server.endpoint()),
                StartIdentity.of("n", "o", "no_such_agent").job("j", "j").build())) {
      assertThat(subtask.fatal(SessionException.UnknownAgent.class))
          .hasMessageContainingAll("no_such_agent", "agent");
    }
  }

  @Test
  void another_job_under_the_same_namespace_is_told_how_to_tell_them_apart() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(AGENT);
        Subtask first = subtask(server.endpoint())) {
      first.welcomed();
      try (Subtask second =
          new Subtask(
              Subtask.settings(server.endpoint()),
              StartIdentity.of("namespace-1", "operator-1", "agent").job("job-2", "b").build())) {
        assertThat(second.fatal(SessionException.NamespaceInUse.class))
            .hasMessageContaining("job-identifier");
      }
    }
  }
}
