package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.session.SessionException.MessageTooLarge;
import io.flinkactions.wire.v1.CallRecord;
import io.flinkactions.wire.v1.CallsRecorded;
import io.flinkactions.wire.v1.Cancel;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.Plan;
import io.flinkactions.wire.v1.Pong;
import io.flinkactions.wire.v1.WorkerFrame;
import java.util.Collection;
import java.util.List;

/**
 * One welcomed stream to one incarnation of one worker. A reconnect makes another one. Public
 * methods run on the mailbox thread.
 *
 * <p>What {@link #queue} and the others say is sent by {@link Sessions#flush}, or earlier.
 */
public final class WorkerSession {
  private final WorkerStream stream;
  private final Welcomed welcomed;
  private final Outbox outbox;
  private final long workerHash;
  private final Object token;

  private boolean isOpen = true;
  private long lastAppliedSequence;

  /** What Welcome has settled. */
  record Welcomed(
      String worker,
      ByteString incarnation,
      ByteString generation,
      Plan plan,
      long lingerMillis,
      boolean isQuarantine,
      boolean tellsHoldings) {}

  /**
   * {@code resumes} is the session with the same incarnation that this one goes on with, or null.
   */
  WorkerSession(WorkerStream stream, Welcomed welcomed, Outbox outbox, WorkerSession resumes) {
    this.stream = stream;
    this.welcomed = welcomed;
    this.outbox = outbox;
    this.token = resumes == null ? new Object() : resumes.token;
    this.workerHash = Rendezvous.hashOf(welcomed.worker());
  }

  /** What this worker's generation offers; {@link Invoke#getAction()} is an index into it. */
  public Plan plan() {
    return welcomed.plan();
  }

  /** Id of the worker's generation, 16 bytes. */
  public ByteString generation() {
    return welcomed.generation();
  }

  /** The worker's name, stable over restarts of its process: "w0". */
  public String worker() {
    return welcomed.worker();
  }

  /** Id of the worker's process, 16 bytes. */
  public ByteString incarnation() {
    return welcomed.incarnation();
  }

  /** Whether its worker is for suspects only. */
  public boolean isQuarantine() {
    return welcomed.isQuarantine();
  }

  /**
   * Whether what is queued may still reach the worker. It turns false with the event that says so,
   * not earlier.
   */
  public boolean isOpen() {
    return isOpen;
  }

  /**
   * Whether the worker's credit covers one more Invoke of this size (an estimate will do); one may
   * always go when none is open. After false, a {@link SessionEvent.CapacityAvailable} comes when
   * there is credit again.
   */
  public boolean mayInvoke(int serializedBytes) {
    return outbox.mayInvoke(serializedBytes);
  }

  /**
   * Opens an invocation: puts it behind those that wait to be sent. What a reconnect resumes may be
   * queued without asking {@link #mayInvoke}: it waits here for credit.
   *
   * @throws MessageTooLarge if no frame may hold it. Nothing is sent and the session goes on
   */
  public void queue(Invoke invoke) {
    queue(invoke, List.of());
  }

  /**
   * The same, with call records that are too many for the Invoke.
   *
   * @param following what {@link Invoke#getMoreCalls} promises, the last one marked as such
   */
  public void queue(Invoke invoke, List<CallRecord> following) {
    int size = invoke.getSerializedSize();
    for (CallRecord record : following) {
      size = Math.max(size, record.getSerializedSize());
    }
    if (size > outbox.maxInvokeBytes()) {
      int action = invoke.getAction();
      throw new MessageTooLarge(
          action < plan().getActionsCount()
              ? plan().getActions(action).getName()
              : "number " + action,
          invoke.getKey().toStringUtf8(),
          size,
          outbox.maxInvokeBytes());
    }
    outbox.queue(invoke, following);
  }

  /** Largest Invoke that {@link #queue} takes, in bytes. */
  public int maxInvokeBytes() {
    return outbox.maxInvokeBytes();
  }

  /**
   * One queued invocation is over for the operator: it was answered (also by Bounce or NeedMemory)
   * or cancelled.
   */
  public void closed() {
    if (outbox.closed()) {
      stream.capacityAvailable();
    }
  }

  /**
   * Ends these attempts; those that were not sent yet are not sent. Say {@link #closed} for each as
   * well. The operator ends none: it stands here as the protocol's sending half, which the contract
   * cases hold.
   */
  public void cancel(Collection<Long> handles, Cancel.Reason reason) {
    outbox.cancel(handles, reason);
  }

  /**
   * Tells the worker that all it had of this start before is queued here, or over: what it still
   * runs beside that it may end. Said once; later calls do nothing.
   */
  public void allResumed() {
    outbox.allResumed();
  }

  /** What was queued and not sent is not sent any more. It stays open. */
  public void dropQueued() {
    outbox.dropInvokes();
  }

  /** Acknowledges call records. */
  public void callsRecorded(CallsRecorded recorded) {
    outbox.callsRecorded(recorded);
  }

  /**
   * The checkpoint and all before it are complete.
   *
   * @param cut what {@link #lastAppliedSequence} of this session was at its snapshot
   */
  public void checkpointCompleted(long checkpointId, long cut) {
    outbox.checkpointCompleted(checkpointId, cut);
  }

  /** Hint: the mirror of this key is of no use any more. Makes no frame of its own. */
  public void forgetKey(ByteString key) {
    outbox.forgetKey(key);
  }

  /**
   * The frame has been applied whole, frames in their order: notes its number and lets more be
   * read.
   */
  public void applied(WorkerFrame frame) {
    lastAppliedSequence = frame.getSequence();
    stream.applied();
  }

  /** Number of the last frame that was applied: the cut of a snapshot taken now. 0: none yet. */
  public long lastAppliedSequence() {
    return lastAppliedSequence;
  }

  /**
   * Stands for this session, and those that resume it, where something that lives longer is to
   * remember whom it has told what: it holds nothing.
   */
  public Object token() {
    return token;
  }

  @Override
  public String toString() {
    return "session with " + welcomed.worker() + " at " + stream.address();
  }

  // ---- for this package ----

  /** Whether its worker is about to tell what it holds of earlier starts. */
  boolean tellsHoldings() {
    return welcomed.tellsHoldings();
  }

  void notOpenAnyMore() {
    isOpen = false;
  }

  void pump() {
    stream.pump();
  }

  long workerHash() {
    return workerHash;
  }

  Outbox outbox() {
    return outbox;
  }

  WorkerStream stream() {
    return stream;
  }

  long lingerMillis() {
    return welcomed.lingerMillis();
  }

  Pong lastPong() {
    return stream.lastPong();
  }
}
