package io.flinkactions.operator.store;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.state.v1.FenceState;
import io.flinkactions.operator.state.v1.PartitionMarker;
import io.flinkactions.operator.state.v1.StoreState;
import io.flinkactions.operator.store.Fences.Fence;
import io.flinkactions.operator.store.RebuiltCalls.Entry;
import io.flinkactions.operator.store.StoreWriter.Written;
import io.flinkactions.operator.store.v1.StoredCall;
import io.flinkactions.operator.store.v1.StoredFence;
import io.flinkactions.wire.v1.CallPlace;
import io.flinkactions.wire.v1.CallRecord;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.common.KafkaException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Durable calls of one operator subtask in a compacted Kafka topic.
 *
 * <p>A start writes its fence into each of its partitions, reads up to it, and knows then every
 * call that was recorded since the snapshot it came from; without one, every call there is. How far
 * the next start need not read is its marker per partition: it never passes an entry that is in no
 * lane, neither a written one whose outcome was not {@linkplain #poll polled} nor a rebuilt one
 * that no invocation has {@linkplain #take taken}. Entries of invocations that are over end when a
 * checkpoint that knows so is complete.
 *
 * <p>Mailbox thread only. {@link #open} and {@link #close} wait, within limits; nothing else does.
 *
 * @param <T> what the caller wants back when a call is in the topic
 */
public final class ActionStateStore<T> implements AutoCloseable {

  private static final Logger LOG = LoggerFactory.getLogger(ActionStateStore.class);
  private static final Duration FLUSH = Duration.ofSeconds(5);
  private static final long OUTCOME_WAIT_NANOS = Duration.ofMillis(1).toNanos();
  private static final int MOST_FENCES = 16;
  private static final int FEW_ENDS = 32;

  /**
   * A call that another start has recorded.
   *
   * @param epoch under which the topic has it
   */
  public record RecordedCall(CallRecord call, long epoch) {}

  private final StoreSettings settings;
  private final StoreOwner owner;
  private final long epoch;
  private final StoreTopic topic;
  private final KeyGroupPartitions layout;
  private final StoreWriter<T> writer;
  private final RebuiltCalls rebuilt;
  private final Map<Integer, Fences> fences;
  // Per partition: all of ours before it has been polled.
  private final Map<Integer, Long> polledUpTo;
  private final Pruning pruning = new Pruning();
  private final boolean hasCheckpoints;
  private final ArrayDeque<Garbage> ending = new ArrayDeque<>();

  private ActionStateStore(
      StoreSettings settings,
      StoreOwner owner,
      long epoch,
      boolean hasCheckpoints,
      StoreTopic topic,
      StoreWriter<T> writer,
      Rebuild rebuild,
      Map<Integer, Long> fenceOffsets) {
    this.settings = settings;
    this.owner = owner;
    this.epoch = epoch;
    this.hasCheckpoints = hasCheckpoints;
    this.topic = topic;
    this.layout = new KeyGroupPartitions(owner.maxParallelism(), topic.partitions());
    this.writer = writer;
    this.rebuilt = rebuild.calls();
    this.fences = new HashMap<>();
    this.polledUpTo = new HashMap<>();
    fenceOffsets.forEach(
        (partition, offset) -> {
          fences.put(partition, rebuild.fences(partition));
          polledUpTo.put(partition, offset + 1);
        });
  }

  /**
   * Makes sure of the topic, fences off earlier starts and reads what they recorded. Blocks until
   * that is done: no checkpoint is taken and no input comes before. Bounded by what was recorded
   * since the snapshot (without one: by what the subtask's partitions hold), by the rebuild limit
   * in the heap, and by the timeout wherever the brokers are silent.
   *
   * @param restored what all subtasks knew at the snapshot; empty without one
   * @param hasCheckpoints else no entry is ever ended: a start from the beginning needs them all
   * @param wake called on a thread of Kafka's when something may be polled, at most once until
   *     {@link #poll} has returned null
   * @throws StoreException if there is no store to be had
   */
  public static <T> ActionStateStore<T> open(
      StoreSettings settings,
      StoreOwner owner,
      List<StoreState> restored,
      boolean hasCheckpoints,
      Runnable wake)
      throws InterruptedException {
    long begin = System.nanoTime();
    String client =
        "flink-actions-" + owner.operatorUid() + "-" + owner.subtask() + "-" + owner.epoch();
    KafkaClients clients = new KafkaClients(settings, client);
    StoreTopic topic;
    StoreWriter<T> writer;
    try {
      topic = StoreTopic.open(settings, clients);
      writer = new StoreWriter<>(settings, clients, wake);
    } catch (KafkaException e) {
      throw new StoreException.Misconfigured(settings, e);
    }
    KeyGroupPartitions layout = new KeyGroupPartitions(owner.maxParallelism(), topic.partitions());
    Set<Integer> partitions = layout.of(owner.firstKeyGroup(), owner.lastKeyGroup());
    Rebuild rebuild = new Rebuild(owner, settings.topic(), layout, settings.rebuildLimit());
    try {
      writer.awaitTopic();
      long epoch = owner.epoch();
      Map<Integer, Long> fenced = writer.fence(fenceEntries(owner, epoch, layout, partitions));
      Map<Integer, Long> from = markers(settings, topic, layout, restored, rebuild, fenced);
      from.replaceAll(
          (partition, marker) -> marker < 0 ? marker : rebuild.beginAt(partition, marker));
      long read;
      try (StoreReader reader = new StoreReader(settings, clients, rebuild, from)) {
        reader.readUpTo(fenced);
        // Another clock was ahead of ours, and no state has told us: a fence below another's is
        // none. Nor is one beside another's of the same epoch: two starts from one checkpoint.
        for (int i = 0; rebuild.highestEpoch() > epoch || rebuild.hasTwin(epoch, fenced); i++) {
          if (i == MOST_FENCES) {
            throw new IllegalStateException(
                "other starts of subtask "
                    + owner.subtask()
                    + " go on fencing this one off in topic '"
                    + settings.topic()
                    + "': does the same job run twice? Set job-identifier in one of them");
          }
          epoch = rebuild.highestEpoch() + 1;
          fenced = writer.fence(fenceEntries(owner, epoch, layout, partitions));
          reader.readUpTo(fenced);
        }
        read = reader.read();
      }
      ActionStateStore<T> store =
          new ActionStateStore<>(
              settings, owner, epoch, hasCheckpoints, topic, writer, rebuild, fenced);
      store.endFencedOff(rebuild, fenced);
      LOG.info(
          "Action state store in topic '{}' at {}: subtask {} has {} of {} partitions; {} records"
              + " read, {} calls to answer from, {} of fenced-off starts dropped, in {} ms",
          settings.topic(),
          settings.brokers(),
          owner.subtask(),
          partitions.size(),
          topic.partitions(),
          read,
          rebuild.calls().count(),
          rebuild.fencedOff().size(),
          Duration.ofNanos(System.nanoTime() - begin).toMillis());
      return store;
    } catch (KafkaException e) {
      writer.close();
      throw clients.explain(e);
    } catch (Throwable e) {
      writer.close();
      throw e;
    }
  }

  private static Map<Integer, Map.Entry<byte[], byte[]>> fenceEntries(
      StoreOwner owner, long epoch, KeyGroupPartitions layout, Set<Integer> partitions) {
    byte[] value =
        StoredFence.newBuilder()
            .setMaxParallelism(layout.maxParallelism())
            .setPartitions(layout.partitions())
            .build()
            .toByteArray();
    Map<Integer, Map.Entry<byte[], byte[]>> entries = new HashMap<>();
    for (int partition : partitions) {
      Fence fence = fence(owner, epoch, layout, partition, 0);
      entries.put(partition, Map.entry(key(owner, fence), value));
    }
    return entries;
  }

  /** Of those of the owner's key groups that are in the partition. */
  private static Fence fence(
      StoreOwner owner, long epoch, KeyGroupPartitions layout, int partition, long offset) {
    return new Fence(
        Math.max(owner.firstKeyGroup(), layout.first(partition)),
        Math.min(owner.lastKeyGroup(), layout.last(partition)),
        epoch,
        offset);
  }

  private static byte[] key(StoreOwner owner, Fence fence) {
    return EntryKey.ofFence(
            owner.namespace(),
            owner.operatorUid(),
            fence.epoch(),
            fence.firstKeyGroup(),
            fence.lastKeyGroup())
        .toBytes();
  }

  /** Where to read each partition from; negative: from its beginning. */
  private static Map<Integer, Long> markers(
      StoreSettings settings,
      StoreTopic topic,
      KeyGroupPartitions layout,
      List<StoreState> restored,
      Rebuild rebuild,
      Map<Integer, Long> fenced) {
    Map<Integer, Long> from = new HashMap<>();
    fenced.keySet().forEach(partition -> from.put(partition, -1L));
    for (StoreState state : restored) {
      if (!state.getTopicId().equals(topic.id())) {
        LOG.warn(
            "The snapshot knows another topic than the action state store has now ({}, now {}):"
                + " what is there is read from its beginning",
            state.getTopicId(),
            topic.id());
        continue;
      }
      // Fences say it too, but reading begins behind them.
      KeyGroupPartitions then =
          new KeyGroupPartitions(state.getMaxParallelism(), state.getPartitions());
      if (then.partitions() != 0 && !then.equals(layout)) {
        throw new StoreException.OtherLayout(settings.topic(), then.toString(), layout.toString());
      }
      for (PartitionMarker marker : state.getMarkersList()) {
        int partition = marker.getPartition();
        Long fence = fenced.get(partition);
        // Beyond our own fence: the partition has lost its end.
        if (fence == null || marker.getOffset() > fence) {
          continue;
        }
        from.merge(
            partition, marker.getOffset(), (a, b) -> a < 0 ? b : Long.valueOf(Math.min(a, b)));
        for (FenceState known : marker.getFencesList()) {
          rebuild
              .fences(partition)
              .add(
                  new Fence(
                      known.getKeyGroupFirst(),
                      known.getKeyGroupLast(),
                      known.getEpoch(),
                      known.getOffset()));
        }
      }
    }
    return from;
  }

  /**
   * Ends what nobody will go by, and only behind that the fences which said so: whoever still sees
   * such an entry must see its fence too.
   */
  private void endFencedOff(Rebuild rebuild, Map<Integer, Long> fenced) {
    ending.addAll(rebuild.fencedOff());
    fenced.forEach(
        (partition, offset) -> {
          Fence own = fence(owner, epoch, layout, partition, offset);
          // What is behind one that only a snapshot tells of was not read: there may be more of it.
          for (Fence fence : rebuild.fencesRead(partition)) {
            if (own.isStrongerThan(fence)) {
              ending.add(new Garbage(key(owner, fence), partition));
            }
          }
        });
    sendEnds();
  }

  /** Of this start, in the store: above every other's whose fences it has met. */
  public long epoch() {
    return epoch;
  }

  // ---- calls of this start ----

  /**
   * Sends a call's record to the topic. It is recorded when {@link #poll} returns the token.
   *
   * @param laneKey as it travels
   * @throws StoreException if the brokers are away, or the record is too large
   */
  public void write(
      ByteString laneKey,
      int keyGroup,
      long runNumber,
      ByteString invocationId,
      CallRecord call,
      T token) {
    StoredCall stored =
        StoredCall.newBuilder()
            .setKey(laneKey)
            .setKeyGroup(keyGroup)
            .setRunNumber(runNumber)
            .setCall(call.toByteString())
            .build();
    writer.send(
        layout.of(keyGroup),
        key(epoch, invocationId, call.getPlace()),
        stored.toByteArray(),
        token);
  }

  private byte[] key(long ofEpoch, ByteString invocationId, CallPlace place) {
    return EntryKey.ofCall(owner.namespace(), owner.operatorUid(), ofEpoch, invocationId, place)
        .toBytes();
  }

  /**
   * The token of the next call that is in the topic; null if there is none now. What it stands for
   * is to be put into its lane at once: the marker passes it.
   *
   * @throws StoreException if one could not be written
   */
  public T poll() {
    while (true) {
      Written<T> written = writer.poll();
      if (written == null) {
        sendEnds();
        return null;
      }
      if (written.token() != null) {
        polledUpTo.merge(written.partition(), written.offset() + 1, Math::max);
        return written.token();
      }
    }
  }

  /** False while so much is on its way that no more calls are to be taken from workers. */
  public boolean hasRoom() {
    return writer.bytesInFlight() < settings.bytesInFlight();
  }

  // ---- calls of earlier starts ----

  /** Whether no invocation can be answered from what was read. */
  public boolean isRebuiltEmpty() {
    return rebuilt.isEmpty();
  }

  /** Lanes of which earlier starts have recorded something that no invocation has taken. */
  public Set<ByteString> rebuiltLanes() {
    return rebuilt.laneKeys();
  }

  /** What earlier starts recorded of this invocation, oldest first: to be put into its lane. */
  public List<RecordedCall> take(ByteString invocationId) {
    List<RecordedCall> calls = new ArrayList<>();
    for (Entry entry : rebuilt.take(invocationId)) {
      calls.add(new RecordedCall(entry.call, entry.epoch));
    }
    return calls;
  }

  /** No invocation of this run, or of one before it, will ask any more. Returns what was left. */
  public int onRunOver(ByteString laneKey, long runNumber) {
    if (rebuilt.isEmpty()) {
      return 0;
    }
    List<Entry> left = rebuilt.takeOver(laneKey, runNumber);
    left.forEach(entry -> onOver(new Garbage(entry.key.toByteArray(), entry.partition)));
    return left.size();
  }

  // ---- the end of entries ----

  /** Nobody needs this call once the next snapshot is a completed checkpoint. */
  public void onOver(int keyGroup, ByteString invocationId, CallPlace place, long ofEpoch) {
    onOver(new Garbage(key(ofEpoch, invocationId, place), layout.of(keyGroup)));
  }

  private void onOver(Garbage over) {
    if (hasCheckpoints) {
      pruning.add(over, ending.size());
    }
  }

  /**
   * This call is to be made again, whatever happens: its record ends now, behind all that was sent
   * of it so far and before all that comes. It waits for no room, or the record of the call that is
   * made again would be the one that it ends.
   */
  public void onDropped(int keyGroup, ByteString invocationId, CallPlace place, long ofEpoch) {
    writer.send(layout.of(keyGroup), key(ofEpoch, invocationId, place), null, null);
  }

  /**
   * As far as half of the room goes: calls of actions that wait come first. A few each time if
   * there is any room, or ends would wait for as long as calls fill the other half.
   */
  private void sendEnds() {
    for (int sent = 0; !ending.isEmpty(); sent++) {
      long room = sent < FEW_ENDS ? settings.bytesInFlight() : settings.bytesInFlight() / 2;
      if (writer.bytesInFlight() >= room) {
        return;
      }
      sendEnd();
    }
  }

  private void sendEnd() {
    Garbage end = ending.poll();
    writer.send(end.partition(), end.key(), null, null);
  }

  /** No checkpoint will ever end the rest. */
  private void sendLastEnds() {
    long deadline = System.nanoTime() + FLUSH.toNanos();
    try {
      while (!ending.isEmpty()
          && System.nanoTime() < deadline
          && !Thread.currentThread().isInterrupted()) {
        if (hasRoom()) {
          sendEnd();
        } else if (writer.poll() == null) {
          LockSupport.parkNanos(OUTCOME_WAIT_NANOS);
        }
      }
    } catch (StoreException e) {
      LOG.warn("The end of calls that nobody needs cannot be written", e);
    }
  }

  // ---- checkpoints ----

  /** The snapshot is being taken now, behind what lanes have written into it. */
  public StoreState onSnapshot(long checkpointId) {
    pruning.onSnapshot(checkpointId);
    StoreState.Builder state =
        StoreState.newBuilder()
            .setTopicId(topic.id())
            .setMaxParallelism(layout.maxParallelism())
            .setPartitions(layout.partitions());
    polledUpTo.forEach(
        (partition, polled) -> {
          long offset = rebuilt.firstOffset(partition, polled);
          PartitionMarker.Builder marker =
              PartitionMarker.newBuilder().setPartition(partition).setOffset(offset);
          for (Fence fence : fences.get(partition).before(offset)) {
            marker.addFences(
                FenceState.newBuilder()
                    .setKeyGroupFirst(fence.firstKeyGroup())
                    .setKeyGroupLast(fence.lastKeyGroup())
                    .setEpoch(fence.epoch())
                    .setOffset(fence.offset()));
          }
          state.addMarkers(marker);
        });
    return state.build();
  }

  /** Nothing will be restored from before this checkpoint. */
  public void onCompleted(long checkpointId) {
    ending.addAll(pruning.onCompleted(checkpointId));
    sendEnds();
  }

  // ---- numbers, any thread but for what the mailbox thread changes meanwhile ----

  public long bytesInFlight() {
    return writer.bytesInFlight();
  }

  /** Calls that were read back and have met no invocation yet. */
  public int rebuiltCount() {
    return rebuilt.count();
  }

  /** Says the last and releases everything. */
  public void closeFinished() {
    sendLastEnds();
    long staying = pruning.forgotten() + ending.size();
    if (staying > 0) {
      LOG.warn(
          "{} entries of topic '{}' stay there for good: no checkpoint was completed for too long,"
              + " or the brokers were too slow to take their ends",
          staying,
          settings.topic());
    }
    writer.close(FLUSH);
  }

  /** Releases everything; what is on its way may arrive or not. */
  @Override
  public void close() {
    writer.close();
  }
}
