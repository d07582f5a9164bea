package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.failure.MissingAction;
import io.flinkactions.operator.lane.Invocation;
import io.flinkactions.operator.lane.Lane;
import org.junit.jupiter.api.Test;

/** Restored runs that wait for actions which the server's plan has no more. */
class MissingActionsTest extends ScriptedRuns {

  private static final int MANY = 20_000;

  @Test
  void however_many_of_a_run_are_left_out_what_follows_them_is_sent() throws Exception {
    missingAction = MissingAction.IGNORE;
    runs = runsOf(subtask);
    Lane lane = restored("\"a\"", ByteString.EMPTY, new Invocation("gone", 0, 0, null));
    for (int ordinal = 1; ordinal < MANY; ordinal++) {
      lane.run().add(new Invocation("gone", ordinal, 0, null));
    }
    lane.run().add(new Invocation("answer", MANY, 0, null));
    runs.onRestored(lane);
    routed();
    runs.begin();
    assertThat(keysOf(worker.peer(), 1)).containsExactly("\"a\"");
    assertThat(lane.run().current().ordinal()).isEqualTo(MANY);
    assertThat(runs.begunCount()).isEqualTo(1);
  }
}
