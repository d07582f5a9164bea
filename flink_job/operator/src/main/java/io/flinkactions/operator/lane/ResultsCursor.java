package io.flinkactions.operator.lane;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.ContentType;
import io.flinkactions.wire.v1.Results;
import java.util.List;

/**
 * Walks through the columns of a frame's Results, one Result at a time, without making an object of
 * each.
 */
public final class ResultsCursor {

  private final Results results;
  private final int count;
  private int index = -1;
  private int events;
  private int eventCount;
  private int changes;
  private int sensoryCount;
  private int shortTermCount;
  private int versions;

  /** Stands before the first Result. */
  public ResultsCursor(Results results) {
    this.results = results;
    this.count = results.getHandleCount();
  }

  /** Goes to the next Result; false if there is none. */
  public boolean next() {
    if (index >= 0) {
      events += eventCount;
      versions += changesMemory() ? 1 : 0;
      changes += sensoryCount + shortTermCount;
    }
    if (++index >= count) {
      return false;
    }
    // A column that is left out is all zeros.
    eventCount = results.getEventCountCount() == 0 ? 0 : results.getEventCount(index);
    sensoryCount = results.getSensoryCountCount() == 0 ? 0 : results.getSensoryCount(index);
    shortTermCount = results.getShortTermCountCount() == 0 ? 0 : results.getShortTermCount(index);
    return true;
  }

  public long handle() {
    return results.getHandle(index);
  }

  /** How long it ran, if it had a time limit. */
  public long ranMillis() {
    return results.getRanMsCount() == 0 ? 0 : results.getRanMs(index);
  }

  public int eventCount() {
    return eventCount;
  }

  public String eventType(int event) {
    return results.getEventType(events + event);
  }

  public ByteString eventPayload(int event) {
    return results.getEventPayload(events + event);
  }

  public ContentType eventContentType(int event) {
    return results.getEventContentTypeCount() == 0
        ? ContentType.JSON
        : results.getEventContentType(events + event);
  }

  public boolean changesMemory() {
    return sensoryCount + shortTermCount > 0;
  }

  /** The version that the changes were computed on. */
  public ByteString memoryBase() {
    return results.getMemoryBase(versions);
  }

  /** The version that the changes make. */
  public ByteString memoryVersion() {
    return results.getMemoryVersion(versions);
  }

  /** Paths of all changes of the frame. */
  public List<String> paths() {
    return results.getMemoryPathList();
  }

  /** Values of all changes of the frame. */
  public List<ByteString> values() {
    return results.getMemoryValueList();
  }

  /** Where this Result's sensory changes begin in the columns. */
  public int sensoryFrom() {
    return changes;
  }

  /** Where its short-term changes begin, and the sensory ones end. */
  public int shortTermFrom() {
    return changes + sensoryCount;
  }

  /** Where its changes end. */
  public int changesTo() {
    return changes + sensoryCount + shortTermCount;
  }
}
