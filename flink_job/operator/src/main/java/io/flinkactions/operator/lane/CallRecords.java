package io.flinkactions.operator.lane;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.flinkactions.wire.v1.CallPlace;
import io.flinkactions.wire.v1.CallRecord;
import io.flinkactions.wire.v1.CallStarted;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The durable calls that attempts of one invocation have made, by their places, oldest first: what
 * the next attempt is not to make again.
 *
 * <p>They outlive attempts, sessions, workers and, with the lane in state, this operator; they end
 * with the invocation. Mailbox thread only.
 */
public final class CallRecords {

  private final Map<CallPlace, CallRecord> byPlace = new LinkedHashMap<>();
  private long bytes;

  /** Records as they were in state. */
  static CallRecords restore(List<ByteString> serialized) throws InvalidProtocolBufferException {
    CallRecords records = new CallRecords();
    for (ByteString bytes : serialized) {
      records.put(CallRecord.parseFrom(bytes));
    }
    return records;
  }

  /** A call is about to be made. What is known of its end stays. */
  void onStarted(CallStarted started) {
    if (!byPlace.containsKey(started.getPlace())) {
      put(
          CallRecord.newBuilder()
              .setPlace(started.getPlace())
              .setFunctionId(started.getFunctionId())
              .setArgumentsDigest(started.getArgumentsDigest())
              .setStartedOnly(true)
              .build());
    }
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

  private void put(CallRecord record) {
    CallRecord before = byPlace.put(record.getPlace(), record);
    bytes += record.getSerializedSize() - (before == null ? 0 : before.getSerializedSize());
  }

  /** The call at this place is to be made again. */
  void drop(CallPlace place) {
    CallRecord dropped = byPlace.remove(place);
    if (dropped != null) {
      bytes -= dropped.getSerializedSize();
    }
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
