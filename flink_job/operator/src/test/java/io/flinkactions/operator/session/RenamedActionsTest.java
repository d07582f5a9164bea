package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.lane.Invocation;
import io.flinkactions.operator.lane.Lane;
import io.flinkactions.operator.lane.ReportedMetrics;
import io.flinkactions.wire.v1.Action;
import io.flinkactions.wire.v1.Failure;
import io.flinkactions.wire.v1.FailurePolicy;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.MetricDelta;
import io.flinkactions.wire.v1.Plan;
import io.flinkactions.wire.v1.Welcome;
import io.flinkactions.wire.v1.WorkerFrame;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Restored runs whose actions have other names by now. */
class RenamedActionsTest extends ScriptedRuns {

  @BeforeEach
  void rename() {
    Action.Builder renamed =
        Action.newBuilder()
            .setName("answer")
            .addFormerNames("reply")
            .setOnFailure(FailurePolicy.newBuilder().setDecision(FailurePolicy.Decision.IGNORE));
    worker.welcomesWith(Welcome.newBuilder().setPlan(Plan.newBuilder().addActions(renamed)));
  }

  @Test
  void metrics_of_a_renamed_action_are_all_under_its_name_of_today() throws Exception {
    Lane lane = restored("\"a\"", ByteString.EMPTY, new Invocation("reply", 0, 0, null));
    lane.run().add(new Invocation("reply", 1, 0, null));
    runs.onRestored(lane);
    WorkerSession session = routed();
    runs.begin();
    Invoke invoke = invokesOf(worker.peer(), 1).get(0);
    WorkerFrame frame =
        WorkerFrame.newBuilder()
            .addMetrics(
                MetricDelta.newBuilder()
                    .setHandle(invoke.getHandle())
                    .setKind(MetricDelta.Kind.COUNTER)
                    .setValue(1)
                    .setIsOfAction(true)
                    .addPath("tokens"))
            .build();
    new ReportedMetrics(runs.invokes(), metrics.user()).onFrame(session, frame);
    assertThat(metricGroup.names).containsExactly("answer");
    runs.onFailure(session, Failure.newBuilder().setHandle(invoke.getHandle()).build());
    assertThat(lane.run().current().ordinal()).isOne();
    assertThat(metricGroup.names).containsExactly("answer");
  }
}
