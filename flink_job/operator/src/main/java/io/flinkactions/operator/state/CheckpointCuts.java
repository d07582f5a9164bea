package io.flinkactions.operator.state;

import io.flinkactions.operator.session.WorkerSession;
import java.util.Collection;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;

/**
 * Remembers, for each checkpoint that is not complete yet, which frames its snapshot has seen, so
 * that workers drop what they kept of those and of no others.
 */
public final class CheckpointCuts {

  // Checkpoints that are neither completed nor aborted for us to see; the oldest is forgotten,
  // which costs workers memory only.
  private static final int LIMIT = 64;

  private final NavigableMap<Long, Map<WorkerSession, Long>> cuts = new TreeMap<>();

  /** The snapshot is being taken now. */
  public void onSnapshot(long checkpointId, Collection<WorkerSession> sessions) {
    Map<WorkerSession, Long> cut = new IdentityHashMap<>();
    for (WorkerSession session : sessions) {
      cut.put(session, session.lastAppliedSequence());
    }
    cuts.put(checkpointId, cut);
    if (cuts.size() > LIMIT) {
      cuts.pollFirstEntry();
    }
  }

  /** This checkpoint, and so all before it, will never be needed for what came before it. */
  public void onCompleted(long checkpointId) {
    Map<WorkerSession, Long> cut = cuts.get(checkpointId);
    cuts.headMap(checkpointId, true).clear();
    if (cut != null) {
      cut.forEach(
          (session, sequence) -> {
            if (session.isOpen()) {
              session.checkpointCompleted(checkpointId, sequence);
            }
          });
    }
  }
}
