package io.flinkactions.operator.store;

import java.util.ArrayList;
import java.util.List;

/**
 * The fences of one partition, of one operator in one namespace: which entries were written by a
 * start that a later one had taken over from.
 *
 * <p>A start writes its fence before it reads. So it has read all that was before its fence, and
 * what a start before it writes behind the fence it never sees: nobody may go by that later.
 */
final class Fences {

  record Fence(int firstKeyGroup, int lastKeyGroup, long epoch, long offset) {
    boolean covers(int keyGroup) {
      return firstKeyGroup <= keyGroup && keyGroup <= lastKeyGroup;
    }

    boolean covers(Fence other) {
      return firstKeyGroup <= other.firstKeyGroup && other.lastKeyGroup <= lastKeyGroup;
    }

    boolean overlaps(int first, int last) {
      return firstKeyGroup <= last && first <= lastKeyGroup;
    }

    /** What is behind the other one and below it is behind this one and below it too. */
    boolean isStrongerThan(Fence other) {
      return covers(other) && epoch > other.epoch;
    }
  }

  private final List<Fence> fences = new ArrayList<>();

  void add(Fence fence) {
    if (!fences.contains(fence)) {
      fences.add(fence);
    }
  }

  /** Whether the entry was written behind a fence of a later start. */
  boolean isFencedOff(int keyGroup, long epoch, long offset) {
    for (Fence fence : fences) {
      if (fence.offset < offset && fence.epoch > epoch && fence.covers(keyGroup)) {
        return true;
      }
    }
    return false;
  }

  /** Highest epoch of a start that owned any of these key groups; 0 if there was none. */
  long highestEpoch(int firstKeyGroup, int lastKeyGroup) {
    long highest = 0;
    for (Fence fence : fences) {
      if (fence.overlaps(firstKeyGroup, lastKeyGroup)) {
        highest = Math.max(highest, fence.epoch);
      }
    }
    return highest;
  }

  /**
   * Where the first one at this offset or behind it is; if there is none, the end of all offsets.
   */
  long firstFrom(long offset) {
    return fences.stream()
        .mapToLong(Fence::offset)
        .filter(at -> at >= offset)
        .min()
        .orElse(Long.MAX_VALUE);
  }

  /** Those that a reader has to know who begins at this offset, and so meets none of them. */
  List<Fence> before(long offset) {
    List<Fence> before = fences.stream().filter(fence -> fence.offset < offset).toList();
    return before.stream()
        .filter(fence -> before.stream().noneMatch(other -> other.isStrongerThan(fence)))
        .toList();
  }
}
