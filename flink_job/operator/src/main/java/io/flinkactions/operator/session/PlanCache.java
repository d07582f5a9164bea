package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.Plan;
import java.util.LinkedHashMap;
import java.util.Map;

/** The plans that this start has seen, by digest, so that they travel once. Any thread. */
final class PlanCache {
  // One per generation, and few generations live at a time.
  private static final int MOST = 16;

  private final Map<ByteString, Plan> plans =
      new LinkedHashMap<>(MOST, 0.75f, true) {
        private static final long serialVersionUID = 1;

        @Override
        protected boolean removeEldestEntry(Map.Entry<ByteString, Plan> eldest) {
          return size() > MOST;
        }
      };

  synchronized boolean has(ByteString digest) {
    return plans.containsKey(digest);
  }

  synchronized Plan get(ByteString digest) {
    return plans.get(digest);
  }

  /** The plan of this digest: the one that was there before, if there was one. */
  synchronized Plan intern(ByteString digest, Plan plan) {
    Plan known = plans.putIfAbsent(digest, plan);
    return known == null ? plan : known;
  }
}
