package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.lane.Lane;
import io.flinkactions.operator.session.ScriptedWorker.Peer;
import io.flinkactions.wire.v1.WorkerEntry;
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
}
