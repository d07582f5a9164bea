package io.flinkactions.operator.store;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.CallRecord;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Calls that were read back and wait for their invocations, which are sent again one after the
 * other as inputs come back.
 *
 * <p>One leaves when its invocation takes it, and then it is in a lane; or when its run is over
 * without, because the inputs of its key came in another order this time: no invocation will ever
 * have its id. Until then the marker of its partition stays at it, or a restore from the next
 * checkpoint would not find it. Mailbox thread only.
 */
final class RebuiltCalls {

  /** One call, and where in the topic it is. */
  static final class Entry {
    final ByteString key;
    final long epoch;
    final ByteString invocationId;
    final CallRecord call;
    final int partition;
    final long offset;
    private final ByteString laneKey;
    private final long runNumber;
    private boolean isGone;

    Entry(
        ByteString key,
        EntryKey named,
        CallRecord call,
        ByteString laneKey,
        long runNumber,
        int partition,
        long offset) {
      this.key = key;
      this.epoch = named.epoch();
      this.invocationId = named.invocationId();
      this.call = call;
      this.laneKey = laneKey;
      this.runNumber = runNumber;
      this.partition = partition;
      this.offset = offset;
    }

    private int bytes() {
      return key.size() + laneKey.size() + call.getSerializedSize();
    }
  }

  private final Map<ByteString, Entry> byKey = new HashMap<>();
  private final Map<ByteString, List<Entry>> byInvocation = new HashMap<>();
  private final Map<ByteString, TreeMap<Long, List<Entry>>> byRun = new HashMap<>();
  private final Map<Integer, Deque<Entry>> byPartition = new HashMap<>();
  private long bytes;

  /** Adds an entry that was read behind all others of its partition. */
  void put(Entry entry) {
    remove(entry.key);
    byKey.put(entry.key, entry);
    byInvocation.computeIfAbsent(entry.invocationId, id -> new ArrayList<>(1)).add(entry);
    byRun
        .computeIfAbsent(entry.laneKey, key -> new TreeMap<>())
        .computeIfAbsent(entry.runNumber, run -> new ArrayList<>(1))
        .add(entry);
    byPartition.computeIfAbsent(entry.partition, p -> new ArrayDeque<>()).add(entry);
    bytes += entry.bytes();
  }

  boolean has(ByteString key) {
    return byKey.containsKey(key);
  }

  /** The entry of this key has ended. */
  void remove(ByteString key) {
    Entry entry = byKey.get(key);
    if (entry != null) {
      remove(entry);
    }
  }

  private void remove(Entry entry) {
    entry.isGone = true;
    bytes -= entry.bytes();
    byKey.remove(entry.key);
    List<Entry> ofInvocation = byInvocation.get(entry.invocationId);
    ofInvocation.remove(entry);
    if (ofInvocation.isEmpty()) {
      byInvocation.remove(entry.invocationId);
    }
    TreeMap<Long, List<Entry>> runs = byRun.get(entry.laneKey);
    List<Entry> ofRun = runs.get(entry.runNumber);
    ofRun.remove(entry);
    if (ofRun.isEmpty()) {
      runs.remove(entry.runNumber);
      if (runs.isEmpty()) {
        byRun.remove(entry.laneKey);
      }
    }
  }

  /** The calls of the invocation with this id, in the order they were recorded. */
  List<Entry> take(ByteString invocationId) {
    List<Entry> found = byInvocation.get(invocationId);
    if (found == null) {
      return List.of();
    }
    List<Entry> taken = List.copyOf(found);
    taken.forEach(this::remove);
    return taken;
  }

  /** The run and all before it are over: what is left of them is of no use to anybody. */
  List<Entry> takeOver(ByteString laneKey, long runNumber) {
    TreeMap<Long, List<Entry>> runs = byRun.get(laneKey);
    if (runs == null) {
      return List.of();
    }
    List<Entry> over = new ArrayList<>();
    runs.headMap(runNumber, true).values().forEach(over::addAll);
    over.forEach(this::remove);
    return over;
  }

  /** Keys of the lanes that have any here. */
  Set<ByteString> laneKeys() {
    return Set.copyOf(byRun.keySet());
  }

  /** Offset of the first entry of the partition that is in no lane yet, or {@code otherwise}. */
  long firstOffset(int partition, long otherwise) {
    Deque<Entry> entries = byPartition.get(partition);
    if (entries == null) {
      return otherwise;
    }
    while (!entries.isEmpty() && entries.peek().isGone) {
      entries.poll();
    }
    if (entries.isEmpty()) {
      byPartition.remove(partition);
      return otherwise;
    }
    return entries.peek().offset;
  }

  boolean isEmpty() {
    return byKey.isEmpty();
  }

  int count() {
    return byKey.size();
  }

  /** What they take, serialized. */
  long bytes() {
    return bytes;
  }
}
