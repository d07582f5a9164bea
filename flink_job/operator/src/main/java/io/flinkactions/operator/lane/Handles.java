package io.flinkactions.operator.lane;

import java.util.Arrays;
import java.util.function.Consumer;

/**
 * The invocations that are out at workers, by handle.
 *
 * <p>A handle is a count shifted left, and a slot of this table. The slot finds the lane without
 * hashing; the count is never used twice in a start, so a late reply to an invocation that is over
 * finds a different handle in its slot, and nothing. A run has at most one invocation out, so there
 * are as many slots as runs may be in flight. Mailbox thread only.
 */
public final class Handles {

  private static final int FEW = 1_024;

  private final int slotBits;
  private final long slotMask;
  private final int mostSlots;
  private Lane[] lanes = {};
  private long[] open = {};
  private int[] free = {};
  private int freeCount;
  private long count;

  public Handles(int slots) {
    slotBits = Math.max(1, 32 - Integer.numberOfLeadingZeros(slots - 1));
    slotMask = (1L << slotBits) - 1;
    mostSlots = slots;
  }

  /** Not before it is needed: a limit that nobody reaches costs nothing. */
  private void grow() {
    int slots = (int) Math.min(mostSlots, Math.max(FEW, 2L * lanes.length));
    free = new int[slots];
    for (int slot = slots - 1; slot >= lanes.length; slot--) {
      free[freeCount++] = slot;
    }
    lanes = Arrays.copyOf(lanes, slots);
    open = Arrays.copyOf(open, slots);
  }

  /** A handle for the lane's current invocation. */
  public long open(Lane lane) {
    if (freeCount == 0) {
      grow();
    }
    int slot = free[--freeCount];
    long handle = ++count << slotBits | slot;
    lanes[slot] = lane;
    open[slot] = handle;
    return handle;
  }

  /** The lane whose invocation has this handle, or null if it is not open any more. */
  public Lane lane(long handle) {
    int slot = (int) (handle & slotMask);
    return slot < open.length && open[slot] == handle ? lanes[slot] : null;
  }

  /** Ends an open handle. */
  public void close(long handle) {
    int slot = (int) (handle & slotMask);
    if (open[slot] != handle) {
      throw new IllegalStateException("handle " + handle + " is not open");
    }
    open[slot] = 0;
    lanes[slot] = null;
    free[freeCount++] = slot;
  }

  /** Shows every lane whose invocation is open. The visitor must not open or close any. */
  public void forEachOpen(Consumer<Lane> visitor) {
    for (Lane lane : lanes) {
      if (lane != null) {
        visitor.accept(lane);
      }
    }
  }

  public int openCount() {
    return lanes.length - freeCount;
  }
}
