package io.flinkactions.operator.session;

import io.flinkactions.operator.failure.MissingAction;
import org.junit.jupiter.api.Test;

/** Restored runs that wait for actions which the server's plan has no more. */
class MissingActionsTest extends ScriptedRuns {

  @Test
  void however_many_of_a_run_are_left_out_what_follows_them_is_sent() throws Exception {
    missingAction = MissingAction.IGNORE;
    runs = runsOf(subtask);
    assertSentAfter(20_000, "gone", null);
  }
}
