package io.flinkactions.operator.session;

import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Carries events from gRPC's threads to the mailbox thread, with at most one wake outstanding.
 *
 * <p>Bounded by others: a session reads no further while too many of its bytes are not applied, and
 * of everything else there are a few.
 */
final class Inbox {
  private static final SessionEvent CAPACITY = new SessionEvent.CapacityAvailable();

  private final ConcurrentLinkedQueue<SessionEvent> events = new ConcurrentLinkedQueue<>();
  private final AtomicBoolean isAwake = new AtomicBoolean();
  private final AtomicBoolean hasCapacityEvent = new AtomicBoolean();
  private final Runnable wake;

  Inbox(Runnable wake) {
    this.wake = wake;
  }

  void add(SessionEvent event) {
    events.add(event);
    if (!isAwake.get() && isAwake.compareAndSet(false, true)) {
      try {
        wake.run();
      } catch (RejectedExecutionException e) {
        // The mailbox is closed: nobody will poll again, and the sessions are about to be closed
        // too.
      }
    }
  }

  /** One such event in the queue says as much as many. */
  void addCapacityAvailable() {
    if (!hasCapacityEvent.get() && hasCapacityEvent.compareAndSet(false, true)) {
      add(CAPACITY);
    }
  }

  /** On the mailbox thread. */
  SessionEvent poll() {
    SessionEvent event = events.poll();
    if (event == null) {
      isAwake.set(false);
      // One that was added before the line above woke nobody.
      event = events.poll();
      if (event == null) {
        return null;
      }
      isAwake.set(true);
    }
    if (event == CAPACITY) {
      hasCapacityEvent.set(false);
    }
    return event;
  }
}
