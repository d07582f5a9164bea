package io.flinkactions.operator.lane;

import io.flinkactions.operator.session.WorkerSession;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Attempts that this side has ended at workers. What was last said on a stream that breaks may not
 * have arrived, so the session that resumes it says it again: a worker that never hears of it takes
 * a Result that came too late for one that was applied, and forgets it with the next checkpoint.
 * What the worker answers too late still tells what it has measured. Mailbox thread only.
 */
final class EndedAttempts {

  // Of one worker. The oldest is forgotten; its worker has most likely heard of it.
  private static final int LIMIT = 4_096;

  // By handle, oldest first: the name of the action.
  private final Map<WorkerSession, LinkedHashMap<Long, String>> actions = new IdentityHashMap<>();

  /** This attempt at an action, which the session's worker was sent, is over. */
  void add(WorkerSession session, long handle, String action) {
    LinkedHashMap<Long, String> ended =
        actions.computeIfAbsent(session, s -> new LinkedHashMap<>());
    ended.put(handle, action);
    if (ended.size() > LIMIT) {
      ended.remove(ended.keySet().iterator().next());
    }
  }

  /** The action that this attempt was at; null if it is not known as ended. */
  String action(WorkerSession session, long handle) {
    LinkedHashMap<Long, String> ended = actions.get(session);
    return ended == null ? null : ended.get(handle);
  }

  /** The worker has obeyed: it need not be told again. */
  void onCancelled(WorkerSession session, long handle) {
    LinkedHashMap<Long, String> ended = actions.get(session);
    if (ended != null) {
      ended.remove(handle);
    }
  }

  /** Those of an interrupted session, which are the resuming one's from now on. */
  List<Long> resume(WorkerSession interrupted, WorkerSession session) {
    LinkedHashMap<Long, String> ended = actions.remove(interrupted);
    if (ended == null) {
      return List.of();
    }
    actions.put(session, ended);
    return List.copyOf(ended.keySet());
  }

  /** Its worker is given up. */
  void drop(WorkerSession session) {
    actions.remove(session);
  }
}
