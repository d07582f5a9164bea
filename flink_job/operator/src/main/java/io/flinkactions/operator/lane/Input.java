package io.flinkactions.operator.lane;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.time.SegmentedWatermarks.Segment;
import io.flinkactions.wire.v1.ContentType;

/** One record of the keyed stream, encoded, with its place in the order of its key. */
public final class Input {

  // Objects around the payload, roughly: so that many tiny inputs count too.
  private static final int OVERHEAD_BYTES = 160;

  private final long runNumber;
  private final ByteString payload;
  private final ContentType contentType;
  private final boolean hasTimestamp;
  private final long timestamp;
  private final Segment segment;
  // Of the event that it is: both its run and the first invocations are named by it. Null until
  // then.
  byte[] digest;
  Input next;

  public Input(
      long runNumber,
      ByteString payload,
      ContentType contentType,
      boolean hasTimestamp,
      long timestamp,
      Segment segment) {
    this.runNumber = runNumber;
    this.payload = payload;
    this.contentType = contentType;
    this.hasTimestamp = hasTimestamp;
    this.timestamp = timestamp;
    this.segment = segment;
  }

  public long runNumber() {
    return runNumber;
  }

  public ByteString payload() {
    return payload;
  }

  public ContentType contentType() {
    return contentType;
  }

  public boolean hasTimestamp() {
    return hasTimestamp;
  }

  /** In ms; means nothing without {@link #hasTimestamp}. */
  public long timestamp() {
    return timestamp;
  }

  /** Holds back what arrived after this input. */
  public Segment segment() {
    return segment;
  }

  /** What it takes of the heap while it waits. */
  public int bytes() {
    return payload.size() + OVERHEAD_BYTES;
  }
}
