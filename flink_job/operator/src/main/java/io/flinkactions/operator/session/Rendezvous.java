package io.flinkactions.operator.session;

import java.util.List;

/**
 * Assigns keys to workers so that a worker that comes or goes moves only the keys it gains or had.
 */
final class Rendezvous {

  private Rendezvous() {}

  /** The session with the highest score for this key; null if there is none. */
  static WorkerSession choose(String key, List<WorkerSession> sessions) {
    int count = sessions.size();
    if (count <= 1) {
      return count == 0 ? null : sessions.get(0);
    }
    long hash = mix(key.hashCode());
    WorkerSession best = null;
    long bestScore = 0;
    for (int i = 0; i < count; i++) {
      WorkerSession session = sessions.get(i);
      long score = mix(hash ^ session.workerHash());
      if (best == null || Long.compareUnsigned(score, bestScore) > 0) {
        best = session;
        bestScore = score;
      }
    }
    return best;
  }

  /** The hash of a worker's name that {@link #choose} wants. */
  static long hashOf(String worker) {
    long hash = 0;
    for (int i = 0; i < worker.length(); i++) {
      hash = mix(hash + worker.charAt(i));
    }
    return hash;
  }

  /**
   * A bijection that spreads every input bit over the whole word (Stafford's thirteenth variant, as
   * in SplittableRandom).
   */
  private static long mix(long z) {
    z += 0x9e3779b97f4a7c15L;
    z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
    z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
    return z ^ z >>> 31;
  }
}
