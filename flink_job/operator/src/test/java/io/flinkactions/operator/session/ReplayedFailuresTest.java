package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.flinkactions.operator.failure.ActionFailedException;
import io.flinkactions.operator.lane.Invocation;
import io.flinkactions.operator.lane.Lane;
import io.flinkactions.operator.session.ScriptedWorker.Peer;
import io.flinkactions.wire.v1.CallFailure;
import io.flinkactions.wire.v1.CallPlace;
import io.flinkactions.wire.v1.CallRecord;
import io.flinkactions.wire.v1.Failure;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.WorkerFrame;
import java.util.List;
import org.junit.jupiter.api.Test;

/** A call's exception that an attempt ended by, and whose record is in the lane all the same. */
class ReplayedFailuresTest extends ScriptedRuns {
  // Its policy is to fail the job.
  private static final String ACTION = "echo";
  private static final CallPlace PLACE = CallPlace.newBuilder().setIndex(0).build();

  private static CallRecord.Builder failed() {
    return CallRecord.newBuilder()
        .setPlace(PLACE)
        .setFunctionId("m:f")
        .setFailure(CallFailure.newBuilder().setException("RetryableError").setMessage("429"));
  }

  private static Failure failure(Invoke invoke) {
    return Failure.newBuilder()
        .setHandle(invoke.getHandle())
        .setKind(Failure.Kind.RETRYABLE)
        .setException("RetryableError")
        .setMessage("429")
        .addDropCalls(PLACE)
        .build();
  }

  private Invoke sent(Peer peer) throws Exception {
    subtask.sessions.flush();
    return peer.frame().getInvokes(0);
  }

  @Test
  void a_restored_exception_of_a_call_is_no_failure_and_the_call_is_made_again() throws Exception {
    WorkerSession session = routed();
    Lane lane =
        restored(
            "\"a\"",
            session.generation(),
            new Invocation(ACTION, 0, 0, null)
                .restoreCounts(1, 0, 0)
                .restoreCalls(List.of(failed().build().toByteString()), List.of()));
    runs.onRestored(lane);
    runs.begin();
    Peer peer = worker.peer();
    Invoke replaying = sent(peer);
    assertThat(replaying.getCallsList()).hasSize(1);

    // What the record says ends it again; it was dropped once, and the checkpoint is older.
    runs.onFailure(session, failure(replaying));
    Invoke calling = sent(peer);
    assertThat(calling.getCallsList()).isEmpty();
    assertThat(calling.getAttempt()).isEqualTo(replaying.getAttempt() + 1);
    assertThat(calling.getFailures()).isZero();

    WorkerFrame.Builder frame = WorkerFrame.newBuilder();
    runs.onCalls(session, frame.addCallsCompleted(failed().setHandle(calling.getHandle())).build());
    assertThatThrownBy(() -> runs.onFailure(session, failure(calling)))
        .isInstanceOf(ActionFailedException.class);
  }

  @Test
  void an_exception_that_was_recorded_meanwhile_counts_when_the_next_attempt_ends_by_it()
      throws Exception {
    WorkerSession session = routed();
    CallPlace other = CallPlace.newBuilder().setTask("0").build();
    runs.onRestored(
        restored(
            "\"a\"",
            session.generation(),
            new Invocation(ACTION, 0, 0, null)
                .restoreCounts(1, 0, 0)
                .restoreCalls(List.of(failed().build().toByteString()), List.of())));
    runs.begin();
    Peer peer = worker.peer();
    Invoke first = sent(peer);
    // Beside the call that is replayed, another one fails at once.
    CallRecord beside = failed().setPlace(other).setHandle(first.getHandle()).build();
    runs.onCalls(session, WorkerFrame.newBuilder().addCallsCompleted(beside).build());
    runs.onFailure(session, failure(first));
    Invoke second = sent(peer);
    assertThat(second.getCallsList())
        .extracting(CallRecord::getPlace)
        .as("else two calls that always fail would take turns for ever")
        .containsExactly(other);
    Failure failure = failure(second).toBuilder().clearDropCalls().addDropCalls(other).build();
    assertThatThrownBy(() -> runs.onFailure(session, failure))
        .isInstanceOf(ActionFailedException.class);
  }
}
