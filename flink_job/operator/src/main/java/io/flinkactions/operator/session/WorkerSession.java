package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.CallsRecorded;
import io.flinkactions.wire.v1.Cancel;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.Plan;
import io.flinkactions.wire.v1.WorkerFrame;
import java.util.Collection;

/**
 * One welcomed stream to one incarnation of one worker. A reconnect makes another one. Public
 * methods run on the mailbox thread unless they say otherwise.
 */
public final class WorkerSession {

  WorkerSession() {}

  /** What this worker's generation offers; {@link Invoke#getAction()} is an index into it. */
  public Plan plan() {
    throw new UnsupportedOperationException();
  }

  /** Id of the worker's generation, 16 bytes. */
  public ByteString generation() {
    throw new UnsupportedOperationException();
  }

  /** The worker's name, stable over restarts of its process: "w0". */
  public String worker() {
    throw new UnsupportedOperationException();
  }

  /** Id of the worker's process, 16 bytes. */
  public ByteString incarnation() {
    throw new UnsupportedOperationException();
  }

  /**
   * Whether what is queued may still reach the worker. False as soon as an event says so, not
   * earlier.
   */
  public boolean isOpen() {
    throw new UnsupportedOperationException();
  }

  /**
   * Whether the worker's credit covers one more Invoke of this size (an estimate will do); one may
   * always go when none is open. After false, a {@link SessionEvent.CapacityAvailable} comes when
   * there is credit again.
   */
  public boolean mayInvoke(int serializedBytes) {
    throw new UnsupportedOperationException();
  }

  /**
   * Opens an invocation: puts it behind those that wait to be sent. {@link Sessions#flush} sends
   * them. What a reconnect resumes may be queued without asking {@link #mayInvoke}: it waits here
   * for credit.
   *
   * @throws SessionException.MessageTooLarge if no frame may hold it. Nothing is sent and the
   *     session goes on
   */
  public void queue(Invoke invoke) {
    throw new UnsupportedOperationException();
  }

  /**
   * One queued invocation is over for the operator: it was answered (also by Bounce or NeedMemory)
   * or cancelled.
   */
  public void closed() {
    throw new UnsupportedOperationException();
  }

  /** Largest Invoke that {@link #queue} takes. */
  public int maxInvokeBytes() {
    throw new UnsupportedOperationException();
  }

  /**
   * Ends these attempts. What was not sent yet is not sent. Say {@link #closed} for each as well.
   */
  public void cancel(Collection<Long> handles, Cancel.Reason reason) {
    throw new UnsupportedOperationException();
  }

  /** Acknowledges call records. */
  public void callsRecorded(CallsRecorded recorded) {
    throw new UnsupportedOperationException();
  }

  /**
   * The checkpoint and all before it are complete; {@code cut} is what {@link #lastAppliedSequence}
   * was at its snapshot.
   */
  public void checkpointCompleted(long checkpointId, long cut) {
    throw new UnsupportedOperationException();
  }

  /** Hint: the mirrors of these keys are of no use any more. */
  public void forgetKeys(Collection<ByteString> keys) {
    throw new UnsupportedOperationException();
  }

  /** The frame has been applied whole: notes its number and lets another one be read. */
  public void applied(WorkerFrame frame) {
    throw new UnsupportedOperationException();
  }

  /** Number of the last frame that was applied: the cut of a snapshot taken now. 0: none yet. */
  public long lastAppliedSequence() {
    throw new UnsupportedOperationException();
  }
}
