package io.flinkactions.operator.time;

import java.util.Comparator;
import java.util.PriorityQueue;
import java.util.concurrent.ScheduledFuture;
import org.apache.flink.streaming.runtime.tasks.ProcessingTimeService;

/**
 * Everything that a subtask waits for by the clock, on one timer of Flink's processing time
 * service: the earliest.
 *
 * <p>Not Flink's keyed timers: those are state of their own, need a key context, fire at once in
 * BATCH when the key changes, and are lost with RocksDB if they are set while a snapshot is taken.
 * Actions run on the mailbox thread, in a yield and in the end of input too. Mailbox thread only.
 */
public final class Deadlines {

  /** What is done when the time has come. */
  @FunctionalInterface
  public interface Action {
    void onDue() throws Exception;
  }

  /** One wait; cancelling it twice, or after it was due, does nothing. */
  public static final class Deadline {
    private final long dueMillis;
    private final long order;
    private Action action;

    private Deadline(long dueMillis, long order, Action action) {
      this.dueMillis = dueMillis;
      this.order = order;
      this.action = action;
    }

    /** It stays in the queue until it is due, and does nothing then. */
    public void cancel() {
      action = null;
    }

    public boolean isPending() {
      return action != null;
    }
  }

  private final ProcessingTimeService clock;
  private final PriorityQueue<Deadline> queue =
      new PriorityQueue<>(
          Comparator.<Deadline>comparingLong(d -> d.dueMillis).thenComparingLong(d -> d.order));
  private long order;
  private ScheduledFuture<?> timer;
  private long timerDueMillis;

  public Deadlines(ProcessingTimeService clock) {
    this.clock = clock;
  }

  public long nowMillis() {
    return clock.getCurrentProcessingTime();
  }

  /** Runs the action once, not before {@code delayMillis} are over. */
  public Deadline in(long delayMillis, Action action) {
    long now = nowMillis();
    // A delay that stands for "never" is none that is over.
    long dueMillis = now + delayMillis < now ? Long.MAX_VALUE : now + delayMillis;
    Deadline deadline = new Deadline(dueMillis, order++, action);
    queue.add(deadline);
    arm();
    return deadline;
  }

  private void arm() {
    while (!queue.isEmpty() && !queue.peek().isPending()) {
      queue.poll();
    }
    if (queue.isEmpty()) {
      return;
    }
    long due = queue.peek().dueMillis;
    if (timer != null) {
      if (timerDueMillis <= due) {
        return;
      }
      timer.cancel(false);
    }
    timerDueMillis = due;
    timer = clock.registerTimer(due, this::onTimer);
  }

  private void onTimer(long timestamp) throws Exception {
    timer = null;
    long now = nowMillis();
    while (!queue.isEmpty() && (queue.peek().dueMillis <= now || !queue.peek().isPending())) {
      Deadline deadline = queue.poll();
      Action action = deadline.action;
      deadline.action = null;
      if (action != null) {
        action.onDue();
      }
    }
    arm();
  }
}
