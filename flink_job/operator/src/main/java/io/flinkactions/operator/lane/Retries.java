package io.flinkactions.operator.lane;

import io.flinkactions.operator.time.Deadlines;
import java.util.Comparator;
import java.util.PriorityQueue;

/**
 * Lanes whose current invocation has failed and waits for another attempt.
 *
 * <p>A lane that waits has no worker, no handle and no place among the runs in flight: it is an
 * entry of this queue. When the time has come it is startable like any other, and the wait is over
 * in state too. What an entry was made for may be over by then; it acts only if the invocation is
 * still the lane's current one, and has failed no more often. Mailbox thread only.
 */
final class Retries {

  /** Told of what is due: first each lane, then once that there was any. */
  interface Listener {
    void onDue(Lane lane) throws Exception;

    void onAllDue() throws Exception;
  }

  private record Wait(long dueMillis, long order, Lane lane, Invocation invocation, int failures) {
    boolean isStillWanted() {
      Run run = lane.run();
      return run != null
          && run.current() == invocation
          && invocation.isWaiting()
          && invocation.failures() == failures;
    }
  }

  private final Deadlines deadlines;
  private final Listener listener;
  private final PriorityQueue<Wait> waits =
      new PriorityQueue<>(Comparator.comparingLong(Wait::dueMillis).thenComparingLong(Wait::order));
  private long order;
  private Deadlines.Deadline armed;
  private long armedFor;

  Retries(Deadlines deadlines, Listener listener) {
    this.deadlines = deadlines;
    this.listener = listener;
  }

  /** The lane's current invocation waits from now on. */
  void waitFor(Lane lane, long delayMillis) {
    lane.run().current().waitUntil(deadlines.nowMillis() + delayMillis);
    resume(lane);
  }

  /** The lane's current invocation waits already: its time may be over, if it was restored. */
  void resume(Lane lane) {
    Invocation invocation = lane.run().current();
    waits.add(new Wait(invocation.dueMillis(), order++, lane, invocation, invocation.failures()));
    arm();
  }

  int count() {
    return waits.size();
  }

  private void arm() {
    if (waits.isEmpty()) {
      return;
    }
    long due = waits.peek().dueMillis();
    if (armed != null && armed.isPending()) {
      if (armedFor <= due) {
        return;
      }
      armed.cancel();
    }
    armedFor = due;
    armed = deadlines.in(Math.max(0, due - deadlines.nowMillis()), this::onTimer);
  }

  private void onTimer() throws Exception {
    long now = deadlines.nowMillis();
    while (!waits.isEmpty() && waits.peek().dueMillis() <= now) {
      Wait wait = waits.poll();
      if (wait.isStillWanted()) {
        wait.invocation().endWait();
        listener.onDue(wait.lane());
      }
    }
    arm();
    listener.onAllDue();
  }
}
