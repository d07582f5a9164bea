package io.flinkactions.operator.lane;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.memory.MirrorClaim;

/**
 * The operator's queue for one key: the current run and the inputs waiting behind it.
 *
 * <p>A lane with inputs is *active*. One without is *idle*: it stays on the heap for a while, so
 * that a hot key costs no state access. What of it differs from state is written at the next
 * snapshot, or when the idle lane is evicted.
 *
 * <p>In state, inputs are entries by run number, and run numbers of a lane are contiguous: {@code
 * persistedFrom} and {@code persistedTo} say all about which entries are there. Mailbox thread
 * only.
 */
public final class Lane {

  private final String key;
  private final ByteString keyBytes;
  private final MirrorClaim claim = new MirrorClaim();
  private long nextRunNumber;
  private ByteString memoryVersion;

  // Inputs in order; the first is the current run's, if there is one.
  private Input firstInput;
  private Input lastInput;
  private Run run;

  // Run numbers of the input entries that state has; `hasLaneState`: state has a "lane" value too.
  private long persistedFrom;
  private long persistedTo;
  private boolean hasLaneState;

  // Position in the list of lanes that differ from state, or -1.
  int dirtyIndex = -1;
  // Neighbours in the list of idle lanes.
  Lane lessRecentlyUsed;
  Lane moreRecentlyUsed;
  boolean isInIdleList;

  /** A lane as its header in state says, or of a key that was never seen (0, empty). */
  public Lane(String key, long nextRunNumber, ByteString memoryVersion) {
    this.key = key;
    this.keyBytes = ByteString.copyFromUtf8(key);
    this.nextRunNumber = nextRunNumber;
    this.memoryVersion = memoryVersion;
    this.persistedFrom = nextRunNumber;
    this.persistedTo = nextRunNumber;
  }

  /** Canonical JSON text. */
  public String key() {
    return key;
  }

  /** The same, as it travels. */
  public ByteString keyBytes() {
    return keyBytes;
  }

  public MirrorClaim claim() {
    return claim;
  }

  public long nextRunNumber() {
    return nextRunNumber;
  }

  /** A number that no other input of this key ever gets. */
  public long takeRunNumber() {
    return nextRunNumber++;
  }

  /** Names what memory of this key holds; empty: nothing was ever written. */
  public ByteString memoryVersion() {
    return memoryVersion;
  }

  public void setMemoryVersion(ByteString version) {
    memoryVersion = version;
  }

  /** The input whose run is next or current, or null. */
  public Input firstInput() {
    return firstInput;
  }

  /** The input behind this one, or null. */
  public Input after(Input input) {
    return input.next;
  }

  public boolean isActive() {
    return firstInput != null;
  }

  public void add(Input input) {
    if (firstInput == null) {
      firstInput = input;
    } else {
      lastInput.next = input;
    }
    lastInput = input;
  }

  /** The run of the first input, if it has begun. */
  public Run run() {
    return run;
  }

  public void begin(Run newRun) {
    run = newRun;
  }

  /** The run has not really begun. */
  void unbegin() {
    run = null;
  }

  /** The first input is finished. */
  public Input removeFirstInput() {
    Input finished = firstInput;
    firstInput = finished.next;
    if (firstInput == null) {
      lastInput = null;
    }
    run = null;
    return finished;
  }

  // ---- what state has ----

  /** First run number whose input entry is in state. */
  public long persistedFrom() {
    return persistedFrom;
  }

  /** First run number after those whose input entries are in state. */
  public long persistedTo() {
    return persistedTo;
  }

  public boolean hasLaneState() {
    return hasLaneState;
  }

  /** State has these input entries now, and a lane value if there are any. */
  public void onPersisted(long from, long to, boolean laneState) {
    persistedFrom = from;
    persistedTo = to;
    hasLaneState = laneState;
  }
}
