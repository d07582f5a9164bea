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
 * <p>One whose attempt is over is of no use to anybody, and no stale reply: an attempt's last call
 * mostly comes in the frame of its Result, which is applied before. Mailbox thread only.
 */
final class CallJournal {

  private final Invokes invokes;
  private final Lanes lanes;
  private final OperatorMetrics metrics;
  private final Plans plans;
  // Null: the job has no action state store.
  private final StoredCalls stored;

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
    Lane lane = invokes.waitingFor(session, handle);
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
        invocation.calls().onCompleted(record, true);
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
}
