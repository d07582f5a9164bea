package io.flinkactions.operator.lane;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.UnsafeByteOperations;
import io.flinkactions.operator.session.WorkerSession;
import io.flinkactions.wire.v1.CallPlace;
import io.flinkactions.wire.v1.CallRecord;
import io.flinkactions.wire.v1.ContentType;
import java.util.Collection;
import java.util.List;
import java.util.Map;

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

  /** Workers that may die of whoever knows what while it is in flight, before it is a suspect. */
  static final int DEATHS_OF_A_SUSPECT = 2;

  private final String action;
  private final int ordinal;
  private final int hops;
  private final SentEvent event;
  Invocation next;

  private int attempt;
  private int failures;
  private int deaths;
  private int loneDeaths;
  private boolean isSuspect;
  // Of its next attempt, wall clock; 0: it does not wait.
  private long dueMillis;
  // Where it is; null and 0 while it is at no worker.
  private WorkerSession session;
  private long handle;
  private byte[] id;
  private ByteString idBytes;
  private long sentNanos;
  private CallRecords calls;

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

  /**
   * Takes over the counts of an invocation that was restored. It is a suspect as far as they tell;
   * {@link #restoreSuspicion} knows better.
   */
  public Invocation restoreCounts(int attempts, int userFailures, int workerDeaths) {
    attempt = attempts;
    failures = userFailures;
    deaths = workerDeaths;
    isSuspect = workerDeaths >= DEATHS_OF_A_SUSPECT;
    return this;
  }

  /** Takes over whether it was a suspect: it may have been named at once, or cleared since. */
  public Invocation restoreSuspicion(boolean wasSuspect) {
    isSuspect = wasSuspect;
    return this;
  }

  /** Takes over the wait for another attempt of an invocation that was restored; 0: none. */
  public Invocation restoreWait(long wallClockMillis) {
    dueMillis = wallClockMillis;
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

  /** Workers that died while they had this one and no other. */
  public int loneDeaths() {
    return loneDeaths;
  }

  /** Takes over what was restored of the workers that it has killed. */
  public Invocation restoreLoneDeaths(int count) {
    loneDeaths = count;
    return this;
  }

  /** Its durable calls; to be filled. */
  CallRecords calls() {
    if (calls == null) {
      calls = new CallRecords();
    }
    return calls;
  }

  /** Whether there is any record of its durable calls. */
  public boolean hasCalls() {
    return calls != null && !calls.isEmpty();
  }

  /** The records of its durable calls, oldest first, none if there are none. */
  public Collection<CallRecord> callRecords() {
    return calls == null ? List.of() : calls.all();
  }

  /** The places of those calls that the action state store has, and under which epochs. */
  public Map<CallPlace, Long> storedEpochs() {
    return calls == null ? Map.of() : calls.storedEpochs();
  }

  /** Takes over the records of an invocation that was restored. */
  public Invocation restoreCalls(List<ByteString> serialized, List<Long> storedEpochs)
      throws InvalidProtocolBufferException {
    if (!serialized.isEmpty()) {
      calls = CallRecords.restore(serialized, storedEpochs);
    }
    return this;
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

  /** Its last attempt has gone to a worker, in this start. */
  boolean wasSent() {
    return sentNanos != 0;
  }

  /** The next hand-out gets a number of its own, because this one may still run somewhere. */
  void countAttempt() {
    attempt++;
  }

  /** Its records are about to be sent with another attempt. */
  void beginAttempt() {
    if (calls != null) {
      calls.onAttempt();
    }
  }

  void countFailure() {
    failures++;
  }

  /** It has failed, and waits for another attempt. */
  public boolean isWaiting() {
    return dueMillis != 0;
  }

  /** When that may be, by the wall clock; 0 if it does not wait. */
  public long dueMillis() {
    return dueMillis;
  }

  void waitUntil(long wallClockMillis) {
    dueMillis = wallClockMillis;
  }

  void endWait() {
    dueMillis = 0;
  }

  void countDeath() {
    deaths++;
  }

  /** Whether it may have killed its worker, and is to be tried apart from others. */
  public boolean isSuspect() {
    return isSuspect;
  }

  void suspect() {
    isSuspect = true;
  }

  void clear() {
    isSuspect = false;
  }

  void countLoneDeath() {
    loneDeaths++;
  }

  void onSent(WorkerSession worker, long newHandle, long nanos) {
    session = worker;
    handle = newHandle;
    sentNanos = nanos;
  }

  /** What it was sent with has stayed here. */
  void onNeverLeft() {
    sentNanos = 0;
  }

  void onReturned() {
    session = null;
    handle = 0;
  }
}
