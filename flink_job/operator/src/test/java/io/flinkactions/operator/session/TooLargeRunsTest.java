package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.lane.Invocation.SentEvent;
import io.flinkactions.wire.v1.Action;
import io.flinkactions.wire.v1.ContentType;
import io.flinkactions.wire.v1.FailurePolicy;
import io.flinkactions.wire.v1.Plan;
import io.flinkactions.wire.v1.Welcome;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Runs with invocations that no frame may hold. */
class TooLargeRunsTest extends ScriptedRuns {

  private static final int FRAME_BYTES = 4096;

  @BeforeEach
  void ignoreFailures() {
    FailurePolicy.Builder ignore =
        FailurePolicy.newBuilder().setDecision(FailurePolicy.Decision.IGNORE);
    Plan plan =
        Plan.newBuilder()
            .addActions(Action.newBuilder().setName("answer").setOnFailure(ignore))
            .build();
    worker.welcomesWith(Welcome.newBuilder().setPlan(plan).setMaxFrameBytes(FRAME_BYTES));
  }

  private static SentEvent tooLarge() {
    ByteString id = ByteString.copyFromUtf8("0123456789abcdef");
    ByteString payload = ByteString.copyFromUtf8("\"" + "x".repeat(FRAME_BYTES) + "\"");
    return new SentEvent("large", payload, ContentType.JSON, id, 0, "answer", id);
  }

  @Test
  void however_many_of_a_run_are_too_large_what_follows_them_is_sent() throws Exception {
    assertSentAfter(5_000, "answer", tooLarge());
  }
}
