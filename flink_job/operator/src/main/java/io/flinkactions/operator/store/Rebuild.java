package io.flinkactions.operator.store;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.UnsafeByteOperations;
import io.flinkactions.operator.store.Fences.Fence;
import io.flinkactions.operator.store.RebuiltCalls.Entry;
import io.flinkactions.operator.store.v1.StoredCall;
import io.flinkactions.operator.store.v1.StoredFence;
import io.flinkactions.wire.v1.CallRecord;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads the entries of one subtask's partitions, each partition in its order, and keeps the calls
 * that count.
 *
 * <p>An entry counts if it is of this operator, namespace and key groups and no later start had put
 * its fence before it, and if it is not before the marker of the snapshot, which has it. Whatever
 * else lies in the topic is another's.
 */
final class Rebuild {

  // Reading so many records more costs a start nothing that anybody would notice.
  private static final long SHORTLY = 1_000;

  private final StoreOwner owner;
  private final String topic;
  private final KeyGroupPartitions layout;
  private final long limitBytes;
  private final RebuiltCalls calls = new RebuiltCalls();
  private final Map<Integer, Fences> fences = new HashMap<>();
  private final Map<Integer, List<Fence>> fencesRead = new HashMap<>();
  private final List<Garbage> fencedOff = new ArrayList<>();
  // By partition; what is before it is in the snapshot.
  private final Map<Integer, Long> markers = new HashMap<>();

  Rebuild(StoreOwner owner, String topic, KeyGroupPartitions layout, long limitBytes) {
    this.owner = owner;
    this.topic = topic;
    this.layout = layout;
    this.limitBytes = limitBytes;
  }

  Fences fences(int partition) {
    return fences.computeIfAbsent(partition, p -> new Fences());
  }

  /**
   * What is before this offset counts no more. Returns where to begin to read: there, or at the
   * first fence that the snapshot knows shortly before. Who meets a fence, and so all that is
   * behind it, can end both; jobs that restart often would leave many.
   */
  long beginAt(int partition, long marker) {
    markers.put(partition, marker);
    return Math.min(marker, fences(partition).firstFrom(marker - SHORTLY));
  }

  /** Those that were met in the partition, and so all that is behind them. */
  List<Fence> fencesRead(int partition) {
    return fencesRead.getOrDefault(partition, List.of());
  }

  /**
   * Whether another start of this epoch that owned any of these key groups was there first.
   *
   * @param own offset of our fence of this epoch, by partition
   */
  boolean hasTwin(long epoch, Map<Integer, Long> own) {
    return own.entrySet().stream()
        .anyMatch(
            partition ->
                fencesRead(partition.getKey()).stream()
                    .anyMatch(
                        fence ->
                            fence.epoch() == epoch
                                && fence.offset() < partition.getValue()
                                && fence.overlaps(owner.firstKeyGroup(), owner.lastKeyGroup())));
  }

  RebuiltCalls calls() {
    return calls;
  }

  /** Entries of starts that had been taken over from: nobody will ever go by them. */
  List<Garbage> fencedOff() {
    return fencedOff;
  }

  /** Highest epoch of this operator's other starts that owned any of its key groups. */
  long highestEpoch() {
    long highest = 0;
    for (Fences of : fences.values()) {
      highest = Math.max(highest, of.highestEpoch(owner.firstKeyGroup(), owner.lastKeyGroup()));
    }
    return highest;
  }

  /**
   * Takes the next record of a partition.
   *
   * @throws StoreException if its calls lie elsewhere, or are too many
   */
  void onRecord(int partition, long offset, byte[] key, byte[] value) {
    EntryKey named = EntryKey.parse(key);
    if (named == null
        || !named.namespace().equals(owner.namespace())
        || !named.operatorUid().equals(owner.operatorUid())) {
      return;
    }
    try {
      if (value == null) {
        calls.remove(UnsafeByteOperations.unsafeWrap(key));
      } else if (named.isFence()) {
        onFence(partition, offset, named, StoredFence.parseFrom(value));
      } else {
        onCall(partition, offset, key, named, StoredCall.parseFrom(value));
      }
    } catch (InvalidProtocolBufferException e) {
      throw new IllegalStateException(
          "topic '"
              + topic
              + "' has at offset "
              + offset
              + " of partition "
              + partition
              + " an entry of this job that is damaged",
          e);
    }
  }

  private void onFence(int partition, long offset, EntryKey named, StoredFence fence) {
    KeyGroupPartitions then =
        new KeyGroupPartitions(fence.getMaxParallelism(), fence.getPartitions());
    if (!then.equals(layout)) {
      throw new StoreException.OtherLayout(topic, then.toString(), layout.toString());
    }
    Fence read = new Fence(named.firstKeyGroup(), named.lastKeyGroup(), named.epoch(), offset);
    fences(partition).add(read);
    fencesRead.computeIfAbsent(partition, p -> new ArrayList<>()).add(read);
  }

  private void onCall(int partition, long offset, byte[] key, EntryKey named, StoredCall stored)
      throws InvalidProtocolBufferException {
    int keyGroup = stored.getKeyGroup();
    if (!owner.owns(keyGroup)) {
      return;
    }
    ByteString keyBytes = UnsafeByteOperations.unsafeWrap(key);
    if (fences(partition).isFencedOff(keyGroup, named.epoch(), offset)) {
      if (!calls.has(keyBytes)) {
        fencedOff.add(new Garbage(key, partition));
      }
      return;
    }
    if (offset < markers.getOrDefault(partition, 0L)) {
      return;
    }
    calls.put(
        new Entry(
            keyBytes,
            named,
            CallRecord.parseFrom(stored.getCall()),
            stored.getKey(),
            stored.getRunNumber(),
            partition,
            offset));
    if (calls.bytes() > limitBytes) {
      throw new StoreException.RebuildTooLarge(topic, limitBytes);
    }
  }
}
