package io.flinkactions.operator.bench;

import java.util.concurrent.atomic.AtomicLong;

/** When the source may emit: a limit on how many inputs have left it by a given time. */
abstract class Pace {

  /** How many inputs may have been emitted at {@code nanoTime}. */
  abstract long allowed(long nanoTime);

  /** How long to wait before asking again, having emitted {@code emitted} inputs. */
  abstract long nanosUntilMore(long emitted, long nanoTime);

  /** As fast as Flink takes them. */
  static Pace unlimited() {
    return new Pace() {
      @Override
      long allowed(long nanoTime) {
        return Long.MAX_VALUE;
      }

      @Override
      long nanosUntilMore(long emitted, long nanoTime) {
        return 0;
      }
    };
  }

  /** Evenly, beginning with the first question. Does not slow down when outputs are late. */
  static Pace perSecond(double rate) {
    return new Pace() {
      private long startNanos;

      @Override
      long allowed(long nanoTime) {
        if (startNanos == 0) {
          startNanos = nanoTime;
        }
        return 1 + (long) ((nanoTime - startNanos) * rate / 1e9);
      }

      @Override
      long nanosUntilMore(long emitted, long nanoTime) {
        return Math.max(0, startNanos + (long) (emitted * 1e9 / rate) - nanoTime);
      }
    };
  }

  /** In bursts, when somebody says so. */
  static final class OnRelease extends Pace {
    private static final long POLL_NANOS = 500_000;

    private final AtomicLong released = new AtomicLong();

    /** Lets {@code count} more inputs go. */
    void release(long count) {
      released.addAndGet(count);
    }

    @Override
    long allowed(long nanoTime) {
      return released.get();
    }

    @Override
    long nanosUntilMore(long emitted, long nanoTime) {
      return POLL_NANOS;
    }
  }
}
