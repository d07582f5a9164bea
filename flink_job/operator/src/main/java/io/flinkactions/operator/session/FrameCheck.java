package io.flinkactions.operator.session;

import io.flinkactions.wire.v1.Results;

/**
 * Finds what protobuf cannot: columns that do not fit together. Past this check a frame's columns
 * may be trusted.
 */
final class FrameCheck {

  private FrameCheck() {}

  /** What is wrong with these columns, or null. */
  static String complaintAbout(Results results) {
    int count = results.getHandleCount();
    if (!isEmptyOr(results.getEventCountCount(), count)
        || !isEmptyOr(results.getSensoryCountCount(), count)
        || !isEmptyOr(results.getShortTermCountCount(), count)
        || !isEmptyOr(results.getRanMsCount(), count)) {
      return "Results has " + count + " handles and a per-result column of another length";
    }
    long events = 0;
    for (int i = 0; i < results.getEventCountCount(); i++) {
      events += Integer.toUnsignedLong(results.getEventCount(i));
    }
    if (events != results.getEventTypeCount()
        || events != results.getEventPayloadCount()
        || !isEmptyOr(results.getEventContentTypeCount(), events)) {
      return "Results counts " + events + " events, and a per-event column has another length";
    }
    long changes = 0;
    int changed = 0;
    for (int i = 0; i < count; i++) {
      long ofResult = entry(results, i);
      changes += ofResult;
      changed += ofResult > 0 ? 1 : 0;
    }
    if (changes != results.getMemoryPathCount() || changes != results.getMemoryValueCount()) {
      return "Results counts "
          + changes
          + " memory changes, and memory_path or memory_value has another length";
    }
    if (changed != results.getMemoryBaseCount() || changed != results.getMemoryVersionCount()) {
      return changed
          + " results change memory, and memory_base or memory_version has another length";
    }
    return null;
  }

  private static long entry(Results results, int i) {
    long sensory = results.getSensoryCountCount() == 0 ? 0 : results.getSensoryCount(i);
    long shortTerm = results.getShortTermCountCount() == 0 ? 0 : results.getShortTermCount(i);
    return (sensory & 0xffff_ffffL) + (shortTerm & 0xffff_ffffL);
  }

  private static boolean isEmptyOr(int length, long wanted) {
    return length == 0 || length == wanted;
  }
}
