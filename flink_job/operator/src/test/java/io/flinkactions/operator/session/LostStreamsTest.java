package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.OldestFlinkOnly;
import io.flinkactions.operator.session.ScriptedWorker.Peer;
import io.flinkactions.operator.session.SessionEvent.CapacityAvailable;
import io.flinkactions.operator.session.SessionEvent.Ended;
import io.flinkactions.operator.session.SessionEvent.FrameReceived;
import io.flinkactions.operator.session.SessionEvent.Interrupted;
import io.flinkactions.operator.session.SessionEvent.Welcomed;
import io.flinkactions.wire.v1.Bye;
import io.flinkactions.wire.v1.Generation;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.OperatorFrame;
import io.flinkactions.wire.v1.Ping;
import io.flinkactions.wire.v1.Progress;
import io.flinkactions.wire.v1.Reject;
import io.flinkactions.wire.v1.Welcome;
import io.flinkactions.wire.v1.WorkerEntry;
import io.flinkactions.wire.v1.WorkerFrame;
import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What a lost stream means, and what it does not: CORRECTNESS.md 8, 9, 17, 18. */
@Timeout(60)
@OldestFlinkOnly
class LostStreamsTest {
  private static final ByteString SECOND = ByteString.copyFromUtf8("generation-2....");

  private ScriptedServer server;

  @BeforeEach
  void start() throws Exception {
    server = new ScriptedServer();
  }

  @AfterEach
  void stop() {
    server.close();
  }

  private Subtask subtask() {
    return Subtask.of(server.endpoint());
  }

  @Test
  void a_broken_stream_is_resumed_at_the_same_worker_with_the_same_start() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    try (Subtask subtask = subtask()) {
      WorkerSession first = subtask.welcomed();
      Peer before = worker.peer();
      subtask.invoke(first, 1, 2);
      before.frame();
      before.breakOff();
      Interrupted interrupted = subtask.next(Interrupted.class);
      assertThat(interrupted.session()).isSameAs(first);
      assertThat(first.isOpen()).isFalse();

      Welcomed welcomed = subtask.next(Welcomed.class);
      assertThat(welcomed.resumes()).isSameAs(first);
      WorkerSession second = welcomed.session();
      assertThat(second).isNotSameAs(first);
      assertThat(second.lastAppliedSequence()).isZero();
      Peer after = worker.peer();
      assertThat(after.hello().getHello().getStartId())
          .isEqualTo(before.hello().getHello().getStartId());
      assertThat(after.hello().getHello().getEpoch())
          .isEqualTo(before.hello().getHello().getEpoch());
      assertThat(after.hello().getHello().getWasWelcomed()).isTrue();
      subtask.invoke(second, 1, 2);
      assertThat(after.frame().getInvokesList())
          .extracting(Invoke::getHandle)
          .containsExactly(1L, 2L);
      assertThat(subtask.sessions.counters().reconnects()).isEqualTo(1);
      assertThat(subtask.nextWithin(Ended.class, 1500)).as("an end of what was resumed").isNull();
    }
  }

  @Test
  void frames_that_came_before_the_break_are_applied_before_it() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    try (Subtask subtask = subtask()) {
      WorkerSession session = subtask.welcomed();
      Peer peer = worker.peer();
      subtask.invoke(session, 1);
      peer.frame();
      peer.result(1);
      server.announce(worker.entry().setState(WorkerEntry.State.DEAD).build());
      peer.breakOff();
      assertThat(subtask.next(FrameReceived.class).frame().getResults().getHandle(0)).isEqualTo(1);
      // Which of the two is heard first, the break or the death, is chance.
      SessionEvent event = subtask.next();
      assertThat(event instanceof Interrupted ? subtask.next() : event).isInstanceOf(Ended.class);
    }
  }

  @Test
  void a_worker_that_its_supervisor_names_dead_is_given_up_at_once_with_the_suspects()
      throws Exception {
    ScriptedWorker worker = server.worker("w0");
    worker.welcomesWith(Welcome.newBuilder().setLingerMs(60_000));
    try (Subtask subtask = subtask()) {
      WorkerSession session = subtask.welcomed();
      Peer peer = worker.peer();
      worker.keepsSilent();
      peer.breakOff();
      subtask.next(Interrupted.class);
      ByteString suspect = ByteString.copyFromUtf8("invocation-00001");
      long started = System.nanoTime();
      server.announce(
          worker
              .entry()
              .setState(WorkerEntry.State.DEAD)
              .setExitReason("signal 6 (SIGABRT)")
              .setSuspectsKnown(true)
              .addSuspects(suspect)
              .build());
      Ended ended = subtask.next(Ended.class);
      assertThat(Duration.ofNanos(System.nanoTime() - started)).isLessThan(Duration.ofMillis(300));
      assertThat(ended.session()).isSameAs(session);
      assertThat(ended.workerIsDead()).isTrue();
      assertThat(ended.cause()).contains("SIGABRT");
      assertThat(ended.suspectsKnown()).isTrue();
      assertThat(ended.suspects()).containsExactly(suspect);
    }
  }

  @Test
  void a_worker_that_said_bye_and_is_dead_before_its_stream_ends_is_not_looked_for_again()
      throws Exception {
    ScriptedWorker worker = server.worker("w0");
    try (Subtask subtask = subtask()) {
      subtask.welcomed();
      Peer peer = worker.peer();
      peer.send(WorkerFrame.newBuilder().setBye(Bye.newBuilder().setReason(Bye.Reason.FINISHED)));
      peer.send(WorkerFrame.newBuilder().setPing(Ping.newBuilder().setId(7)));
      assertThat(peer.frame().getPong().getId()).as("it has read the Bye").isEqualTo(7);
      server.announce(worker, WorkerEntry.State.DEAD);
      assertThat(subtask.next(Ended.class).workerIsDead()).isFalse();
      Thread.sleep(500);
      assertThat(worker.hasPeer()).as("another attempt to reach it").isFalse();
      // A run that began in its generation would wait for it.
      assertThat(subtask.sessions.isAlive(ScriptedServer.GENERATION)).isFalse();
    }
  }

  @Test
  void a_worker_that_left_in_good_order_is_given_up_at_once_and_has_not_died() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    worker.welcomesWith(Welcome.newBuilder().setLingerMs(60_000));
    try (Subtask subtask = subtask()) {
      WorkerSession session = subtask.welcomed();
      Peer peer = worker.peer();
      worker.keepsSilent();
      peer.breakOff();
      subtask.next(Interrupted.class);
      server.announce(
          worker
              .entry()
              .setState(WorkerEntry.State.DEAD)
              .setExitReason("left as it was told")
              .setSuspectsKnown(true)
              .build());
      Ended ended = subtask.next(Ended.class);
      assertThat(ended.session()).isSameAs(session);
      assertThat(ended.workerIsDead()).isFalse();
      assertThat(ended.cause()).isEqualTo("left as it was told");
    }
  }

  @Test
  void a_worker_that_its_supervisor_lists_no_more_is_dead_with_suspects_unknown() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    try (Subtask subtask = subtask()) {
      subtask.welcomed();
      // Its stream is still open: what it may still hold is waited for a moment, then it is cut.
      server.drop(worker);
      Ended ended = subtask.next(Ended.class);
      assertThat(ended.workerIsDead()).isTrue();
      assertThat(ended.suspectsKnown()).isFalse();
    }
  }

  @Test
  void a_worker_that_stays_silent_is_given_up_after_its_linger_time_and_not_before()
      throws Exception {
    ScriptedWorker worker = server.worker("w0");
    try (Subtask subtask = subtask()) {
      WorkerSession session = subtask.welcomed();
      Peer peer = worker.peer();
      worker.keepsSilent();
      long broken = System.nanoTime();
      peer.breakOff();
      subtask.next(Interrupted.class);
      Ended ended = subtask.next(Ended.class);
      // Linger 300 ms and a grace of 200 ms.
      assertThat(Duration.ofNanos(System.nanoTime() - broken))
          .isBetween(Duration.ofMillis(500), Duration.ofMillis(2000));
      assertThat(ended.session()).isSameAs(session);
      assertThat(ended.workerIsDead()).isFalse();
      assertThat(ended.cause()).contains("300 ms", "200 ms");
      // It may still come back, as a session that resumes nothing.
      worker.welcomesAgain();
      assertThat(subtask.next(Welcomed.class, 20_000).resumes()).isNull();
    }
  }

  @Test
  void an_unanswered_ping_interrupts_the_session() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    SessionSettings settings =
        Subtask.settings(server.endpoint()).withPing(Duration.ofMillis(50), Duration.ofMillis(400));
    try (Subtask subtask = new Subtask(settings, Subtask.identity().build())) {
      WorkerSession session = subtask.welcomed();
      Interrupted interrupted = subtask.next(Interrupted.class);
      assertThat(interrupted.session()).isSameAs(session);
      assertThat(interrupted.cause()).contains("no Pong for 400 ms");
      assertThat(subtask.next(Welcomed.class).resumes()).isSameAs(session);
    }
  }

  @Test
  void a_worker_whose_frames_are_not_read_hears_that_this_side_lives_and_is_not_taken_for_dead()
      throws Exception {
    ScriptedWorker worker = server.worker("w0");
    SessionSettings settings =
        Subtask.settings(server.endpoint())
            .withPing(Duration.ofMillis(50), Duration.ofMillis(1_500));
    try (Subtask subtask = new Subtask(settings, Subtask.identity().build())) {
      WorkerSession session = subtask.welcomed();
      Peer peer = worker.peer();
      // More than is read ahead of what is applied; a Pong would stand behind it.
      ByteString megabyte = ByteString.copyFrom(new byte[1_000_000]);
      int frames = 40;
      for (int i = 0; i < frames; i++) {
        peer.send(WorkerFrame.newBuilder().addProgress(Progress.newBuilder().setPayload(megabyte)));
      }
      SessionCounters counters = subtask.sessions.counters();
      for (long before = -1; before != counters.framesReceived(); Thread.sleep(100)) {
        before = counters.framesReceived();
      }
      // Far longer than the Ping's timeout.
      long last = 0;
      for (long end = System.nanoTime() + 3_000_000_000L; System.nanoTime() < end; ) {
        OperatorFrame frame = peer.anyFrame();
        assertThat(frame).as("a Ping").isNotNull();
        last = Math.max(last, frame.getPing().getId());
      }
      assertThat(last).isGreaterThan(10);
      for (int i = 1; i <= frames; i++) {
        session.applied(subtask.next(FrameReceived.class).frame());
      }
      // Once everything is read, silence means what it always does.
      assertThat(subtask.next(Interrupted.class).cause()).contains("no Pong");
    }
  }

  @Test
  void a_replaced_supervisor_whose_workers_do_not_answer_any_more_means_they_are_dead()
      throws Exception {
    ScriptedWorker worker = server.worker("w0");
    worker.welcomesWith(Welcome.newBuilder().setLingerMs(60_000));
    try (Subtask subtask = subtask()) {
      WorkerSession session = subtask.welcomed();
      worker.peer();
      server.replaceSupervisor();
      subtask.next(CapacityAvailable.class);
      assertThat(session.isOpen()).as("an orphan serves on").isTrue();
      assertThat(subtask.sessions.route("\"k\"", ByteString.EMPTY)).isSameAs(session);
      worker.close();
      subtask.next(Interrupted.class);
      Ended ended = subtask.next(Ended.class);
      assertThat(ended.workerIsDead()).isTrue();
      assertThat(ended.cause()).contains("nothing listens");
    }
  }

  @Test
  void that_the_server_of_another_endpoint_answers_does_not_mean_that_a_worker_is_dead()
      throws Exception {
    server.worker("w0").welcomesWith(Welcome.newBuilder().setLingerMs(600));
    try (ScriptedServer other = new ScriptedServer()) {
      other.replaceSupervisorBy(
          other.unannounced("w1", "w1-incarnation-1", SECOND),
          Generation.newBuilder().setId(SECOND).build());
      SessionSettings settings =
          SessionSettings.of(server.endpoint(), other.endpoint())
              .withConnectTimeout(Duration.ofMillis(100))
              .withGrace(Duration.ofMillis(400));
      try (Subtask subtask = new Subtask(settings, Subtask.identity().build())) {
        subtask.welcomed();
        // As a wall between the machines would have it: every connection is refused.
        server.close();
        subtask.next(Interrupted.class);
        assertThat(subtask.welcomed().worker()).isEqualTo("w1");
        Ended ended = subtask.next(Ended.class);
        assertThat(ended.workerIsDead()).isFalse();
        assertThat(ended.cause()).contains("silent for its linger time");
      }
    }
  }

  @Test
  void a_directory_that_is_asked_anew_has_its_time_before_that_of_another_endpoint()
      throws Exception {
    ScriptedWorker worker = server.worker("w0");
    try (ScriptedServer other = new ScriptedServer()) {
      other.worker("elsewhere");
      SessionSettings settings =
          SessionSettings.of(server.endpoint(), other.endpoint())
              .withConnectTimeout(Duration.ofSeconds(1))
              .withGrace(Duration.ofMillis(200));
      try (Subtask subtask = new Subtask(settings, Subtask.identity().build())) {
        subtask.welcomed();
        server.refusesOnce(server.unannounced("w1", "w1-1", ScriptedServer.GENERATION));
        worker.close();
        subtask.next(Interrupted.class);
        subtask.next(Ended.class);
        // The directory has said nothing for two seconds, and nobody works.
        assertThat(subtask.welcomed().worker()).isEqualTo("w1");
      }
    }
  }

  @Test
  void only_its_own_supervisor_can_list_a_worker_no_more() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    worker.welcomesWith(Welcome.newBuilder().setLingerMs(60_000));
    try (Subtask subtask = subtask()) {
      WorkerSession session = subtask.welcomed();
      Peer peer = worker.peer();
      server.replaceSupervisor();
      // The second word of the new supervisor, who never knew of this worker.
      server.generations(Generation.newBuilder().setId(SECOND).build());
      assertThat(subtask.nextWithin(SessionEvent.class, 600)).isNull();
      subtask.invoke(session, 1);
      assertThat(peer.frame().getInvokesCount()).isEqualTo(1);
    }
  }

  @Test
  void whoever_waits_for_a_generation_is_told_when_its_last_worker_is_forgotten() throws Exception {
    ScriptedWorker old = server.worker("w0");
    try (ScriptedWorker young = new ScriptedWorker("w0", "w0-incarnation-2", SECOND);
        Subtask subtask = subtask()) {
      subtask.welcomed();
      Peer peer = old.peer();
      // Fails at once, and is no refused connection: as where a host has vanished.
      old.rejects(Reject.Reason.OVERLOADED, "as if there were no route to the host");
      peer.breakOff();
      subtask.next(Interrupted.class);
      server.replaceSupervisorBy(young, Generation.newBuilder().setId(SECOND).build());
      WorkerSession second = subtask.welcomed();
      subtask.next(Ended.class);
      assertThat(subtask.sessions.route("\"k\"", ScriptedServer.GENERATION)).isSameAs(second);
    }
  }

  @Test
  void a_directory_that_ends_says_nothing_about_the_workers() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    ScriptedServer directory = new ScriptedServer();
    directory.announce(worker.entry().setState(WorkerEntry.State.SERVING).build());
    try (Subtask subtask = Subtask.of(directory.endpoint())) {
      WorkerSession session = subtask.welcomed();
      Peer peer = worker.peer();
      directory.close();
      assertThat(subtask.nextWithin(SessionEvent.class, 500)).isNull();
      subtask.invoke(session, 1);
      assertThat(peer.frame().getInvokesCount()).isEqualTo(1);
    }
  }

  @Test
  void being_fenced_ends_the_task() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    try (Subtask subtask = subtask()) {
      subtask.welcomed();
      worker.peer().bye(Bye.Reason.FENCED, "epoch 99 took key group 3");
      assertThat(subtask.fatal(SessionException.StaleEpoch.class))
          .hasMessageContainingAll("later start", "epoch 99 took key group 3");
    }
  }

  @Test
  void a_worker_that_refuses_a_frame_fails_the_task_with_its_words() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    try (Subtask subtask = subtask()) {
      subtask.welcomed();
      worker.peer().bye(Bye.Reason.PROTOCOL_ERROR, "frame 3 after frame 1");
      assertThat(subtask.fatal(SessionException.ProtocolViolation.class))
          .hasMessageContaining("frame 3 after frame 1");
    }
  }

  @Test
  void a_process_that_answers_in_the_place_of_another_is_not_taken_for_it() throws Exception {
    ScriptedWorker worker = server.worker("w0");
    worker.welcomesWith(
        Welcome.newBuilder().setIncarnation(ByteString.copyFromUtf8("another-process")));
    try (Subtask subtask = subtask()) {
      worker.peer();
      worker.peer();
      assertThat(subtask.nextWithin(Welcomed.class, 100)).isNull();
      server.drop(worker);
      server.announce(
          worker
              .entry()
              .setIncarnation(ByteString.copyFromUtf8("another-process"))
              .setState(WorkerEntry.State.SERVING)
              .build());
      assertThat(subtask.welcomed().incarnation().toStringUtf8()).isEqualTo("another-process");
    }
  }

  @Test
  void new_runs_follow_the_last_generation_and_old_ones_stay_until_theirs_is_gone()
      throws Exception {
    ScriptedWorker old = server.worker("w0", "old");
    try (Subtask subtask = subtask();
        ScriptedWorker young = new ScriptedWorker("w0", "young", SECOND)) {
      WorkerSession first = subtask.welcomed();
      server.generations(
          Generation.newBuilder().setId(ScriptedServer.GENERATION).setIsDraining(true).build(),
          Generation.newBuilder().setId(SECOND).build());
      server.announce(young, WorkerEntry.State.SERVING);
      WorkerSession second = subtask.welcomed();
      assertThat(subtask.sessions.route("\"k\"", ByteString.EMPTY)).isSameAs(second);
      assertThat(subtask.sessions.route("\"k\"", SECOND)).isSameAs(second);
      assertThat(subtask.sessions.route("\"k\"", ScriptedServer.GENERATION)).isSameAs(first);

      server.announce(old, WorkerEntry.State.DRAINING);
      Peer peer = old.peer();
      young.peer();
      peer.breakOff();
      subtask.next(Interrupted.class);
      WorkerSession resumed = subtask.welcomed();
      assertThat(subtask.sessions.route("\"k\"", ScriptedServer.GENERATION)).isSameAs(resumed);
      server.announce(old, WorkerEntry.State.DEAD);
      subtask.next(Ended.class);
      assertThat(subtask.sessions.route("\"k\"", ScriptedServer.GENERATION)).isSameAs(second);
    }
  }

  @Test
  void the_operator_never_goes_back_behind_a_generation_that_lives() throws Exception {
    server.worker("w0", "old");
    try (Subtask subtask = subtask();
        ScriptedWorker young = new ScriptedWorker("w0", "young", SECOND)) {
      subtask.welcomed();
      server.generations(
          Generation.newBuilder().setId(ScriptedServer.GENERATION).setIsDraining(true).build(),
          Generation.newBuilder().setId(SECOND).build());
      server.announce(young, WorkerEntry.State.SERVING);
      subtask.welcomed();
      subtask.sessions.route("\"k\"", ByteString.EMPTY);
      young.keepsSilent();
      young.peer().breakOff();
      subtask.next(Interrupted.class);
      assertThat(subtask.sessions.route("\"k\"", ByteString.EMPTY)).isNull();
    }
  }
}
