package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.Bye;
import java.util.Collection;
import java.util.List;

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
  private final Inbox inbox;
  private final Fleet fleet;
  private final Routing routing = new Routing();
  private boolean isClosed;

  /**
   * @param wake called on a gRPC thread when an event came and the last {@link #poll} found none:
   *     it must post a mail that polls until null (at once, or later by a mail of its own). Not
   *     called again before poll has returned null
   */
  public Sessions(SessionSettings settings, StartIdentity identity, Runnable wake) {
    this.inbox = new Inbox(wake);
    this.fleet = new Fleet(settings, identity, inbox);
  }

  /** Starts to connect, and returns at once. */
  public void open() {
    fleet.open();
  }

  /** The next event, or null if there is none now. */
  public SessionEvent poll() {
    SessionEvent event = inbox.poll();
    if (event instanceof SessionEvent.Welcomed welcomed) {
      routing.opened(welcomed.session());
    } else if (event instanceof SessionEvent.HoldingsTold told) {
      routing.tells(told.session(), told.page());
    } else if (event instanceof SessionEvent.Draining draining) {
      routing.draining(draining.session(), draining.reason());
    } else if (event instanceof SessionEvent.Interrupted interrupted) {
      routing.closed(interrupted.session());
    } else if (event instanceof SessionEvent.Ended ended) {
      routing.closed(ended.session());
      routing.holders().ended(ended.session());
    }
    return event;
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
    return routing.route(key, generation, fleet.view());
  }

  /** Whether a worker of this generation goes on with its runs now, or will in a moment. */
  public boolean isAlive(ByteString generation) {
    return routing.isAlive(generation, fleet.view());
  }

  /**
   * Whether a worker that may hold work of an earlier start has still to tell what it is: until
   * then nobody knows where an invocation is to go.
   */
  public boolean awaitsHoldings() {
    return routing.awaitsHoldings(fleet.view());
  }

  /** Sessions with workers that hold work of earlier starts: archives and interrupted ones, too. */
  public List<WorkerSession> holders() {
    return routing.holders().all();
  }

  /**
   * How late this worker was at the invocation in an earlier start, to compare with others: the
   * latest began with the records of those before. 0: it holds nothing of it.
   */
  public long heldRank(WorkerSession holder, byte[] invocationId) {
    return routing.holders().rank(holder, invocationId);
  }

  /** The invocation is sent to this worker. */
  public void onAsked(WorkerSession worker, byte[] invocationId) {
    routing.holders().asked(worker, invocationId);
  }

  /** The invocation was answered, and is to be looked for nowhere any more. */
  public void onAnswered(byte[] invocationId) {
    routing.holders().answered(invocationId);
  }

  /** Whether its worker answers from what it has kept and runs nothing. */
  public boolean isArchive(WorkerSession session) {
    return routing.isArchive(session);
  }

  /** Whether this start may find work of an earlier one at workers. */
  public boolean looksForKeptWork() {
    return fleet.identity().isRestart();
  }

  /**
   * There are suspects, or none any more. While there are, the quarantine worker of the server is
   * asked for and connected to: a {@link SessionEvent.Welcomed} follows when it is there, or a
   * {@link SessionEvent.NoQuarantine}.
   */
  public void wantQuarantine(boolean isWanted) {
    fleet.wantQuarantine(isWanted);
  }

  /** Lets a {@link SessionEvent.CapacityAvailable} come, behind what has come already. */
  public void callAgain() {
    inbox.addCapacityAvailable();
  }

  /** The session with the quarantine worker, or null. {@link #route} never leads there. */
  public WorkerSession quarantine() {
    return routing.quarantine();
  }

  /**
   * Sends what is queued on every session, as far as windows and sockets allow; the rest follows by
   * itself.
   */
  public void flush() {
    Collection<WorkerSession> open = routing.open();
    for (WorkerSession session : open) {
      session.pump();
    }
  }

  /** The sessions that are open, as far as events have told. */
  public Collection<WorkerSession> openSessions() {
    return List.copyOf(routing.open());
  }

  /**
   * Hint: nothing will build on the mirror of this key's memory that the worker behind the token
   * has. It goes with what else is said, and is lost if there is too much of it.
   *
   * @param token {@link WorkerSession#token} of a session, which may have ended long ago
   */
  public void forgetMirror(Object token, ByteString key) {
    for (WorkerSession session : routing.open()) {
      if (session.token() == token) {
        session.forgetKey(key);
        return;
      }
    }
  }

  /** Numbers for metrics. Any thread. */
  public SessionCounters counters() {
    return fleet.counters();
  }

  /** Says goodbye as a job whose input has ended, and releases everything. */
  public void closeFinished() {
    close(Bye.Reason.FINISHED, "the job's input has ended");
  }

  /**
   * Says goodbye as a job that is cancelled or failed, and releases everything. Within the close
   * timeout; may be called twice.
   */
  @Override
  public void close() {
    close(Bye.Reason.JOB_CANCELLED, "the task is closed");
  }

  private void close(Bye.Reason reason, String message) {
    if (!isClosed) {
      isClosed = true;
      fleet.close(reason, message);
    }
  }
}
