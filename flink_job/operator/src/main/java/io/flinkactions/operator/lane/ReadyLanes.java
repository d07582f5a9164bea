package io.flinkactions.operator.lane;

import io.flinkactions.operator.session.WorkerSession;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/**
 * Lanes whose current invocation may go and cannot: for want of a worker, or of one worker's
 * credit. First in, first out for each. Mailbox thread only.
 */
final class ReadyLanes {

  private final ArrayDeque<Lane> withoutWorker = new ArrayDeque<>();
  private final Map<WorkerSession, ArrayDeque<Lane>> withoutCredit = new IdentityHashMap<>();
  private int count;

  void addWithoutWorker(Lane lane) {
    withoutWorker.add(lane);
    count++;
  }

  void addWithoutCredit(WorkerSession session, Lane lane) {
    withoutCredit.computeIfAbsent(session, s -> new ArrayDeque<>()).add(lane);
    count++;
  }

  boolean isWaitingFor(WorkerSession session) {
    return count > 0 && withoutCredit.containsKey(session);
  }

  /** Sessions that lanes wait for. */
  List<WorkerSession> sessions() {
    return count == 0 ? List.of() : new ArrayList<>(withoutCredit.keySet());
  }

  /** The first that waits for this session's credit, or null. */
  Lane peek(WorkerSession session) {
    ArrayDeque<Lane> lanes = withoutCredit.get(session);
    return lanes == null ? null : lanes.peek();
  }

  void remove(WorkerSession session) {
    ArrayDeque<Lane> lanes = withoutCredit.get(session);
    lanes.poll();
    count--;
    if (lanes.isEmpty()) {
      withoutCredit.remove(session);
    }
  }

  /** Takes all out: which worker a lane waits for is to be decided anew. */
  List<Lane> takeAll() {
    if (count == 0) {
      return List.of();
    }
    List<Lane> all = new ArrayList<>(count);
    withoutCredit.values().forEach(all::addAll);
    all.addAll(withoutWorker);
    withoutCredit.clear();
    withoutWorker.clear();
    count = 0;
    return all;
  }

  /** Takes out those for which there was no worker. */
  List<Lane> takeWithoutWorker() {
    if (withoutWorker.isEmpty()) {
      return List.of();
    }
    List<Lane> lanes = List.copyOf(withoutWorker);
    withoutWorker.clear();
    count -= lanes.size();
    return lanes;
  }

  int count() {
    return count;
  }
}
