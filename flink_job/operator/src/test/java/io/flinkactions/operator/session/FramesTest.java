package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.OldestFlinkOnly;
import io.flinkactions.operator.session.ScriptedWorker.Peer;
import io.flinkactions.operator.session.SessionEvent.CapacityAvailable;
import io.flinkactions.operator.session.SessionEvent.Draining;
import io.flinkactions.operator.session.SessionEvent.Ended;
import io.flinkactions.operator.session.SessionEvent.FrameReceived;
import io.flinkactions.wire.v1.Bye;
import io.flinkactions.wire.v1.Cancel;
import io.flinkactions.wire.v1.Credit;
import io.flinkactions.wire.v1.Drain;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.OperatorFrame;
import io.flinkactions.wire.v1.Ping;
import io.flinkactions.wire.v1.Pong;
import io.flinkactions.wire.v1.Progress;
import io.flinkactions.wire.v1.Welcome;
import io.flinkactions.wire.v1.WorkerFrame;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
@OldestFlinkOnly
class FramesTest {
  private ScriptedServer server;
  private ScriptedWorker worker;
  private Subtask subtask;

  @BeforeEach
  void start() throws Exception {
    server = new ScriptedServer();
    worker = server.worker("w0");
  }

  private WorkerSession connect() throws Exception {
    subtask = Subtask.of(server.endpoint());
    return subtask.welcomed();
  }

  @AfterEach
  void stop() {
    if (subtask != null) {
      subtask.close();
    }
    server.close();
  }

  @Test
  void what_is_queued_goes_at_once_in_numbered_frames_within_the_window() throws Exception {
    WorkerSession session = connect();
    Peer peer = worker.peer();
    subtask.invoke(session, 1);
    subtask.invoke(session, 2, 3);
    subtask.invoke(session, 4, 5, 6);
    OperatorFrame first = peer.frame();
    assertThat(first.getSequence()).isEqualTo(1);
    assertThat(first.getInvokesList()).containsExactly(Subtask.invoke(1));
    assertThat(peer.frame().getInvokesCount()).isEqualTo(2);
    assertThat(peer.frameWithin(200)).as("a third frame in a window of two").isNull();
    subtask.invoke(session, 7);

    peer.send(WorkerFrame.newBuilder().setAck(1));
    OperatorFrame third = peer.frame();
    assertThat(third.getSequence()).isEqualTo(3);
    assertThat(third.getInvokesList())
        .extracting(Invoke::getHandle)
        .containsExactly(4L, 5L, 6L, 7L);
  }

  @Test
  void control_messages_need_no_window_and_no_credit() throws Exception {
    worker.welcomesWith(Welcome.newBuilder().setCredit(Credit.newBuilder().setInvocations(2)));
    WorkerSession session = connect();
    Peer peer = worker.peer();
    subtask.invoke(session, 1);
    subtask.invoke(session, 2);
    peer.frame();
    peer.frame();
    subtask.invoke(session, 3);
    session.cancel(List.of(1L), Cancel.Reason.TIMEOUT);
    session.checkpointCompleted(7, 0);
    session.forgetKey(ByteString.copyFromUtf8("\"gone\""));
    subtask.sessions.flush();
    OperatorFrame control = peer.frame();
    assertThat(control.getSequence()).isZero();
    assertThat(control.getInvokesCount()).isZero();
    assertThat(control.getCancels(0).getHandlesList()).containsExactly(1L);
    assertThat(control.getCancels(0).getReason()).isEqualTo(Cancel.Reason.TIMEOUT);
    assertThat(control.getCheckpointCompleted().getCheckpointId()).isEqualTo(7);
    assertThat(control.getForgetKeysList()).containsExactly(ByteString.copyFromUtf8("\"gone\""));
  }

  @Test
  void credit_that_comes_wakes_whoever_had_found_none() throws Exception {
    worker.welcomesWith(
        Welcome.newBuilder().setCredit(Credit.newBuilder().setInvocations(1).setBytes(10_000)));
    WorkerSession session = connect();
    Peer peer = worker.peer();
    assertThat(session.mayInvoke(100)).isTrue();
    subtask.invoke(session, 1);
    assertThat(session.mayInvoke(100)).isFalse();
    peer.frame();
    peer.send(
        WorkerFrame.newBuilder().setCredit(Credit.newBuilder().setInvocations(3).setBytes(10_000)));
    subtask.next(CapacityAvailable.class);
    assertThat(session.mayInvoke(100)).isTrue();
    assertThat(session.mayInvoke(20_000)).as("over the byte credit").isFalse();
    subtask.invoke(session, 2, 3);
    // In one frame, or in two if netty's thread came in between.
    int invokes = 0;
    while (invokes < 2) {
      invokes += peer.frame().getInvokesCount();
    }
    assertThat(invokes).isEqualTo(2);
    // The same totals again are no more credit.
    peer.send(
        WorkerFrame.newBuilder().setCredit(Credit.newBuilder().setInvocations(3).setBytes(10_000)));
    assertThat(session.mayInvoke(100)).isFalse();
  }

  @Test
  void one_invocation_may_always_go_when_none_is_open() throws Exception {
    worker.welcomesWith(
        Welcome.newBuilder().setCredit(Credit.newBuilder().setInvocations(1).setBytes(10)));
    WorkerSession session = connect();
    Peer peer = worker.peer();
    for (long handle = 1; handle <= 3; handle++) {
      assertThat(session.mayInvoke(1_000_000)).isTrue();
      subtask.invoke(session, handle);
      assertThat(session.mayInvoke(1)).isFalse();
      assertThat(peer.frame().getInvokes(0).getHandle()).isEqualTo(handle);
      peer.send(WorkerFrame.newBuilder().setAck(handle).setResults(ScriptedWorker.results(handle)));
      FrameReceived received = subtask.next(FrameReceived.class);
      session.applied(received.frame());
      session.closed();
      subtask.next(CapacityAvailable.class);
    }
  }

  @Test
  void an_invoke_over_the_frame_limit_is_named_before_it_is_sent_and_the_session_goes_on()
      throws Exception {
    WorkerSession session = connect();
    Peer peer = worker.peer();
    Invoke large = Subtask.invoke(13, "x".repeat(2 << 20));
    assertThatThrownBy(() -> session.queue(large))
        .isInstanceOf(SessionException.MessageTooLarge.class)
        .hasMessageContainingAll("echo", "\"key-3\"", "" + large.getSerializedSize(), "1048512");
    subtask.invoke(session, 14);
    assertThat(peer.frame().getInvokes(0).getHandle()).isEqualTo(14);
    assertThat(session.mayInvoke(1)).isTrue();
  }

  @Test
  void a_single_invoke_may_fill_a_frame_to_the_limit() throws Exception {
    WorkerSession session = connect();
    Peer peer = worker.peer();
    int room = session.maxInvokeBytes() - Subtask.invoke(1, "").getSerializedSize() - 4;
    session.queue(Subtask.invoke(1, "x".repeat(room)));
    session.checkpointCompleted(1, 0);
    session.forgetKey(ByteString.copyFrom(new byte[1000]));
    subtask.sessions.flush();
    OperatorFrame control = peer.frame();
    OperatorFrame invoke = peer.frame();
    assertThat(control.getForgetKeysCount()).isEqualTo(1);
    assertThat(invoke.getInvokesCount()).isEqualTo(1);
    assertThat(invoke.getSerializedSize())
        .isLessThanOrEqualTo(1 << 20)
        .isGreaterThan((1 << 20) - 200);
  }

  @Test
  void the_end_of_a_session_comes_behind_all_its_frames() throws Exception {
    WorkerSession session = connect();
    Peer peer = worker.peer();
    subtask.invoke(session, 1, 2, 3);
    peer.frame();
    peer.result(1);
    peer.result(2, 3);
    peer.bye(Bye.Reason.FINISHED, "drained");
    for (int frames = 1; frames <= 2; frames++) {
      FrameReceived received = subtask.next(FrameReceived.class);
      assertThat(received.session()).isSameAs(session);
      assertThat(session.isOpen()).isTrue();
      session.applied(received.frame());
      assertThat(session.lastAppliedSequence()).isEqualTo(frames);
    }
    Ended ended = subtask.next(Ended.class);
    assertThat(ended.session()).isSameAs(session);
    assertThat(ended.cause()).contains("drained");
    assertThat(ended.workerIsDead()).isFalse();
    assertThat(session.isOpen()).isFalse();
  }

  @Test
  void a_drain_takes_the_session_out_of_the_routing() throws Exception {
    WorkerSession session = connect();
    Peer peer = worker.peer();
    peer.send(
        WorkerFrame.newBuilder()
            .setDrain(Drain.newBuilder().setReason(Drain.Reason.RELOAD).setLimitMs(5000)));
    Draining draining = subtask.next(Draining.class);
    assertThat(draining.reason()).isEqualTo(Drain.Reason.RELOAD);
    assertThat(draining.limit()).isEqualTo(Duration.ofSeconds(5));
    assertThat(subtask.sessions.route("\"k\"", ByteString.EMPTY)).isNull();
    assertThat(subtask.sessions.route("\"k\"", ScriptedServer.GENERATION)).isSameAs(session);
    peer.send(
        WorkerFrame.newBuilder().setDrain(Drain.newBuilder().setReason(Drain.Reason.SHUTDOWN)));
    subtask.next(Draining.class);
    assertThat(subtask.sessions.route("\"k\"", ScriptedServer.GENERATION)).isNull();
    assertThat(session.isOpen()).isTrue();
  }

  @Test
  void a_ping_is_answered_without_the_mailbox() throws Exception {
    connect();
    Peer peer = worker.peer();
    peer.send(WorkerFrame.newBuilder().setPing(Ping.newBuilder().setId(77)));
    assertThat(peer.frame().getPong().getId()).isEqualTo(77);
  }

  @Test
  void a_quiet_session_is_pinged_and_what_its_worker_says_of_itself_is_known() throws Exception {
    connect();
    Peer peer = worker.peer();
    OperatorFrame frame = peer.anyFrame();
    assertThat(frame.hasPing()).isTrue();
    peer.send(
        WorkerFrame.newBuilder()
            .setPong(
                Pong.newBuilder()
                    .setId(frame.getPing().getId())
                    .setLoopLagUs(4321)
                    .setKeptBytes(5)
                    .setKeptDropped(6)
                    .setKeptMissed(7)));
    OperatorFrame next = peer.anyFrame();
    assertThat(next.getPing().getId()).isEqualTo(frame.getPing().getId() + 1);
    assertThat(subtask.sessions.counters().loopLagMicros()).isEqualTo(4321);
    assertThat(subtask.sessions.counters().keptBytes()).isEqualTo(5);
    assertThat(subtask.sessions.counters().keptDropped()).isEqualTo(6);
    assertThat(subtask.sessions.counters().keptMissed()).isEqualTo(7);
    assertThat(subtask.sessions.counters().roundTripMicros()).isPositive();
  }

  @Test
  void bytes_that_are_no_frame_fail_the_task_with_a_violation() throws Exception {
    connect();
    worker.peer().sendAsIs(new byte[] {(byte) 0xff, (byte) 0xff, 1, 2, 3});
    assertThat(subtask.fatal(SessionException.ProtocolViolation.class))
        .hasMessageContaining("no WorkerFrame");
  }

  @Test
  void a_gap_in_the_numbers_of_frames_is_a_violation() throws Exception {
    connect();
    worker.peer().sendAsIs(WorkerFrame.newBuilder().setSequence(2).build().toByteArray());
    assertThat(subtask.fatal(SessionException.ProtocolViolation.class))
        .hasMessageContaining("frame 2 after frame 0");
  }

  @Test
  void an_acknowledgement_of_what_was_never_sent_is_a_violation() throws Exception {
    connect();
    worker.peer().send(WorkerFrame.newBuilder().setAck(5));
    assertThat(subtask.fatal(SessionException.ProtocolViolation.class))
        .hasMessageContaining("acknowledgement of frame 5");
  }

  @Test
  void columns_that_do_not_fit_together_are_a_violation() throws Exception {
    connect();
    worker
        .peer()
        .send(
            WorkerFrame.newBuilder()
                .setResults(ScriptedWorker.results(1).addEventType("_output_event")));
    assertThat(subtask.fatal(SessionException.ProtocolViolation.class))
        .hasMessageContaining("per-event column");
  }

  @Test
  void a_frame_over_the_limit_of_hello_fails_the_task_with_the_limit() throws Exception {
    SessionSettings settings = Subtask.settings(server.endpoint()).withMaxFrameBytes(100_000);
    subtask = new Subtask(settings, Subtask.identity().build());
    subtask.welcomed();
    worker
        .peer()
        .send(
            WorkerFrame.newBuilder()
                .addProgress(
                    Progress.newBuilder().setPayload(ByteString.copyFrom(new byte[200_000]))));
    assertThat(subtask.fatal(SessionException.ProtocolViolation.class))
        .hasMessageContaining("100000");
  }

  @Test
  void reading_stops_at_a_bound_while_nothing_is_applied_and_goes_on_afterwards() throws Exception {
    WorkerSession session = connect();
    Peer peer = worker.peer();
    byte[] megabyte = new byte[1_000_000];
    int frames = 60;
    for (int i = 0; i < frames; i++) {
      peer.send(
          WorkerFrame.newBuilder()
              .addProgress(Progress.newBuilder().setPayload(ByteString.copyFrom(megabyte))));
    }
    SessionCounters counters = subtask.sessions.counters();
    for (long before = -1; before != counters.framesReceived(); Thread.sleep(300)) {
      before = counters.framesReceived();
    }
    // 16 MiB, and what had been asked for before the bound was reached.
    assertThat(counters.framesReceived()).isBetween(16L, 40L);
    for (int i = 1; i <= frames; i++) {
      session.applied(subtask.next(FrameReceived.class).frame());
      assertThat(session.lastAppliedSequence()).isEqualTo(i);
    }
  }

  @Test
  void closing_says_bye_last_and_waits_for_the_peer_no_longer_than_agreed() throws Exception {
    WorkerSession session = connect();
    Peer peer = worker.peer();
    subtask.invoke(session, 1);
    subtask.sessions.closeFinished();
    assertThat(peer.frame().getInvokesCount()).isEqualTo(1);
    assertThat(peer.frame().getBye().getReason()).isEqualTo(Bye.Reason.FINISHED);
    assertThat(peer.end()).isEqualTo("completed");
    subtask.sessions.close();
    for (Thread thread : Thread.getAllStackTraces().keySet()) {
      if (thread.getName().startsWith("flink-actions-echo")) {
        // An executor has terminated a moment before its last thread has.
        thread.join(5_000);
        assertThat(thread.isAlive()).isFalse();
      }
    }
  }
}
