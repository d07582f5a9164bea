package io.flinkactions.operator.lane;

import io.flinkactions.operator.time.Deadlines;
import java.util.ArrayList;
import java.util.List;

/**
 * Finds invocations whose worker should have ended them for being over time, and has not: its event
 * loop is blocked, say.
 *
 * <p>A worker gets a duration with each Invoke and keeps to it by itself. This is the second line,
 * so it need not be exact: it looks through what is out at workers every now and then, which costs
 * an invocation nothing, where a timer for each would outlive it in the queue. Mailbox thread only.
 */
final class TimeLimits {

  /** What is late by this much is not coming: the answer itself may take its time. */
  static final long GRACE_MILLIS = 5_000;

  private static final long INTERVAL_MILLIS = 500;

  /** Told of each invocation that is over time. */
  @FunctionalInterface
  interface Listener {
    void onOverdue(Lane lane) throws Exception;
  }

  private final Deadlines deadlines;
  private final Handles handles;
  private final Listener listener;
  private boolean isArmed;

  TimeLimits(Deadlines deadlines, Handles handles, Listener listener) {
    this.deadlines = deadlines;
    this.handles = handles;
    this.listener = listener;
  }

  /** An invocation with a limit has been sent. */
  void watch() {
    if (!isArmed) {
      isArmed = true;
      deadlines.in(INTERVAL_MILLIS, this::look);
    }
  }

  private void look() throws Exception {
    isArmed = false;
    long now = System.nanoTime();
    List<Lane> overdue = new ArrayList<>();
    handles.forEachOpen(
        lane -> {
          Invocation invocation = lane.run().current();
          if (invocation.hasLimit()) {
            watch();
            if (now - invocation.overdueNanos() > 0) {
              overdue.add(lane);
            }
          }
        });
    for (Lane lane : overdue) {
      listener.onOverdue(lane);
    }
  }
}
