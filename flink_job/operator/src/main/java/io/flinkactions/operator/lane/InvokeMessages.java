package io.flinkactions.operator.lane;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.lane.Invocation.SentEvent;
import io.flinkactions.operator.memory.KeyMemory;
import io.flinkactions.operator.plan.PlannedAction;
import io.flinkactions.operator.session.WorkerSession;
import io.flinkactions.wire.v1.CallRecord;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.MemoryForm;
import java.util.ArrayList;
import java.util.List;

/**
 * Makes Invokes: what a worker has to be told of an invocation, its recorded calls, and the memory
 * of its key as far as the worker does not have it. Mailbox thread only.
 */
final class InvokeMessages {

  private static final long INLINE_CALL_BYTES = 64 * 1024;

  private final KeyMemory memory;
  private final boolean memoryExpires;
  private final Invoke.Builder builder = Invoke.newBuilder();
  private List<CallRecord> followingCalls = List.of();
  private boolean hasWatermark;
  private long watermark;

  InvokeMessages(KeyMemory memory, boolean memoryExpires) {
    this.memory = memory;
    this.memoryExpires = memoryExpires;
  }

  /** What invocations are told of event time. */
  void onWatermark(long timestamp) {
    hasWatermark = true;
    watermark = timestamp;
  }

  /**
   * The Invoke for the lane's current invocation, at the session that it was given to. What its
   * calls take beyond it stands in {@link #followingCalls} until the next one is made.
   *
   * @param remainingMillis what is left of its time limit; 0: it has none
   */
  Invoke of(Lane lane, PlannedAction action, long remainingMillis) throws Exception {
    Run run = lane.run();
    Input input = run.input();
    Invocation invocation = run.current();
    SentEvent event = invocation.event();
    Invoke.Builder invoke =
        builder
            .clear()
            .setHandle(invocation.handle())
            .setInvocationId(invocation.idBytes())
            .setKey(lane.keyBytes())
            .setRunNumber(input.runNumber())
            .setAction(action.index())
            .setAttempt(invocation.attempt())
            .setFailures(invocation.failures())
            .setRemainingMs(remainingMillis);
    addCalls(invoke, invocation);
    if (event == null) {
      invoke
          .setEventType(EventTypes.INPUT)
          .setPayload(input.payload())
          .setContentType(input.contentType())
          .setEventSource(run.idBytes());
    } else {
      invoke
          .setEventType(event.type())
          .setPayload(event.payload())
          .setContentType(event.contentType())
          .setEventSource(event.source())
          .setEventPosition(event.position())
          .setUpstreamAction(event.upstreamAction())
          .setUpstreamEventId(event.upstreamEventId());
    }
    if (input.hasTimestamp()) {
      invoke.setTimestamp(input.timestamp());
    }
    if (hasWatermark) {
      invoke.setWatermark(watermark);
    }
    addMemory(invoke, lane, invocation.session());
    return invoke.build();
  }

  /** Records of the last Invoke that do not fit into it. */
  List<CallRecord> followingCalls() {
    return followingCalls;
  }

  /** With the Invoke as far as a frame goes well, else all of them behind it. */
  private void addCalls(Invoke.Builder invoke, Invocation invocation) {
    followingCalls = List.of();
    if (!invocation.hasCalls()) {
      return;
    }
    if (invocation.calls().bytes() <= INLINE_CALL_BYTES) {
      invoke.addAllCalls(invocation.callRecords());
      return;
    }
    List<CallRecord> following = new ArrayList<>(invocation.callRecords().size());
    for (CallRecord record : invocation.callRecords()) {
      boolean isLast = following.size() == invocation.callRecords().size() - 1;
      following.add(record.toBuilder().setHandle(invocation.handle()).setIsLast(isLast).build());
    }
    invoke.setMoreCalls(true);
    followingCalls = following;
  }

  private void addMemory(Invoke.Builder invoke, Lane lane, WorkerSession session) throws Exception {
    ByteString version = lane.memoryVersion();
    invoke.setMemoryVersion(version);
    // What expires in state does not expire in a mirror, so then nothing is left to the mirror.
    MemoryForm form =
        memoryExpires ? MemoryForm.FULL : lane.claim().formFor(session.token(), version);
    invoke.setMemoryForm(form);
    if (form == MemoryForm.DELTA) {
      invoke.setMemoryFrom(lane.claim().version()).setClearSensory(true);
    } else if (form == MemoryForm.FULL && !version.isEmpty()) {
      invoke.setSensoryCount(lane.run().sensory().size());
      lane.run()
          .sensory()
          .forEach((path, value) -> invoke.addMemoryPath(path).addMemoryValue(value));
      memory.read(lane.key(), (path, value) -> invoke.addMemoryPath(path).addMemoryValue(value));
    }
  }
}
