package io.flinkactions.operator.store;

/**
 * Whose calls: one start of one operator subtask.
 *
 * @param namespace keeps two jobs' calls apart
 * @param operatorUid keeps two operators' of a job apart
 * @param subtask for people
 * @param firstKeyGroup of those that the subtask owns
 * @param lastKeyGroup likewise
 * @param epoch above that of every start whose state was restored
 */
public record StoreOwner(
    String namespace,
    String operatorUid,
    int subtask,
    int maxParallelism,
    int firstKeyGroup,
    int lastKeyGroup,
    long epoch) {

  boolean owns(int keyGroup) {
    return firstKeyGroup <= keyGroup && keyGroup <= lastKeyGroup;
  }
}
