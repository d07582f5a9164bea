package io.flinkactions.operator.store;

import java.util.Set;
import java.util.TreeSet;

/**
 * Which partition has the calls of which key group: neighbours together, so that a subtask reads as
 * few partitions of others as there are ends of its range.
 */
record KeyGroupPartitions(int maxParallelism, int partitions) {

  int of(int keyGroup) {
    return (int) ((long) keyGroup * partitions / maxParallelism);
  }

  /** First key group of the partition. */
  int first(int partition) {
    return (int) (((long) partition * maxParallelism + partitions - 1) / partitions);
  }

  /** Last key group of the partition. */
  int last(int partition) {
    return first(partition + 1) - 1;
  }

  Set<Integer> of(int firstKeyGroup, int lastKeyGroup) {
    Set<Integer> found = new TreeSet<>();
    for (int keyGroup = firstKeyGroup; keyGroup <= lastKeyGroup; keyGroup++) {
      found.add(of(keyGroup));
    }
    return found;
  }

  @Override
  public String toString() {
    return "max parallelism " + maxParallelism + " and " + partitions + " partitions";
  }
}
