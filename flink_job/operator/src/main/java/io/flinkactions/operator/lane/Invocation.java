package io.flinkactions.operator.lane;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.flinkactions.operator.session.WorkerSession;
import io.flinkactions.wire.v1.ContentType;

/** One action on one event of a run. */
public final class Invocation {

  /** The event that an action sent, and who did. */
  public record SentEvent(
      String type,
      ByteString payload,
      ContentType contentType,
      ByteString source,
      int position,
      String upstreamAction,
      ByteString upstreamEventId) {}

  private final String action;
  private final int ordinal;
  private final int hops;
  private final SentEvent event;
  Invocation next;

  private int attempt;
  private int failures;
  private int deaths;
  // Where it is; null and 0 while it is at no worker.
  private WorkerSession session;
  private long handle;
  private byte[] id;
  private ByteString idBytes;
  private long sentNanos;

  /**
   * An invocation that was never handed out.
   *
   * @param ordinal counts the invocations of the run
   * @param hops events between the input and this one
   * @param event null for the input itself
   */
  public Invocation(String action, int ordinal, int hops, SentEvent event) {
    this.action = action;
    this.ordinal = ordinal;
    this.hops = hops;
    this.event = event;
  }

  /** Takes over the counts of an invocation that was restored. */
  public Invocation restoreCounts(int attempts, int userFailures, int workerDeaths) {
    attempt = attempts;
    failures = userFailures;
    deaths = workerDeaths;
    return this;
  }

  public String action() {
    return action;
  }

  public int ordinal() {
    return ordinal;
  }

  public int hops() {
    return hops;
  }

  /** Null: the run's input. */
  public SentEvent event() {
    return event;
  }

  /** Hand-outs so far: fences, nothing else. */
  public int attempt() {
    return attempt;
  }

  /** Failures of user code, for the failure policy. */
  public int failures() {
    return failures;
  }

  /** Workers that died under it. */
  public int deaths() {
    return deaths;
  }

  /** Stable over attempts; null until it is first sent. Not to be changed. */
  public byte[] id() {
    return id;
  }

  /** The same, as it travels. */
  public ByteString idBytes() {
    return idBytes;
  }

  void identify(byte[] invocationId) {
    id = invocationId;
    idBytes = UnsafeByteOperations.unsafeWrap(invocationId);
  }

  public boolean isSent() {
    return session != null;
  }

  public WorkerSession session() {
    return session;
  }

  public long handle() {
    return handle;
  }

  public long sentNanos() {
    return sentNanos;
  }

  /** The next hand-out gets a number of its own, because this one may still run somewhere. */
  void countAttempt() {
    attempt++;
  }

  void countDeath() {
    deaths++;
  }

  void onSent(WorkerSession worker, long newHandle, long nanos) {
    session = worker;
    handle = newHandle;
    sentNanos = nanos;
  }

  void onReturned() {
    session = null;
    handle = 0;
  }
}
