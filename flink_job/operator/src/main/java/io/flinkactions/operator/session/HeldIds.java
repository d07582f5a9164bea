package io.flinkactions.operator.session;

import io.flinkactions.wire.v1.Holdings;
import java.nio.ByteBuffer;

/**
 * What one worker holds of earlier starts: ranks by invocation id. An id stands here by its first 8
 * bytes, which are digest enough: two of a hundred thousand are alike once in a billion starts, and
 * then an invocation goes to a worker that knows nothing of it. Open addressing, 16 bytes a slot.
 */
final class HeldIds {
  /** More than a worker keeps with a hundred times the default of --kept-work-bytes. */
  private static final int MOST = 8 << 20;

  private static final int ID_BYTES = 8;
  // Below a wall clock in milliseconds, until the year 2248.
  private static final int ATTEMPT_BITS = 20;

  // A rank of 0: the slot is empty.
  private long[] ids = new long[64];
  private long[] ranks = new long[64];
  private int size;

  /** Adds a page; of an id that is there already the higher rank stays. */
  void add(Holdings page) {
    ByteBuffer heads = page.getInvocations().asReadOnlyByteBuffer();
    int count = Math.min(page.getEpochCount(), page.getAttemptCount());
    count = Math.min(count, heads.remaining() / ID_BYTES);
    for (int i = 0; i < count && size < MOST; i++) {
      put(
          heads.getLong(),
          page.getEpoch(i) << ATTEMPT_BITS
              | Math.min(Math.max(1, page.getAttempt(i)), (1 << ATTEMPT_BITS) - 1));
    }
  }

  boolean isEmpty() {
    return size == 0;
  }

  int size() {
    return size;
  }

  /** How late this worker was at the invocation; the higher the later, 0 if it holds nothing. */
  long rankOf(byte[] invocationId) {
    int slot = slotOf(idOf(invocationId));
    return ranks[slot];
  }

  /** It was asked for this one. */
  void remove(byte[] invocationId) {
    int slot = slotOf(idOf(invocationId));
    if (ranks[slot] == 0) {
      return;
    }
    size--;
    int mask = ids.length - 1;
    // Those that were put behind it because it was there move up, or they would not be found.
    int hole = slot;
    for (int next = (slot + 1) & mask; ranks[next] != 0; next = (next + 1) & mask) {
      int home = (int) ids[next] & mask;
      if (((next - home) & mask) >= ((next - hole) & mask)) {
        ids[hole] = ids[next];
        ranks[hole] = ranks[next];
        hole = next;
      }
    }
    ranks[hole] = 0;
  }

  private void put(long id, long rank) {
    if (size * 2 >= ids.length) {
      grow();
    }
    int slot = slotOf(id);
    if (ranks[slot] == 0) {
      size++;
    }
    ids[slot] = id;
    ranks[slot] = Math.max(ranks[slot], rank);
  }

  private void grow() {
    long[] oldIds = ids;
    long[] oldRanks = ranks;
    ids = new long[oldIds.length * 2];
    ranks = new long[oldIds.length * 2];
    for (int i = 0; i < oldIds.length; i++) {
      if (oldRanks[i] != 0) {
        int slot = slotOf(oldIds[i]);
        ids[slot] = oldIds[i];
        ranks[slot] = oldRanks[i];
      }
    }
  }

  /** Where this id is, or would be. Ids are digests: any bits of them are spread well. */
  private int slotOf(long id) {
    int mask = ids.length - 1;
    int slot = (int) id & mask;
    while (ranks[slot] != 0 && ids[slot] != id) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  private static long idOf(byte[] invocationId) {
    return ByteBuffer.wrap(invocationId).getLong();
  }
}
