package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.lane.Lane;
import io.flinkactions.operator.session.ScriptedWorker.Peer;
import io.flinkactions.wire.v1.Cancel;
import io.flinkactions.wire.v1.Credit;
import io.flinkactions.wire.v1.Reject;
import io.flinkactions.wire.v1.Welcome;
import io.flinkactions.wire.v1.WorkerEntry;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Runs that belong to a generation, and what becomes of them and of others when it is away. */
class PinnedRunsTest extends ScriptedRuns {
  private static final ByteString ELSEWHERE = ByteString.copyFromUtf8("generation-0....");

  @Test
  void a_run_that_waits_for_its_generation_keeps_no_other_waiting_and_goes_when_that_is_gone()
      throws Exception {
    WorkerEntry starting =
        WorkerEntry.newBuilder()
            .setWorker("w1")
            .setIncarnation(ByteString.copyFromUtf8("w1-incarnation-1"))
            .setGeneration(ELSEWHERE)
            .setState(WorkerEntry.State.STARTING)
            .build();
    server.announce(starting);
    subtask.welcomed();
    while (subtask.sessions.route("\"a\"", ELSEWHERE) != null) {
      assertThat(subtask.nextWithin(SessionEvent.CapacityAvailable.class, 5_000)).isNotNull();
    }
    Peer peer = worker.peer();
    runs.onRestored(restored("\"a\"", ELSEWHERE));
    Lane other = lanes.take("\"b\"");
    runs.onInput(other, input(other));
    assertThat(keysOf(peer, 1)).containsExactly("\"b\"");

    server.announce(starting.toBuilder().setState(WorkerEntry.State.DEAD).build());
    while (subtask.sessions.route("\"a\"", ELSEWHERE) == null) {
      assertThat(subtask.nextWithin(SessionEvent.CapacityAvailable.class, 5_000)).isNotNull();
    }
    runs.invokes().onCapacity();
    assertThat(keysOf(peer, 1)).containsExactly("\"a\"");
  }

  @Test
  void what_has_become_of_a_run_since_a_snapshot_is_in_the_next_one() throws Exception {
    Lane lane = lanes.take("\"a\"");
    runs.onInput(lane, input(lane));
    lanes.writeDirty();
    WorkerSession session = routed();
    runs.begin();
    lanes.writeDirty();
    runs.invokes().onGivenUp(session, true, null);
    lanes.writeDirty();
    assertThat(store.written).containsExactly("\"a\" waits", "\"a\" attempt 1", "\"a\" attempt 2");
  }

  @Test
  void an_attempt_that_was_ended_while_its_worker_was_away_is_cancelled_when_that_is_back()
      throws Exception {
    worker.welcomesWith(Welcome.newBuilder().setLingerMs(60_000));
    WorkerSession session = routed();
    Lane lane = lanes.take("\"a\"");
    runs.onInput(lane, input(lane));
    subtask.sessions.flush();
    Peer peer = worker.peer();
    long handle = peer.frame().getInvokes(0).getHandle();
    worker.rejects(Reject.Reason.OVERLOADED, "not now");
    peer.breakOff();
    subtask.next(SessionEvent.Interrupted.class);
    // Its limit of a millisecond, and then the grace that a worker has.
    awaitOverdue(1);
    worker.welcomesAgain();
    SessionEvent.Welcomed back = subtask.next(SessionEvent.Welcomed.class);
    assertThat(back.resumes()).isSameAs(session);
    runs.invokes().resume(session, back.session());
    subtask.sessions.flush();
    assertThat(worker.lastPeer().frame().getCancelsList())
        .containsExactly(
            Cancel.newBuilder().addHandles(handle).setReason(Cancel.Reason.TIMEOUT).build());
  }

  @Test
  void
      an_attempt_that_was_ended_before_its_session_broke_is_cancelled_again_with_each_that_resumes_it()
          throws Exception {
    worker.welcomesWith(Welcome.newBuilder().setLingerMs(60_000));
    WorkerSession session = routed();
    Lane lane = lanes.take("\"a\"");
    runs.onInput(lane, input(lane));
    subtask.sessions.flush();
    Peer peer = worker.peer();
    long handle = peer.frame().getInvokes(0).getHandle();
    Cancel cancel = Cancel.newBuilder().addHandles(handle).setReason(Cancel.Reason.TIMEOUT).build();
    awaitOverdue(1);
    subtask.sessions.flush();
    assertThat(peer.frame().getCancelsList()).containsExactly(cancel);
    for (int reconnect = 0; reconnect < 2; reconnect++) {
      peer.breakOff();
      subtask.next(SessionEvent.Interrupted.class);
      WorkerSession next = subtask.welcomed();
      runs.invokes().resume(session, next);
      subtask.sessions.flush();
      peer = worker.peer();
      assertThat(peer.frame().getCancelsList()).containsExactly(cancel);
      session = next;
    }
  }

  @Test
  void attempts_that_are_overdue_while_they_wait_to_be_resumed_are_over_like_all_others()
      throws Exception {
    worker.welcomesWith(Welcome.newBuilder().setLingerMs(60_000));
    WorkerSession first = routed();
    for (String key : List.of("\"a\"", "\"b\"")) {
      Lane lane = lanes.take(key);
      runs.onInput(lane, input(lane));
    }
    Peer peer = worker.peer();
    assertThat(keysOf(peer, 2)).containsExactly("\"a\"", "\"b\"");
    worker.welcomesWith(Welcome.newBuilder().setCredit(Credit.newBuilder().setInvocations(1)));
    peer.breakOff();
    subtask.next(SessionEvent.Interrupted.class);
    WorkerSession second = subtask.welcomed();
    runs.invokes().resume(first, second);
    peer = worker.peer();
    assertThat(keysOf(peer, 1)).containsExactly("\"a\"");

    worker.rejects(Reject.Reason.OVERLOADED, "not now");
    peer.breakOff();
    subtask.next(SessionEvent.Interrupted.class);
    runs.invokes().onCapacity();
    awaitOverdue(2);
    runs.invokes().onCapacity();
    worker.welcomesAgain();
    WorkerSession third = subtask.welcomed();
    assertThat(runs.invokes().resume(second, third)).isZero();
    subtask.sessions.flush();
    assertThat(worker.lastPeer().frame().getCancels(0).getHandlesCount()).isEqualTo(2);
  }
}
