package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import java.util.Collection;

/**
 * All sessions of one subtask. Every method runs on the mailbox thread unless it says otherwise.
 *
 * <pre>{@code
 * Sessions sessions = new Sessions(settings, identity, wake);
 * sessions.open();
 * // in the mail that `wake` posts:
 * for (SessionEvent event; (event = sessions.poll()) != null; ) { apply(event); }
 * // where an invocation is ready:
 * WorkerSession session = sessions.route(key, generation);
 * if (session != null && session.mayInvoke(size)) { session.queue(invoke); }
 * sessions.flush();
 * }</pre>
 */
public final class Sessions implements AutoCloseable {

  /**
   * @param wake called on a gRPC thread when an event came and the last {@link #poll} found none:
   *     it must post a mail that polls until null (at once, or later by a mail of its own). Not
   *     called again before poll has returned null
   */
  public Sessions(SessionSettings settings, StartIdentity identity, Runnable wake) {}

  /** Starts to connect, and returns at once. */
  public void open() {
    throw new UnsupportedOperationException();
  }

  /** The next event, or null if there is none now. */
  public SessionEvent poll() {
    throw new UnsupportedOperationException();
  }

  /**
   * The session for a key's next invocation, or null if there is none now (events tell when to ask
   * again).
   *
   * <p>A run stays with the generation it began in while that lives; then, and for new runs, it is
   * the last announced one. Within it, keys are spread over the workers by rendezvous hashing, so
   * that most keys stay where they are when a worker comes or goes.
   *
   * @param generation the generation in which the key's run began, or empty
   */
  public WorkerSession route(String key, ByteString generation) {
    throw new UnsupportedOperationException();
  }

  /**
   * Sends what is queued on every session, as far as windows and sockets allow; the rest follows by
   * itself.
   */
  public void flush() {
    throw new UnsupportedOperationException();
  }

  /** The open sessions. */
  public Collection<WorkerSession> openSessions() {
    throw new UnsupportedOperationException();
  }

  /** Numbers for metrics. Any thread. */
  public SessionCounters counters() {
    throw new UnsupportedOperationException();
  }

  /** Says goodbye as a job whose input has ended, and releases everything. */
  public void closeFinished() {
    throw new UnsupportedOperationException();
  }

  /**
   * Says goodbye as a job that is cancelled or failed, and releases everything. Within the close
   * timeout; may be called twice.
   */
  @Override
  public void close() {
    throw new UnsupportedOperationException();
  }
}
