package io.flinkactions.operator.lane;

import io.flinkactions.operator.metrics.UserMetrics;
import io.flinkactions.operator.plan.UnsupportedPlanException;
import io.flinkactions.operator.session.WorkerSession;
import io.flinkactions.wire.v1.MetricDelta;
import io.flinkactions.wire.v1.WorkerFrame;
import java.util.HashSet;
import java.util.Set;

/**
 * Metrics that ride beside the outcomes of a frame: those whose attempt still waits for its answer
 * count, once. Mailbox thread only.
 */
public final class ReportedMetrics {

  private final Invokes invokes;
  private final UserMetrics metrics;

  public ReportedMetrics(Invokes invokes, UserMetrics metrics) {
    this.invokes = invokes;
    this.metrics = metrics;
  }

  /** A frame has come and none of it has been applied: its attempts are open. */
  public void onFrame(WorkerSession session, WorkerFrame frame) throws UnsupportedPlanException {
    if (frame.getMetricsCount() == 0) {
      return;
    }
    Set<Long> replayed = new HashSet<>(frame.getResults().getHandedBackList());
    for (MetricDelta delta : frame.getMetricsList()) {
      Lane lane = invokes.waitingFor(session, delta.getHandle());
      if (lane != null) {
        metrics.apply(
            invokes.actionName(lane, session), delta, replayed.contains(delta.getHandle()));
      }
    }
  }
}
