package io.flinkactions.operator.lane;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.metrics.OperatorMetrics;
import io.flinkactions.operator.session.WorkerSession;
import io.flinkactions.operator.store.ActionStateStore;
import io.flinkactions.operator.store.ActionStateStore.RecordedCall;
import io.flinkactions.wire.v1.CallPlace;
import io.flinkactions.wire.v1.CallRecord;
import io.flinkactions.wire.v1.CallsRecorded;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToIntFunction;

/**
 * Durable calls of level {@code synchronous}, between lanes and the action state store.
 *
 * <p>A record goes to the store first, into its lane when the store has it, and only then is the
 * worker told. What earlier starts recorded comes into the lane when the invocation of that id is
 * about to be sent: call by call, and where the lane knows the call, the lane's record stays. When
 * an invocation is over, so are its entries, from the next completed checkpoint on. Mailbox thread
 * only.
 */
public final class StoredCalls {

  /** A record on its way to the store. */
  public static final class PendingCall {
    private final Lane lane;
    private final Invocation invocation;
    private final CallRecord record;
    // Whom to tell: the attempt that sent it last.
    private WorkerSession session;
    private long handle;
    private boolean isDropped;

    private PendingCall(
        Lane lane, Invocation invocation, WorkerSession session, long handle, CallRecord record) {
      this.lane = lane;
      this.invocation = invocation;
      this.session = session;
      this.handle = handle;
      this.record = record;
    }

    private boolean isOfCurrentInvocation() {
      return lane.run() != null && lane.run().current() == invocation;
    }

    private boolean isAt(CallPlace place) {
      return !isDropped && record.getPlace().equals(place);
    }

    private boolean isOfCurrentAttempt() {
      return invocation.isSent() && invocation.handle() == handle;
    }
  }

  private final ActionStateStore<PendingCall> store;
  private final Lanes lanes;
  private final OperatorMetrics metrics;
  private final ToIntFunction<String> keyGroups;
  private final Map<Invocation, List<PendingCall>> pending = new IdentityHashMap<>();

  /**
   * @param keyGroups key group of a lane's key
   */
  public StoredCalls(
      ActionStateStore<PendingCall> store,
      Lanes lanes,
      OperatorMetrics metrics,
      ToIntFunction<String> keyGroups) {
    this.store = store;
    this.lanes = lanes;
    this.metrics = metrics;
    this.keyGroups = keyGroups;
  }

  /**
   * Sends a record of the lane's current invocation to the store.
   *
   * @param handle of the attempt that made the call, which may be over
   * @param record complete, or of a call that is about to be made
   * @return false if that call is recorded already: then there is nothing to wait for
   */
  boolean write(Lane lane, WorkerSession session, long handle, CallRecord record) {
    Invocation invocation = lane.run().current();
    PendingCall call = new PendingCall(lane, invocation, session, handle, record);
    if (!call.isOfCurrentAttempt() && isKnown(invocation, record.getPlace())) {
      return false;
    }
    if (record.getStartedOnly()) {
      // A worker that has lost its session sends it again. Acknowledged twice, the second would
      // pass for the acknowledgement of the call's end: places are all that a worker goes by.
      if (isStored(invocation, record)) {
        return false;
      }
      PendingCall first = pendingOf(invocation, record);
      if (first != null) {
        first.session = session;
        first.handle = handle;
        return true;
      }
    }
    pending.computeIfAbsent(invocation, i -> new ArrayList<>(1)).add(call);
    store.write(
        lane.keyBytes(),
        keyGroups.applyAsInt(lane.key()),
        lane.run().input().runNumber(),
        invocation.idBytes(),
        record.toBuilder().clearHandle().clearIsLast().build(),
        call);
    return true;
  }

  private boolean isKnown(Invocation invocation, CallPlace place) {
    CallRecord known = invocation.hasCalls() ? invocation.calls().at(place) : null;
    return (known != null && !known.getStartedOnly())
        || pending.getOrDefault(invocation, List.of()).stream().anyMatch(call -> call.isAt(place));
  }

  private static boolean isStored(Invocation invocation, CallRecord record) {
    CallRecord known = invocation.hasCalls() ? invocation.calls().at(record.getPlace()) : null;
    return known != null
        && isSameCall(known, record)
        && invocation.storedEpochs().containsKey(record.getPlace());
  }

  private PendingCall pendingOf(Invocation invocation, CallRecord record) {
    for (PendingCall call : pending.getOrDefault(invocation, List.of())) {
      if (call.isAt(record.getPlace()) && isSameCall(call.record, record)) {
        return call;
      }
    }
    return null;
  }

  private static boolean isSameCall(CallRecord one, CallRecord other) {
    return one.getFunctionId().equals(other.getFunctionId())
        && one.getArgumentsDigest().equals(other.getArgumentsDigest());
  }

  /** Whether records of workers may be taken. If not, a mail follows when they may. */
  public boolean hasRoom() {
    return store.hasRoom();
  }

  /** Puts into their lanes what the store has now, and tells the workers. */
  public void applyWritten() {
    PendingCall call = store.poll();
    if (call == null) {
      return;
    }
    Map<WorkerSession, Map<Long, CallsRecorded.Builder>> recorded = new LinkedHashMap<>();
    for (; call != null; call = store.poll()) {
      forget(call);
      if (call.isDropped) {
        continue;
      }
      if (!call.isOfCurrentInvocation()) {
        over(call.lane, call.invocation, call.record.getPlace(), store.epoch());
        continue;
      }
      apply(call);
      WorkerSession session = call.isOfCurrentAttempt() ? call.invocation.session() : call.session;
      if (session.isOpen()) {
        long handle = call.handle;
        recorded
            .computeIfAbsent(session, s -> new LinkedHashMap<>())
            .computeIfAbsent(handle, h -> CallsRecorded.newBuilder().setHandle(h))
            .addPlaces(call.record.getPlace());
      }
    }
    recorded.forEach(
        (session, byHandle) ->
            byHandle.values().forEach(places -> session.callsRecorded(places.build())));
  }

  private void forget(PendingCall call) {
    List<PendingCall> calls = pending.get(call.invocation);
    if (calls != null) {
      calls.remove(call);
      if (calls.isEmpty()) {
        pending.remove(call.invocation);
      }
    }
  }

  private void apply(PendingCall call) {
    CallRecords calls = call.invocation.calls();
    CallRecord record = call.record;
    if (record.getStartedOnly()) {
      calls.onStarted(record);
    } else {
      calls.onCompleted(record, call.isOfCurrentAttempt());
      metrics.onCallRecorded();
    }
    onStored(call.lane, call.invocation, record.getPlace(), store.epoch());
    lanes.markDirty(call.lane);
  }

  /** One place, one entry: one of an earlier start that stands for it too is of no more use. */
  private void onStored(Lane lane, Invocation invocation, CallPlace place, long epoch) {
    long before = invocation.calls().onStored(place, epoch);
    if (before != 0 && before != epoch) {
      over(lane, invocation, place, before);
    }
  }

  /** An invocation has got its id: whatever of it earlier starts recorded comes into its lane. */
  void unite(Lane lane, Invocation invocation) {
    if (store.isRebuiltEmpty()) {
      return;
    }
    List<RecordedCall> found = store.take(invocation.idBytes());
    if (!found.isEmpty() && invocation.attempt() <= 1) {
      // Whoever recorded them was the first; workers ask no first attempt for its records.
      invocation.countAttempt();
    }
    for (RecordedCall recorded : found) {
      CallPlace place = recorded.call().getPlace();
      CallRecord known = invocation.calls().at(place);
      if (known == null || (known.getStartedOnly() && !recorded.call().getStartedOnly())) {
        invocation.calls().add(recorded.call());
        metrics.onCallRebuilt();
      }
      onStored(lane, invocation, place, recorded.epoch());
      lanes.markDirty(lane);
    }
  }

  /**
   * These calls of the lane's current invocation are to be made again. What is in the topic of them
   * ends now, and what is on its way there as well: the next attempt's record of that place has the
   * same key, and must come behind the end of this one.
   */
  void drop(Lane lane, List<CallPlace> places) {
    Invocation invocation = lane.run().current();
    for (CallPlace place : places) {
      boolean isOnItsWay = false;
      for (PendingCall call : pending.getOrDefault(invocation, List.of())) {
        if (call.isAt(place)) {
          call.isDropped = true;
          isOnItsWay = true;
        }
      }
      long epoch = invocation.calls().drop(place);
      if (epoch != 0) {
        end(lane, invocation, place, epoch);
      }
      if (isOnItsWay && epoch != store.epoch()) {
        end(lane, invocation, place, store.epoch());
      }
    }
  }

  private void end(Lane lane, Invocation invocation, CallPlace place, long epoch) {
    store.onDropped(keyGroups.applyAsInt(lane.key()), invocation.idBytes(), place, epoch);
  }

  /** The lane's current invocation is over, and nobody will send it again in this timeline. */
  void onInvocationOver(Lane lane, Invocation invocation) {
    pending.remove(invocation);
    invocation.storedEpochs().forEach((place, epoch) -> over(lane, invocation, place, epoch));
  }

  private void over(Lane lane, Invocation invocation, CallPlace place, long epoch) {
    store.onOver(keyGroups.applyAsInt(lane.key()), invocation.idBytes(), place, epoch);
  }

  /** The run of this number is over, and all of the key before it. */
  void onRunOver(ByteString laneKey, long runNumber) {
    metrics.onCallsUnclaimed(store.onRunOver(laneKey, runNumber));
  }
}
