package io.flinkactions.operator.lane;

import io.flinkactions.operator.metrics.OperatorMetrics;
import io.flinkactions.operator.session.WorkerSession;
import io.flinkactions.wire.v1.CallPlace;
import io.flinkactions.wire.v1.CallRecord;
import io.flinkactions.wire.v1.CallStarted;
import io.flinkactions.wire.v1.CallsRecorded;
import io.flinkactions.wire.v1.WorkerFrame;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Writes down what durable calls running invocations have made, and acknowledges it: with each
 * frame, one acknowledgement per invocation. From then on the call is not made again while worker
 * or checkpoint live.
 *
 * <p>A record may cross the operator's decision that its attempt is over: it is kept all the same,
 * for the next attempt. One whose invocation is over is of no use to anybody. Mailbox thread only.
 */
final class CallJournal {

  // Attempts that this side has ended and whose last records may be on their way. The oldest is
  // forgotten: then its records are not acknowledged, and the calls are made again.
  private static final int SUPERSEDED_LIMIT = 4_096;

  private record Attempt(Lane lane, Invocation invocation) {
    boolean isOfCurrentInvocation() {
      return lane.run() != null && lane.run().current() == invocation;
    }
  }

  private final Invokes invokes;
  private final Lanes lanes;
  private final OperatorMetrics metrics;
  private final Map<Long, Attempt> superseded =
      new LinkedHashMap<>() {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<Long, Attempt> eldest) {
          return size() > SUPERSEDED_LIMIT;
        }
      };

  CallJournal(Invokes invokes, Lanes lanes, OperatorMetrics metrics) {
    this.invokes = invokes;
    this.lanes = lanes;
    this.metrics = metrics;
  }

  /** Takes the records of a frame. To be called behind its Results and before its Failures. */
  void apply(WorkerSession session, WorkerFrame frame) {
    if (frame.getCallsStartedCount() == 0 && frame.getCallsCompletedCount() == 0) {
      return;
    }
    Map<Long, CallsRecorded.Builder> recorded = new LinkedHashMap<>();
    for (CallStarted started : frame.getCallsStartedList()) {
      Invocation invocation = invocation(session, started.getHandle());
      if (invocation != null) {
        invocation.calls().onStarted(started);
        add(recorded, started.getHandle(), started.getPlace());
      }
    }
    for (CallRecord completed : frame.getCallsCompletedList()) {
      long handle = completed.getHandle();
      Invocation invocation = invocation(session, handle);
      if (invocation != null) {
        invocation.calls().onCompleted(completed, invocation.handle() == handle);
        metrics.onCallRecorded();
        add(recorded, handle, completed.getPlace());
      }
    }
    recorded.values().forEach(places -> session.callsRecorded(places.build()));
  }

  private static void add(Map<Long, CallsRecorded.Builder> recorded, long handle, CallPlace place) {
    recorded.computeIfAbsent(handle, h -> CallsRecorded.newBuilder().setHandle(h)).addPlaces(place);
  }

  /** Whose record this is; null if it is over. */
  private Invocation invocation(WorkerSession session, long handle) {
    Lane lane = invokes.waitingFor(session, handle);
    if (lane == null) {
      Attempt attempt = superseded.get(handle);
      if (attempt == null || !attempt.isOfCurrentInvocation()) {
        metrics.onStaleReply();
        return null;
      }
      lane = attempt.lane();
    }
    lanes.markDirty(lane);
    return lane.run().current();
  }

  /** This side ends the attempt, and the worker may not know yet. */
  void onSuperseded(Lane lane, long handle) {
    superseded.put(handle, new Attempt(lane, lane.run().current()));
  }
}
