package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.lane.Lane;
import io.flinkactions.operator.session.ScriptedWorker.Peer;
import io.flinkactions.wire.v1.Bye;
import io.flinkactions.wire.v1.OperatorFrame;
import io.flinkactions.wire.v1.WorkerFrame;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Workers are told of mirrors that no Invoke will build on, beside what is said to them anyhow. */
@Timeout(60)
class ForgottenMirrorsTest extends ScriptedRuns {

  private static final ByteString A = ByteString.copyFromUtf8("\"a\"");

  private WorkerSession session;
  private Peer peer;

  @BeforeEach
  void connect() throws Exception {
    lanes.uselessMirrors().tell(subtask.sessions::forgetMirror);
    session = routed();
    peer = worker.peer();
  }

  /** One input of this key, to its end; gives back what the operator said with it. */
  private OperatorFrame run(String key) throws Exception {
    Lane lane = lanes.take(key);
    runs.onInput(lane, input(lane));
    subtask.sessions.flush();
    OperatorFrame said = peer.frame();
    // Answered, by a Result that sends nothing.
    assertThat(runs.invokes().takeAnswered(session, said.getInvokes(0).getHandle())).isSameAs(lane);
    peer.send(WorkerFrame.newBuilder().setAck(said.getSequence()));
    lane.removeFirstInput();
    lanes.onIdle(lane);
    return said;
  }

  private void fillTheHeap() throws Exception {
    for (int i = 0; i < 100; i++) {
      lanes.onIdle(lanes.take("\"idle " + i + "\""));
    }
  }

  @Test
  void a_key_whose_lane_has_left_the_heap_is_forgotten() throws Exception {
    run("\"a\"");
    assertThat(run("\"b\"").getForgetKeysList()).isEmpty();
    fillTheHeap();
    assertThat(run("\"c\"").getForgetKeysList())
        .containsExactly(A, ByteString.copyFromUtf8("\"b\""));
  }

  @Test
  void a_key_that_comes_back_at_once_is_not() throws Exception {
    run("\"a\"");
    fillTheHeap();
    assertThat(run("\"a\"").getForgetKeysList()).isEmpty();
  }

  @Test
  void a_session_that_has_ended_is_told_nothing() throws Exception {
    run("\"a\"");
    peer.bye(Bye.Reason.FINISHED, "drained");
    subtask.next(SessionEvent.Ended.class);
    fillTheHeap();
    assertThat(subtask.sessions.openSessions()).isEqualTo(List.of());
  }

  @Test
  void a_key_that_goes_to_another_session_is_forgotten_by_the_first() throws Exception {
    run("\"a\"");
    Lane lane = lanes.take("\"a\"");
    lanes.uselessMirrors().onSent(lane.claim(), session.token(), lane.keyBytes());
    assertThat(run("\"b\"").getForgetKeysList()).as("it stays where it is").isEmpty();
    lanes.uselessMirrors().onSent(lane.claim(), new Object(), lane.keyBytes());
    assertThat(run("\"c\"").getForgetKeysList()).containsExactly(A);
  }
}
