package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.lane.Lane;
import io.flinkactions.operator.lane.ResultsCursor;
import io.flinkactions.wire.v1.Results;
import org.junit.jupiter.api.Test;

/** A Result that changes memory is applied to the memory that it was computed on, or not at all. */
class MemoryBasesTest extends ScriptedRuns {
  private static ResultsCursor changing(long handle, ByteString base) {
    ResultsCursor cursor =
        new ResultsCursor(
            Results.newBuilder()
                .addHandle(handle)
                .addShortTermCount(1)
                .addMemoryPath("n")
                .addMemoryValue(ByteString.copyFromUtf8("1"))
                .addMemoryBase(base)
                .addMemoryVersion(ByteString.copyFromUtf8("version2"))
                .build());
    cursor.next();
    return cursor;
  }

  @Test
  void a_result_that_was_computed_on_other_memory_than_the_keys_fails_the_task_and_changes_nothing()
      throws Exception {
    WorkerSession session = routed();
    Lane lane = lanes.take("\"a\"");
    runs.onInput(lane, input(lane));
    subtask.sessions.flush();
    long handle = worker.peer().frame().getInvokes(0).getHandle();
    ByteString base = lane.memoryVersion();

    assertThatThrownBy(
            () -> runs.onResult(session, changing(handle, ByteString.copyFromUtf8("another_"))))
        .isInstanceOf(SessionException.ProtocolViolation.class)
        .hasMessageContaining("\"a\"");
    assertThat(lane.memoryVersion()).isEqualTo(base);
  }
}
