package io.flinkactions.operator.lane;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.flinkactions.wire.v1.CallPlace;
import io.flinkactions.wire.v1.CallRecord;
import io.flinkactions.wire.v1.CallStarted;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The durable calls that attempts of one invocation have made, by their places, oldest first: what
 * the next attempt is not to make again.
 *
 * <p>They outlive attempts, sessions, workers and, with the lane in state, this operator; they end
 * with the invocation. Mailbox thread only.
 */
public final class CallRecords {

  private final Map<CallPlace, CallRecord> byPlace = new LinkedHashMap<>();
  // Of those that are in the action state store, the epoch under which it has them.
  private Map<CallPlace, Long> storedEpochs = Map.of();
  private long bytes;
  // Failures that this attempt was sent with and an attempt before it has met, as far as no answer
  // to it has said that they ended it.
  private Set<CallPlace> oldFailures = Set.of();
  private boolean isReplayed;

  /** Records as they were in state. */
  static CallRecords restore(List<ByteString> serialized, List<Long> epochs)
      throws InvalidProtocolBufferException {
    CallRecords records = new CallRecords();
    for (int i = 0; i < serialized.size(); i++) {
      CallRecord record = CallRecord.parseFrom(serialized.get(i));
      records.put(record);
      if (i < epochs.size() && epochs.get(i) != 0) {
        records.onStored(record.getPlace(), epochs.get(i));
      }
    }
    return records;
  }

  /** What is to be known of a call that is about to be made. */
  static CallRecord ofStarted(CallStarted started) {
    return CallRecord.newBuilder()
        .setPlace(started.getPlace())
        .setFunctionId(started.getFunctionId())
        .setArgumentsDigest(started.getArgumentsDigest())
        .setStartedOnly(true)
        .build();
  }

  /** A call is about to be made. What is known of its end stays. */
  void onStarted(CallRecord started) {
    byPlace.computeIfAbsent(
        started.getPlace(),
        place -> {
          bytes += started.getSerializedSize();
          return started;
        });
  }

  /**
   * A call has ended.
   *
   * @param isOfCurrentAttempt else what a later attempt has recorded at that place stays: it goes
   *     on from there
   */
  void onCompleted(CallRecord completed, boolean isOfCurrentAttempt) {
    CallRecord known = byPlace.get(completed.getPlace());
    if (known == null || known.getStartedOnly() || isOfCurrentAttempt) {
      // The handle is a session's matter.
      put(completed.toBuilder().clearHandle().clearIsLast().build());
    }
  }

  /** Another attempt is about to get them. */
  void onAttempt() {
    if (isReplayed) {
      isReplayed = false;
      return;
    }
    oldFailures = Set.of();
    for (CallRecord record : byPlace.values()) {
      if (record.hasFailure()) {
        if (oldFailures.isEmpty()) {
          oldFailures = new HashSet<>();
        }
        oldFailures.add(record.getPlace());
      }
    }
  }

  /**
   * Whether an attempt that ended by the failures at these places has ended by an old one: it has
   * only met again what ended an attempt before it, of which this side has not heard to the end
   * (its worker died, or state was written in between). The attempt says nothing of how the call
   * fares now, so another one follows, uncounted. Each such round takes at least one place away
   * from the old ones, and what is recorded meanwhile does not count as old: it comes to an end.
   */
  boolean endedByReplay(Collection<CallPlace> places) {
    isReplayed = !oldFailures.isEmpty() && oldFailures.removeAll(places);
    return isReplayed;
  }

  /** What is known of the call at this place, or null. */
  CallRecord at(CallPlace place) {
    return byPlace.get(place);
  }

  /** What the store knows of a call that this lane does not: to be behind all that it has. */
  void add(CallRecord recorded) {
    put(recorded);
  }

  /**
   * The store has what is known of this place.
   *
   * @return the epoch under which it had it before; 0 if it had it not
   */
  long onStored(CallPlace place, long epoch) {
    if (storedEpochs.isEmpty()) {
      storedEpochs = new HashMap<>();
    }
    Long before = storedEpochs.put(place, epoch);
    return before == null ? 0 : before;
  }

  /** The places that the store has, with their epochs. */
  Map<CallPlace, Long> storedEpochs() {
    return storedEpochs;
  }

  private void put(CallRecord record) {
    CallRecord before = byPlace.put(record.getPlace(), record);
    bytes += record.getSerializedSize() - (before == null ? 0 : before.getSerializedSize());
  }

  /**
   * The call at this place is to be made again.
   *
   * @return the epoch under which the store has it; 0 if it has it not
   */
  long drop(CallPlace place) {
    CallRecord dropped = byPlace.remove(place);
    if (dropped != null) {
      bytes -= dropped.getSerializedSize();
    }
    Long epoch = storedEpochs.isEmpty() ? null : storedEpochs.remove(place);
    return epoch == null ? 0 : epoch;
  }

  public boolean isEmpty() {
    return byPlace.isEmpty();
  }

  /** All, oldest first. */
  public Collection<CallRecord> all() {
    return byPlace.values();
  }

  /** What they take, serialized. */
  long bytes() {
    return bytes;
  }
}
