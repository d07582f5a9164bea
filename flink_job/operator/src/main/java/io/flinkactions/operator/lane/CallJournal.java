package io.flinkactions.operator.lane;

import io.flinkactions.operator.metrics.OperatorMetrics;
import io.flinkactions.operator.plan.PlannedAction;
import io.flinkactions.operator.plan.Plans;
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
  private final Plans plans;
  // Null: the job has no action state store.
  private final StoredCalls stored;
  private final Map<Long, Attempt> superseded =
      new LinkedHashMap<>() {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<Long, Attempt> eldest) {
          return size() > SUPERSEDED_LIMIT;
        }
      };

  CallJournal(
      Invokes invokes, Lanes lanes, OperatorMetrics metrics, Plans plans, StoredCalls stored) {
    this.invokes = invokes;
    this.lanes = lanes;
    this.metrics = metrics;
    this.plans = plans;
    this.stored = stored;
  }

  /** Takes the records of a frame. To be called behind its Results and before its Failures. */
  void apply(WorkerSession session, WorkerFrame frame) throws Exception {
    if (frame.getCallsStartedCount() == 0 && frame.getCallsCompletedCount() == 0) {
      return;
    }
    Map<Long, CallsRecorded.Builder> recorded = new LinkedHashMap<>();
    for (CallStarted started : frame.getCallsStartedList()) {
      take(session, started.getHandle(), CallRecords.ofStarted(started), recorded);
    }
    for (CallRecord completed : frame.getCallsCompletedList()) {
      take(session, completed.getHandle(), completed, recorded);
    }
    recorded.values().forEach(places -> session.callsRecorded(places.build()));
  }

  /** Of level synchronous, the store acknowledges it later. */
  private void take(
      WorkerSession session,
      long handle,
      CallRecord record,
      Map<Long, CallsRecorded.Builder> recorded)
      throws Exception {
    Lane lane = lane(session, handle);
    if (lane == null) {
      return;
    }
    if (isSynchronous(session, lane)) {
      if (stored.write(lane, session, handle, record)) {
        return;
      }
    } else {
      Invocation invocation = lane.run().current();
      if (record.getStartedOnly()) {
        invocation.calls().onStarted(record);
      } else {
        invocation.calls().onCompleted(record, invocation.handle() == handle);
        metrics.onCallRecorded();
      }
      lanes.markDirty(lane);
    }
    add(recorded, handle, record.getPlace());
  }

  private boolean isSynchronous(WorkerSession session, Lane lane) throws Exception {
    if (stored == null) {
      return false;
    }
    PlannedAction action = plans.read(session.plan()).action(lane.run().current().action());
    return action != null && action.isSynchronous();
  }

  private static void add(Map<Long, CallsRecorded.Builder> recorded, long handle, CallPlace place) {
    recorded.computeIfAbsent(handle, h -> CallsRecorded.newBuilder().setHandle(h)).addPlaces(place);
  }

  /** Of whose current invocation this record is; null if that is over. */
  private Lane lane(WorkerSession session, long handle) {
    Lane lane = invokes.waitingFor(session, handle);
    if (lane != null) {
      return lane;
    }
    Attempt attempt = superseded.get(handle);
    if (attempt == null || !attempt.isOfCurrentInvocation()) {
      metrics.onStaleReply();
      return null;
    }
    return attempt.lane();
  }

  /** This side ends the attempt, and the worker may not know yet. */
  void onSuperseded(Lane lane, long handle) {
    superseded.put(handle, new Attempt(lane, lane.run().current()));
  }
}
