package io.flinkactions.operator.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.OldestFlinkOnly;
import io.flinkactions.operator.state.v1.PartitionMarker;
import io.flinkactions.operator.state.v1.StoreState;
import io.flinkactions.operator.store.ActionStateStore.RecordedCall;
import io.flinkactions.wire.v1.CallPlace;
import io.flinkactions.wire.v1.CallRecord;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The store against a real broker. Nothing of Flink's is in it: one version of it is enough. */
@OldestFlinkOnly
class ActionStateStoreTest {

  private static final int KEY_GROUP = 5;

  private final String topic = "calls-" + UUID.randomUUID();
  private final List<Writer> open = new ArrayList<>();
  private KafkaBroker broker;

  @BeforeEach
  void start() throws Exception {
    broker = KafkaBroker.shared();
  }

  @AfterEach
  void stop() {
    open.forEach(writer -> writer.store.close());
  }

  /** A start of an operator subtask, as far as the store knows it. */
  private final class Writer {
    final ActionStateStore<String> store;
    // Permits: how often the store has asked to be polled.
    final Semaphore wakes = new Semaphore(0);

    Writer(StoreOwner owner, StoreState... restored) throws Exception {
      this(settings(), owner, restored);
    }

    Writer(StoreSettings settings, StoreOwner owner, StoreState... restored) throws Exception {
      store = ActionStateStore.open(settings, owner, List.of(restored), true, wakes::release);
      open.add(this);
    }

    void write(int invocation, int index, String value) {
      CallRecord call =
          CallRecord.newBuilder()
              .setPlace(CallPlace.newBuilder().setIndex(index))
              .setValue(ByteString.copyFromUtf8(value))
              .build();
      store.write(key(invocation), KEY_GROUP, invocation, id(invocation), call, value);
    }

    /** Waits for the outcomes of that many calls. */
    List<String> poll(int count) throws Exception {
      List<String> tokens = new ArrayList<>();
      while (tokens.size() < count) {
        String token = store.poll();
        if (token != null) {
          tokens.add(token);
        } else {
          assertThat(wakes.tryAcquire(30, TimeUnit.SECONDS)).as("%s so far", tokens).isTrue();
        }
      }
      return tokens;
    }

    void recorded(int invocation, int index, String value) throws Exception {
      write(invocation, index, value);
      assertThat(poll(1)).containsExactly(value);
    }

    List<String> take(int invocation) {
      return store.take(id(invocation)).stream()
          .map(RecordedCall::call)
          .map(call -> call.getPlace().getIndex() + " " + call.getValue().toStringUtf8())
          .toList();
    }

    /** Waits until all that was sent has arrived. */
    void settle() throws Exception {
      while (store.bytesInFlight() > 0) {
        assertThat(store.poll()).isNull();
        if (store.bytesInFlight() > 0) {
          assertThat(wakes.tryAcquire(30, TimeUnit.SECONDS)).isTrue();
        }
      }
    }
  }

  private StoreSettings settings() {
    return StoreSettings.kafka(broker.address(), topic).withPartitions(4, 1);
  }

  private static StoreOwner owner(String namespace, long epoch) {
    return new StoreOwner(namespace, "uid", 0, 128, 0, 127, epoch);
  }

  private static ByteString id(int invocation) {
    return ByteString.copyFrom(new byte[] {(byte) invocation, 1, 2, 3});
  }

  private static ByteString key(int invocation) {
    return ByteString.copyFromUtf8("\"key " + invocation + "\"");
  }

  /** Calls that the topic still has, as compaction will see it. */
  private Map<ByteString, byte[]> liveCalls() {
    Map<ByteString, byte[]> live = new HashMap<>();
    for (ConsumerRecord<byte[], byte[]> record : broker.records(topic)) {
      ByteString key = ByteString.copyFrom(record.key());
      if (record.value() == null) {
        live.remove(key);
      } else if (!EntryKey.parse(record.key()).isFence()) {
        live.put(key, record.value());
      }
    }
    return live;
  }

  @Test
  void opening_waits_for_nothing_that_is_not_there() throws Exception {
    long fewest = Long.MAX_VALUE;
    for (int start = 1; start <= 5; start++) {
      long begin = System.nanoTime();
      new Writer(owner("opening", start));
      fewest = Math.min(fewest, System.nanoTime() - begin);
    }
    // A reader asks for more with the last that it takes, and a broker holds that for half a second
    // if it may: then none would be quicker, on the quickest machine.
    assertThat(Duration.ofNanos(fewest)).isLessThan(Duration.ofMillis(500));
  }

  @Test
  void the_next_start_knows_every_call_that_was_recorded_without_any_state() throws Exception {
    Writer first = new Writer(owner("job", 1));
    for (int i = 0; i < 100; i++) {
      first.write(i, 0, "a" + i);
      first.write(i, 1, "b" + i);
    }
    first.poll(200);
    first.store.close();
    Writer second = new Writer(owner("job", 2));
    assertThat(second.store.rebuiltCount()).isEqualTo(200);
    for (int i = 0; i < 100; i++) {
      assertThat(second.take(i)).containsExactly("0 a" + i, "1 b" + i);
    }
    assertThat(second.store.isRebuiltEmpty()).isTrue();
  }

  @Test
  void the_topic_is_created_compacted_and_only_once() throws Exception {
    CountDownLatch ready = new CountDownLatch(3);
    List<Throwable> failures = new ArrayList<>();
    List<Thread> threads = new ArrayList<>();
    for (int subtask = 0; subtask < 3; subtask++) {
      int own = subtask;
      Thread thread =
          new Thread(
              () -> {
                ready.countDown();
                try {
                  ready.await();
                  ActionStateStore.open(
                          settings(),
                          new StoreOwner("job", "uid", own, 128, own * 40, own * 40 + 39, 1),
                          List.of(),
                          true,
                          () -> {})
                      .close();
                } catch (Throwable e) {
                  synchronized (failures) {
                    failures.add(e);
                  }
                }
              });
      thread.start();
      threads.add(thread);
    }
    for (Thread thread : threads) {
      thread.join(60_000);
    }
    assertThat(failures).isEmpty();
    assertThat(broker.configs(topic))
        .containsEntry("cleanup.policy", "compact")
        .containsEntry("max.message.bytes", Integer.toString(8 << 20));
  }

  @Test
  void a_zombie_behind_the_fence_is_ignored_and_its_entries_are_ended() throws Exception {
    Writer zombie = new Writer(owner("job", 1));
    zombie.recorded(1, 0, "before the fence");
    Writer live = new Writer(owner("job", 2));
    zombie.recorded(1, 1, "too late");
    zombie.recorded(2, 0, "too late as well");
    live.recorded(2, 0, "made by the one that took over");
    assertThat(live.take(1)).containsExactly("0 before the fence");
    assertThat(live.take(2)).isEmpty();
    Writer next = new Writer(owner("job", 3));
    assertThat(next.take(1)).containsExactly("0 before the fence");
    assertThat(next.take(2)).containsExactly("0 made by the one that took over");
    next.settle();
    // So that a start to which no fence is known any more does not go by them either.
    assertThat(liveCalls()).hasSize(2);
  }

  @Test
  void a_start_whose_clock_is_behind_puts_itself_above_all_fences_it_meets() throws Exception {
    new Writer(owner("job", 1_000)).recorded(1, 0, "a");
    Writer late = new Writer(owner("job", 7));
    assertThat(late.store.epoch()).isEqualTo(1_001);
    late.recorded(2, 0, "b");
    Writer next = new Writer(owner("job", 8));
    assertThat(next.take(1)).containsExactly("0 a");
    assertThat(next.take(2)).containsExactly("0 b");
  }

  @Test
  void of_two_starts_with_one_epoch_the_later_one_is_above_and_fences_the_other_off()
      throws Exception {
    Writer first = new Writer(owner("job", 5));
    first.recorded(1, 0, "before the fence");
    Writer second = new Writer(owner("job", 5));
    assertThat(second.store.epoch()).isEqualTo(6);
    first.recorded(2, 0, "too late");
    Writer next = new Writer(owner("job", 7));
    assertThat(next.take(1)).containsExactly("0 before the fence");
    assertThat(next.take(2)).isEmpty();
  }

  @Test
  void a_fence_shortly_before_the_marker_ends_and_the_entries_behind_it_before_it()
      throws Exception {
    Writer zombie = new Writer(owner("job", 1));
    Writer live = new Writer(owner("job", 2));
    zombie.recorded(2, 0, "too late");
    live.recorded(1, 0, "a");
    Writer next = new Writer(owner("job", 3), live.store.onSnapshot(1));
    assertThat(next.store.isRebuiltEmpty()).as("what is in the snapshot").isTrue();
    next.settle();
    assertThat(liveCalls()).hasSize(1);
    assertThat(fences()).containsEntry(1L, false).containsEntry(2L, false).containsEntry(3L, true);
    // The zombie is behind another fence now.
    zombie.recorded(3, 0, "far too late");
    Writer last = new Writer(owner("job", 4), next.store.onSnapshot(1));
    assertThat(last.store.isRebuiltEmpty()).isTrue();
    last.settle();
    assertThat(liveCalls()).hasSize(1);
    assertThat(fences()).containsEntry(3L, false).containsEntry(4L, true);
  }

  @Test
  void a_fence_far_before_the_marker_stays_for_the_entries_behind_it_that_were_not_read()
      throws Exception {
    Writer zombie = new Writer(owner("job", 1));
    Writer live = new Writer(owner("job", 2));
    zombie.recorded(2, 0, "too late");
    int many = 1_001;
    for (int i = 0; i < many; i++) {
      live.write(1, i, "a");
    }
    live.poll(many);
    Writer next = new Writer(owner("job", 3), live.store.onSnapshot(1));
    next.settle();
    assertThat(liveCalls()).hasSize(many + 1);
    assertThat(fences()).containsEntry(2L, true);
  }

  /** By epoch, whether the fence in the partition of the calls is still there. */
  private Map<Long, Boolean> fences() {
    int partition = new KeyGroupPartitions(128, 4).of(KEY_GROUP);
    Map<Long, Boolean> fences = new HashMap<>();
    for (ConsumerRecord<byte[], byte[]> record : broker.records(topic)) {
      EntryKey key = EntryKey.parse(record.key());
      if (key.isFence() && record.partition() == partition) {
        fences.put(key.epoch(), record.value() != null);
      }
    }
    return fences;
  }

  @Test
  void a_snapshot_says_what_need_not_be_read_again() throws Exception {
    Writer first = new Writer(owner("job", 1));
    first.recorded(1, 0, "in the snapshot");
    StoreState state = first.store.onSnapshot(1);
    first.recorded(1, 1, "behind it");
    first.write(1, 2, "on its way");
    StoreState later = first.store.onSnapshot(2);
    first.poll(1);
    Writer second = new Writer(owner("job", 2), state);
    assertThat(second.take(1)).containsExactly("1 behind it", "2 on its way");
    // Its outcome was not known to any lane at that snapshot.
    Writer third = new Writer(owner("job", 3), later);
    assertThat(third.take(1)).containsExactly("2 on its way");
  }

  @Test
  void what_no_lane_has_taken_is_found_again_from_a_snapshot_of_the_start_that_read_it()
      throws Exception {
    Writer first = new Writer(owner("job", 1));
    for (int i = 1; i <= 3; i++) {
      first.recorded(i, 0, "a" + i);
    }
    Writer second = new Writer(owner("job", 2));
    assertThat(second.take(1)).hasSize(1);
    StoreState state = second.store.onSnapshot(1);
    Writer third = new Writer(owner("job", 3), state);
    assertThat(third.take(2)).containsExactly("0 a2");
    assertThat(third.take(3)).containsExactly("0 a3");
    assertThat(third.take(1)).isEmpty();
  }

  @Test
  void of_several_subtasks_the_lowest_marker_of_a_partition_counts() throws Exception {
    StoreOwner all = owner("job", 3);
    Writer first = new Writer(owner("job", 1));
    first.recorded(1, 0, "a");
    StoreState early = first.store.onSnapshot(1);
    first.recorded(2, 0, "b");
    StoreState late = first.store.onSnapshot(2);
    assertThat(new Writer(all, late, early).take(2)).containsExactly("0 b");
  }

  @Test
  void a_snapshot_of_a_topic_that_was_made_anew_is_not_gone_by() throws Exception {
    Writer first = new Writer(owner("job", 1));
    first.recorded(1, 0, "a");
    StoreState other =
        StoreState.newBuilder()
            .setTopicId("another")
            .addMarkers(PartitionMarker.newBuilder().setPartition(0).setOffset(1_000))
            .build();
    assertThat(new Writer(owner("job", 2), other).take(1)).containsExactly("0 a");
  }

  @Test
  void entries_of_what_is_over_end_with_a_completed_checkpoint_and_not_before() throws Exception {
    Writer first = new Writer(owner("job", 1));
    first.recorded(1, 0, "a");
    first.recorded(2, 0, "b");
    first.store.onOver(KEY_GROUP, id(1), CallPlace.newBuilder().setIndex(0).build(), 1);
    first.store.onSnapshot(7);
    first.settle();
    assertThat(liveCalls()).hasSize(2);
    first.store.onCompleted(7);
    first.settle();
    assertThat(liveCalls()).hasSize(1);
    Writer second = new Writer(owner("job", 2));
    assertThat(second.take(1)).isEmpty();
    assertThat(second.take(2)).containsExactly("0 b");
  }

  @Test
  void ends_leave_though_calls_take_more_than_half_of_the_room() throws Exception {
    Writer writer = new Writer(settings().withLimits(10_000, 1 << 20), owner("job", 1));
    writer.recorded(1, 0, "a");
    writer.store.onOver(KEY_GROUP, id(1), CallPlace.newBuilder().setIndex(0).build(), 1);
    writer.store.onSnapshot(7);
    writer.write(2, 0, "x".repeat(7_000));
    long calls = writer.store.bytesInFlight();
    writer.store.onCompleted(7);
    assertThat(writer.store.bytesInFlight()).isGreaterThan(calls);
  }

  @Test
  void ends_that_found_no_room_leave_when_the_job_is_finished() throws Exception {
    Writer writer = new Writer(settings().withLimits(10_000, 1 << 20), owner("job", 1));
    writer.recorded(1, 0, "a");
    writer.store.onOver(KEY_GROUP, id(1), CallPlace.newBuilder().setIndex(0).build(), 1);
    writer.store.onSnapshot(7);
    writer.write(2, 0, "x".repeat(12_000));
    long calls = writer.store.bytesInFlight();
    writer.store.onCompleted(7);
    assertThat(writer.store.bytesInFlight()).isEqualTo(calls);
    writer.store.closeFinished();
    assertThat(liveCalls()).hasSize(1);
  }

  @Test
  void jobs_in_one_topic_know_nothing_of_each_other_whatever_their_names() throws Exception {
    List<String> namespaces = List.of("a", "a/b", "b\" \n\0", "日本");
    for (String namespace : namespaces) {
      new Writer(owner(namespace, 1)).recorded(1, 0, "of " + namespace);
    }
    for (String namespace : namespaces) {
      Writer next = new Writer(owner(namespace, 2));
      assertThat(next.store.rebuiltCount()).isEqualTo(1);
      assertThat(next.take(1)).containsExactly("0 of " + namespace);
    }
  }

  @Test
  void a_subtask_reads_its_own_key_groups_and_writes_into_their_partitions() throws Exception {
    Writer whole = new Writer(owner("job", 1));
    whole.recorded(1, 0, "a");
    StoreOwner lower = new StoreOwner("job", "uid", 0, 128, 0, 63, 2);
    StoreOwner upper = new StoreOwner("job", "uid", 1, 128, 64, 127, 2);
    assertThat(new Writer(upper).store.isRebuiltEmpty()).isTrue();
    assertThat(new Writer(lower).take(1)).containsExactly("0 a");
    List<Integer> partitions =
        broker.records(topic).stream()
            .filter(record -> !EntryKey.parse(record.key()).isFence())
            .map(ConsumerRecord::partition)
            .toList();
    assertThat(partitions).containsExactly(new KeyGroupPartitions(128, 4).of(KEY_GROUP));
  }

  @Test
  void fences_do_not_pile_up() throws Exception {
    for (int epoch = 1; epoch <= 5; epoch++) {
      Writer writer = new Writer(owner("job", epoch));
      writer.settle();
      writer.store.close();
    }
    Map<String, Boolean> fences = new HashMap<>();
    for (ConsumerRecord<byte[], byte[]> record : broker.records(topic)) {
      String name =
          record.partition() + " " + new String(record.key(), StandardCharsets.ISO_8859_1);
      fences.put(name, record.value() != null);
    }
    assertThat(fences.values().stream().filter(isThere -> isThere)).hasSize(4);
  }

  @Test
  void one_wake_stands_for_any_number_of_outcomes() throws Exception {
    AtomicInteger wakes = new AtomicInteger();
    ActionStateStore<String> store =
        ActionStateStore.open(settings(), owner("job", 1), List.of(), true, wakes::incrementAndGet);
    try {
      for (int i = 0; i < 1_000; i++) {
        CallRecord call = CallRecord.newBuilder().setValue(ByteString.copyFromUtf8("v")).build();
        store.write(key(i), KEY_GROUP, i, id(i), call, "token");
      }
      // All outcomes come, and nobody polls.
      store.closeFinished();
      assertThat(wakes).hasValue(1);
      int polled = 0;
      while (store.poll() != null) {
        polled++;
      }
      assertThat(polled).isEqualTo(1_000);
      assertThat(store.bytesInFlight()).isZero();
    } finally {
      store.close();
    }
  }

  @Test
  void a_topic_that_deletes_is_refused() throws Exception {
    broker.createTopic(topic, 4, Map.of("cleanup.policy", "delete"));
    assertThatThrownBy(() -> new Writer(owner("job", 1)))
        .isInstanceOf(StoreException.UnfitTopic.class)
        .hasMessageContaining("'" + topic + "'")
        .hasMessageContaining(broker.address())
        .hasMessageContaining("cleanup.policy 'delete'")
        .hasMessageContaining("Set it to 'compact'");
  }

  @Test
  void a_topic_in_a_codec_that_the_jar_does_not_have_is_refused() throws Exception {
    broker.createTopic(topic, 4, Map.of("cleanup.policy", "compact", "compression.type", "lz4"));
    assertThatThrownBy(() -> new Writer(owner("job", 1)))
        .isInstanceOf(StoreException.UnfitTopic.class)
        .hasMessageContaining("compression.type 'lz4'");
  }

  @Test
  void a_record_that_the_topic_does_not_take_is_an_error_that_says_how_large_it_was()
      throws Exception {
    broker.createTopic(topic, 4, Map.of("cleanup.policy", "compact", "max.message.bytes", "10000"));
    Writer writer = new Writer(owner("job", 1));
    writer.write(1, 0, "x".repeat(20_000));
    assertThatThrownBy(() -> writer.poll(1))
        .isInstanceOf(StoreException.RecordTooLarge.class)
        .hasMessageContaining("max.message.bytes")
        .hasMessageContaining(topic);
  }

  @Test
  void more_partitions_than_when_calls_were_recorded_is_an_error_that_says_so() throws Exception {
    new Writer(owner("job", 1)).recorded(1, 0, "a");
    StoreOwner other = new StoreOwner("job", "uid", 0, 256, 0, 255, 2);
    assertThatThrownBy(() -> new Writer(other))
        .isInstanceOf(StoreException.OtherLayout.class)
        .hasMessageContaining("max parallelism 128 and 4 partitions")
        .hasMessageContaining("max parallelism 256 and 4 partitions");
  }

  @Test
  void partitions_that_were_added_since_the_checkpoint_are_an_error_that_says_so()
      throws Exception {
    Writer first = new Writer(owner("job", 1));
    first.recorded(1, 0, "a");
    StoreState state = first.store.onSnapshot(1);
    // Behind all fences, where the next start begins to read.
    first.store.close();
    broker.addPartitions(topic, 8);
    assertThatThrownBy(() -> new Writer(owner("job", 2), state))
        .isInstanceOf(StoreException.OtherLayout.class)
        .hasMessageContaining("max parallelism 128 and 4 partitions")
        .hasMessageContaining("max parallelism 128 and 8 partitions");
  }

  @Test
  void a_setting_that_kafka_does_not_take_is_named() {
    StoreSettings wrong = settings().withProperties(Map.of("security.protocol", "MAGIC"));
    assertThatThrownBy(() -> new Writer(wrong, owner("job", 1)))
        .isInstanceOf(StoreException.Misconfigured.class)
        .hasMessageContaining("MAGIC")
        .hasMessageContaining("kafka-properties");
  }

  @Test
  void brokers_that_are_away_for_too_long_are_named_at_the_start_and_later() throws Exception {
    StoreSettings impatient = settings().withTimeout(Duration.ofSeconds(2));
    try (KafkaBroker own = KafkaBroker.start()) {
      StoreSettings there =
          StoreSettings.kafka(own.address(), topic)
              .withPartitions(1, 1)
              .withTimeout(Duration.ofSeconds(2));
      Writer writer = new Writer(there, owner("job", 1));
      writer.recorded(1, 0, "a");
      own.pause();
      writer.write(1, 1, "b");
      assertThatThrownBy(() -> writer.poll(1))
          .isInstanceOf(StoreException.Unreachable.class)
          .hasMessageContaining(own.address())
          .hasMessageContaining("2.0 s (action-state-store.timeout)");
      assertThatThrownBy(() -> new Writer(there, owner("job", 2)))
          .isInstanceOf(StoreException.Unreachable.class)
          .hasMessageContaining(own.address());
      own.resume();
      // As long as it takes a broker to find itself again.
      StoreSettings patient = there.withTimeout(Duration.ofSeconds(30));
      assertThat(new Writer(patient, owner("job", 3)).take(1)).contains("0 a");
    }
    StoreSettings nowhere =
        new StoreSettings(
            "127.0.0.1:1",
            topic,
            1,
            1,
            impatient.timeout(),
            impatient.bytesInFlight(),
            impatient.rebuildLimit(),
            Map.of());
    assertThatThrownBy(() -> new Writer(nowhere, owner("job", 1)))
        .isInstanceOf(StoreException.Unreachable.class)
        .hasMessageContaining("127.0.0.1:1");
  }

  @Test
  void calls_wait_for_room_and_it_comes_back() throws Exception {
    Writer writer = new Writer(settings().withLimits(10_000, 1 << 20), owner("job", 1));
    Set<Boolean> room = new java.util.HashSet<>();
    for (int i = 0; i < 20; i++) {
      writer.write(i, 0, "x".repeat(1_000));
      room.add(writer.store.hasRoom());
    }
    assertThat(room).containsExactlyInAnyOrder(true, false);
    writer.poll(20);
    assertThat(writer.store.hasRoom()).isTrue();
  }
}
