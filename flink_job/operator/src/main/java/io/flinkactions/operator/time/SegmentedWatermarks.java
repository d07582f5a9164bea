package io.flinkactions.operator.time;

/**
 * Holds back watermarks and idleness until every input that arrived before them is finished.
 *
 * <p>Inputs are counted in segments. A watermark closes the last segment and opens a new one; it
 * leaves when the segment that it closed, and all before, have no open input. Two watermarks with
 * no input between them are one, the later.
 *
 * <p>An IDLE status waits in the segments too: after IDLE, Flink drops every watermark until the
 * next ACTIVE, so an IDLE that overtook a held watermark would lose it, and results still running
 * would come out late. ACTIVE leaves at once and cancels an IDLE that still waits.
 *
 * <p>There are never more segments than open inputs, plus one. Mailbox thread only.
 */
public final class SegmentedWatermarks {

  /** Where watermarks and statuses go when they may. */
  public interface Downstream {
    void emitWatermark(long timestamp);

    void emitStatus(boolean isIdle);
  }

  /** The inputs between two watermarks; an input keeps its own until it is finished. */
  public static final class Segment {
    private int openInputs;
    private boolean hasWatermark;
    private long watermark;
    private boolean hasIdle;
    private Segment next;

    private Segment() {}
  }

  private final Downstream downstream;
  private Segment first = new Segment();
  private Segment last = first;
  // The segment before the last, while it is not released.
  private Segment closed;
  private int queuedIdle;

  public SegmentedWatermarks(Downstream downstream) {
    this.downstream = downstream;
  }

  /**
   * An input is there: what comes after it waits until {@link #onFinished} is called with the
   * returned segment.
   */
  public Segment onArrived() {
    last.openInputs++;
    return last;
  }

  /** An input of this segment is finished and its outputs have left. */
  public void onFinished(Segment segment) {
    segment.openInputs--;
    if (segment == first && segment.openInputs == 0) {
      release();
    }
  }

  public void onWatermark(long timestamp) {
    if (holdsNothing()) {
      downstream.emitWatermark(timestamp);
      return;
    }
    Segment before = closeLast();
    before.hasWatermark = true;
    before.watermark = timestamp;
  }

  public void onStatus(boolean isIdle) {
    if (!isIdle) {
      cancelIdle();
      downstream.emitStatus(false);
    } else if (holdsNothing()) {
      downstream.emitStatus(true);
    } else {
      Segment before = closeLast();
      if (!before.hasIdle) {
        before.hasIdle = true;
        queuedIdle++;
      }
    }
  }

  private boolean holdsNothing() {
    return first == last && last.openInputs == 0;
  }

  /** The segment after whose inputs something has to leave. */
  private Segment closeLast() {
    if (last.openInputs > 0) {
      closed = last;
      last.next = new Segment();
      last = last.next;
    }
    return closed;
  }

  private void release() {
    while (first != last && first.openInputs == 0) {
      Segment done = first;
      first = done.next;
      if (done == closed) {
        closed = null;
      }
      if (done.hasWatermark) {
        downstream.emitWatermark(done.watermark);
      }
      if (done.hasIdle) {
        queuedIdle--;
        downstream.emitStatus(true);
      }
    }
  }

  private void cancelIdle() {
    for (Segment s = first; queuedIdle > 0 && s != null; s = s.next) {
      if (s.hasIdle) {
        s.hasIdle = false;
        queuedIdle--;
      }
    }
  }
}
