package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.lane.Lane;
import io.flinkactions.operator.session.ScriptedWorker.Peer;
import io.flinkactions.wire.v1.Failure;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.Welcome;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What is left of the time limit of a run, which is what its workers have not reported as used. */
class RunLimitTest extends ScriptedRuns {
  private static final long RETRY_MILLIS = 3_600_000;

  @BeforeEach
  void limitRuns() {
    worker.welcomesWith(Welcome.newBuilder().setPlan(PLAN).setLingerMs(60_000));
    runs = runsOf(subtask, 100, 1_000);
  }

  private Invoke next(Peer peer) throws Exception {
    return invokesOf(peer, 1).get(0);
  }

  private static Failure failure(Invoke invoke, long ranMillis) {
    return Failure.newBuilder()
        .setHandle(invoke.getHandle())
        .setKind(Failure.Kind.RETRYABLE)
        .setRanMs(ranMillis)
        .build();
  }

  private Lane begin(String key) throws Exception {
    Lane lane = lanes.take(key);
    runs.onInput(lane, input(lane));
    return lane;
  }

  @Test
  void time_at_the_worker_counts_only_as_far_as_the_code_ran() throws Exception {
    WorkerSession session = routed();
    Lane lane = begin("\"a\"");
    Peer peer = worker.peer();
    Invoke first = next(peer);
    assertThat(first.getRemainingMs()).isEqualTo(1_000);
    Thread.sleep(50);
    runs.onFailure(session, failure(first, 30));
    clock.advance(RETRY_MILLIS);
    Invoke second = next(peer);
    assertThat(second.getRemainingMs()).isEqualTo(970);
    assertThat(lane.run().usedMillis()).isEqualTo(30);
  }

  @Test
  void a_break_uses_up_nothing() throws Exception {
    WorkerSession session = routed();
    begin("\"a\"");
    Peer peer = worker.peer();
    Invoke sent = next(peer);
    peer.breakOff();
    subtask.next(SessionEvent.Interrupted.class);
    Thread.sleep(50);
    WorkerSession resumed = subtask.welcomed();
    runs.invokes().resume(session, resumed);
    Invoke again = next(worker.peer());
    assertThat(again.getHandle()).isEqualTo(sent.getHandle());
    assertThat(again.getRemainingMs()).isEqualTo(1_000);
  }

  @Test
  void a_worker_that_is_given_up_uses_up_nothing_and_makes_no_failure() throws Exception {
    WorkerSession session = routed();
    Lane lane = begin("\"a\"");
    next(worker.peer());
    runs.invokes().onGivenUp(session, false, null);
    assertThat(lane.run().usedMillis()).isZero();
    assertThat(lane.run().current().failures()).isZero();
    assertThat(runs.waitingForRetryCount()).isZero();
  }
}
