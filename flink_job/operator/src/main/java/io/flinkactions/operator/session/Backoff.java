package io.flinkactions.operator.session;

import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * How long to wait before the next attempt: a twentieth of the time that the attempts have failed
 * already, at least 5 ms, at most half a second, a fifth of it random. A worker that restarts is
 * found within a few per cent of the time it was away, and one that stays away costs two refused
 * connections a second.
 */
final class Backoff {
  private static final long SHORTEST = TimeUnit.MILLISECONDS.toNanos(5);
  private static final long LONGEST = TimeUnit.MILLISECONDS.toNanos(500);

  private boolean isFailing;
  private long failingSince;

  void succeeded() {
    isFailing = false;
  }

  /** In nanoseconds. */
  long afterFailure(long now) {
    if (!isFailing) {
      isFailing = true;
      failingSince = now;
    }
    long wait = Math.max(SHORTEST, Math.min(LONGEST, (now - failingSince) / 20));
    return wait + ThreadLocalRandom.current().nextLong(wait / 5);
  }
}
