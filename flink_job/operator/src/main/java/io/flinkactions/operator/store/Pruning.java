package io.flinkactions.operator.store;

import java.util.ArrayList;
import java.util.List;
import java.util.NavigableMap;
import java.util.TreeMap;

/**
 * Entries whose invocations are over, until a completed checkpoint says that they will stay so: a
 * restore from an earlier one would need them. Mailbox thread only.
 */
final class Pruning {

  // Without a completed checkpoint for so long, or with brokers so slow, that there are more of
  // them, the rest stays in the topic for good; a rebuild from a later checkpoint does not read it.
  private static final int LIMIT = 1_000_000;

  private final NavigableMap<Long, List<Garbage>> bySnapshot = new TreeMap<>();
  private List<Garbage> sinceSnapshot = new ArrayList<>();
  private int count;
  private long forgotten;

  /**
   * @param ending entries that may end and did not yet: they count too
   */
  void add(Garbage over, int ending) {
    if (count + ending >= LIMIT) {
      forgotten++;
      return;
    }
    count++;
    sinceSnapshot.add(over);
  }

  /** The snapshot is being taken now. */
  void onSnapshot(long checkpointId) {
    if (!sinceSnapshot.isEmpty()) {
      bySnapshot.put(checkpointId, sinceSnapshot);
      sinceSnapshot = new ArrayList<>();
    }
  }

  /** What this checkpoint, and so all before it, knew to be over. */
  List<Garbage> onCompleted(long checkpointId) {
    NavigableMap<Long, List<Garbage>> covered = bySnapshot.headMap(checkpointId, true);
    List<Garbage> ended = new ArrayList<>();
    covered.values().forEach(ended::addAll);
    covered.clear();
    count -= ended.size();
    return ended;
  }

  /** Entries that nobody will end. */
  long forgotten() {
    return forgotten;
  }
}
