package io.flinkactions.operator.lane;

import io.flinkactions.operator.session.WorkerSession;
import java.util.ArrayDeque;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/**
 * Attempts that this side has ended at workers. What was last said on a stream that breaks may not
 * have arrived, so the session that resumes it says it again: a worker that never hears of it takes
 * a Result that came too late for one that was applied, and forgets it with the next checkpoint.
 * Mailbox thread only.
 */
final class EndedAttempts {

  // Of one worker. The oldest is forgotten; its worker has most likely heard of it.
  private static final int LIMIT = 4_096;

  private final Map<WorkerSession, ArrayDeque<Long>> handles = new IdentityHashMap<>();

  /** This attempt, which the session's worker was sent, is over. */
  void add(WorkerSession session, long handle) {
    ArrayDeque<Long> ended = handles.computeIfAbsent(session, s -> new ArrayDeque<>());
    ended.add(handle);
    if (ended.size() > LIMIT) {
      ended.remove();
    }
  }

  /** Those of an interrupted session, which are the resuming one's from now on. */
  List<Long> resume(WorkerSession interrupted, WorkerSession session) {
    ArrayDeque<Long> ended = handles.remove(interrupted);
    if (ended == null) {
      return List.of();
    }
    handles.put(session, ended);
    return List.copyOf(ended);
  }

  /** Its worker is given up. */
  void drop(WorkerSession session) {
    handles.remove(session);
  }
}
