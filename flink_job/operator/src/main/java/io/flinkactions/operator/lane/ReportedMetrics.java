package io.flinkactions.operator.lane;

import io.flinkactions.operator.metrics.UserMetrics;
import io.flinkactions.operator.session.WorkerSession;
import io.flinkactions.wire.v1.MetricDelta;
import io.flinkactions.wire.v1.WorkerFrame;
import java.util.HashSet;
import java.util.Set;

/**
 * Metrics that ride beside the outcomes of a frame. They count if somebody waits for the attempt's
 * answer, and also if it comes too late because this side has ended the attempt: what was paid was
 * paid. Should the worker answer the next attempt with that Result they count twice. Mailbox thread
 * only.
 */
public final class ReportedMetrics {

  private final Invokes invokes;
  private final UserMetrics metrics;

  public ReportedMetrics(Invokes invokes, UserMetrics metrics) {
    this.invokes = invokes;
    this.metrics = metrics;
  }

  /** A frame has come and none of it has been applied: what it answers is still open. */
  public void onFrame(WorkerSession session, WorkerFrame frame) {
    if (frame.getMetricsCount() == 0) {
      return;
    }
    Set<Long> replayed = new HashSet<>(frame.getResults().getHandedBackList());
    for (MetricDelta delta : frame.getMetricsList()) {
      String action = invokes.actionOf(session, delta.getHandle());
      if (action != null) {
        metrics.apply(action, delta, replayed.contains(delta.getHandle()));
      }
    }
  }
}
