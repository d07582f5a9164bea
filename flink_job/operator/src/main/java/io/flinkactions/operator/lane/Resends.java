package io.flinkactions.operator.lane;

import io.flinkactions.operator.session.WorkerSession;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;

/**
 * Open invocations that are to be sent once more under their handles: an interrupted session had
 * them, or their worker lacks the key's memory.
 *
 * <p>They wait here as handles, not as Invokes: each may carry the whole memory of its key, and all
 * of them at once would be more than a heap holds. What ends an invocation takes it out. Mailbox
 * thread only.
 */
final class Resends {

  private final Map<WorkerSession, LinkedHashSet<Long>> handles = new HashMap<>();

  void add(WorkerSession session, long handle) {
    handles.computeIfAbsent(session, s -> new LinkedHashSet<>()).add(handle);
  }

  /** The session whose invocations wait go before any other of that session. */
  boolean isWaitingFor(WorkerSession session) {
    return !handles.isEmpty() && handles.containsKey(session);
  }

  List<WorkerSession> sessions() {
    return handles.isEmpty() ? List.of() : new ArrayList<>(handles.keySet());
  }

  /** The handle that has waited longest for this session, or null. */
  Long peek(WorkerSession session) {
    LinkedHashSet<Long> waiting = handles.get(session);
    return waiting == null ? null : waiting.iterator().next();
  }

  /** False if this handle does not wait here. */
  boolean remove(WorkerSession session, long handle) {
    if (handles.isEmpty()) {
      return false;
    }
    LinkedHashSet<Long> waiting = handles.get(session);
    if (waiting == null || !waiting.remove(handle)) {
      return false;
    }
    if (waiting.isEmpty()) {
      handles.remove(session);
    }
    return true;
  }

  /** Nothing goes by this session any more. */
  void drop(WorkerSession session) {
    handles.remove(session);
  }
}
