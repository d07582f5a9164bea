package io.flinkactions.operator.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.store.Fences.Fence;
import io.flinkactions.operator.store.v1.StoredCall;
import io.flinkactions.operator.store.v1.StoredFence;
import io.flinkactions.wire.v1.CallPlace;
import io.flinkactions.wire.v1.CallRecord;
import io.flinkactions.wire.v1.ContentType;
import java.util.List;
import org.junit.jupiter.api.Test;

class RebuildTest {

  private static final int PARTITION = 0;
  private static final KeyGroupPartitions LAYOUT = new KeyGroupPartitions(128, 1);

  private final Rebuild rebuild = rebuild(0, 127, 1 << 20);
  private long offset;

  private static Rebuild rebuild(int first, int last, long limit) {
    return new Rebuild(
        new StoreOwner("job", "uid", 0, 128, first, last, 9), "calls", LAYOUT, limit);
  }

  private static ByteString id(int number) {
    return ByteString.copyFrom(new byte[] {(byte) number, 0, 0, 0});
  }

  private static byte[] key(String namespace, long epoch, int invocation, int index) {
    CallPlace place = CallPlace.newBuilder().setIndex(index).build();
    return EntryKey.ofCall(namespace, "uid", epoch, id(invocation), place).toBytes();
  }

  private static byte[] call(int keyGroup, long run, String value) {
    return StoredCall.newBuilder()
        .setKey(ByteString.copyFromUtf8("\"k\""))
        .setKeyGroup(keyGroup)
        .setRunNumber(run)
        .setCall(
            CallRecord.newBuilder().setValue(ByteString.copyFromUtf8(value)).build().toByteString())
        .build()
        .toByteArray();
  }

  private long write(long epoch, int keyGroup, int invocation, String value) {
    rebuild.onRecord(
        PARTITION, offset, key("job", epoch, invocation, 0), call(keyGroup, invocation, value));
    return offset++;
  }

  private long fence(long epoch, int first, int last) {
    rebuild.onRecord(
        PARTITION,
        offset,
        EntryKey.ofFence("job", "uid", epoch, first, last).toBytes(),
        StoredFence.newBuilder().setMaxParallelism(128).setPartitions(1).build().toByteArray());
    return offset++;
  }

  private List<String> values(int invocation) {
    return rebuild.calls().take(id(invocation)).stream()
        .map(entry -> entry.call.getValue().toStringUtf8())
        .toList();
  }

  @Test
  void what_a_start_wrote_before_it_was_fenced_off_counts_and_what_it_wrote_later_does_not() {
    fence(1, 0, 127);
    write(1, 5, 1, "before");
    fence(2, 0, 127);
    write(1, 5, 1, "the same entry again, too late");
    write(1, 5, 2, "too late");
    write(2, 5, 3, "of the one that took over");
    assertThat(values(1)).containsExactly("before");
    assertThat(values(2)).isEmpty();
    assertThat(values(3)).containsExactly("of the one that took over");
    // Its key stands for what counts as well: it must not be ended.
    assertThat(rebuild.fencedOff()).hasSize(1);
  }

  @Test
  void a_fence_holds_for_its_key_groups_only() {
    fence(1, 0, 127);
    fence(2, 0, 63);
    write(1, 63, 1, "fenced off");
    write(1, 64, 2, "its owner has not been followed yet");
    assertThat(values(1)).isEmpty();
    assertThat(values(2)).hasSize(1);
  }

  @Test
  void a_fence_that_a_snapshot_remembers_holds_though_reading_begins_behind_it() {
    rebuild.fences(PARTITION).add(new Fence(0, 127, 2, 99));
    offset = 100;
    write(1, 5, 1, "too late");
    assertThat(values(1)).isEmpty();
    assertThat(rebuild.fencedOff()).hasSize(1);
  }

  @Test
  void reading_begins_at_a_fence_shortly_before_the_marker_and_no_call_before_that_counts() {
    rebuild.fences(PARTITION).add(new Fence(0, 127, 1, 100));
    rebuild.fences(PARTITION).add(new Fence(0, 127, 2, 9_500));
    rebuild.fences(PARTITION).add(new Fence(0, 127, 3, 9_900));
    assertThat(rebuild.beginAt(PARTITION, 10_000)).isEqualTo(9_500);
    offset = 9_500;
    fence(2, 0, 127);
    write(2, 5, 1, "in the snapshot");
    write(1, 5, 2, "fenced off");
    offset = 10_000;
    write(3, 5, 3, "not in the snapshot");
    assertThat(values(1)).isEmpty();
    assertThat(values(2)).isEmpty();
    assertThat(values(3)).containsExactly("not in the snapshot");
    assertThat(rebuild.fencesRead(PARTITION)).containsExactly(new Fence(0, 127, 2, 9_500));
    assertThat(rebuild.fencedOff()).hasSize(1);
    assertThat(rebuild.beginAt(1, 10_000)).as("no fence is known").isEqualTo(10_000);
  }

  @Test
  void a_snapshot_remembers_the_fences_before_its_marker_that_no_other_makes_needless() {
    Fences fences = new Fences();
    fences.add(new Fence(0, 63, 1, 10));
    fences.add(new Fence(0, 127, 2, 20));
    fences.add(new Fence(0, 63, 3, 30));
    fences.add(new Fence(0, 127, 4, 40));
    assertThat(fences.before(40))
        .containsExactly(new Fence(0, 127, 2, 20), new Fence(0, 63, 3, 30));
    assertThat(fences.before(41)).containsExactly(new Fence(0, 127, 4, 40));
    assertThat(fences.before(10)).isEmpty();
  }

  @Test
  void the_marker_stays_at_the_first_call_that_is_in_no_lane() {
    fence(1, 0, 127);
    long first = write(1, 5, 1, "a");
    long second = write(1, 5, 2, "b");
    write(1, 5, 3, "c");
    RebuiltCalls calls = rebuild.calls();
    assertThat(calls.firstOffset(PARTITION, 77)).isEqualTo(first);
    calls.take(id(3));
    assertThat(calls.firstOffset(PARTITION, 77)).isEqualTo(first);
    calls.take(id(1));
    assertThat(calls.firstOffset(PARTITION, 77)).isEqualTo(second);
    calls.take(id(2));
    assertThat(calls.firstOffset(PARTITION, 77)).isEqualTo(77);
    assertThat(calls.bytes()).isZero();
  }

  @Test
  void a_call_whose_run_has_passed_under_another_name_is_left_and_does_not_hold_the_marker() {
    write(1, 5, 1, "of an input that came as another run this time");
    write(1, 5, 2, "b");
    ByteString laneKey = ByteString.copyFromUtf8("\"k\"");
    assertThat(rebuild.calls().takeOver(laneKey, 1)).hasSize(1);
    assertThat(values(1)).isEmpty();
    assertThat(values(2)).containsExactly("b");
    assertThat(rebuild.calls().takeOver(laneKey, 9)).isEmpty();
    assertThat(rebuild.calls().firstOffset(PARTITION, 77)).isEqualTo(77);
  }

  @Test
  void an_entry_that_was_ended_is_gone_and_one_that_was_written_again_has_its_last_value() {
    write(1, 5, 1, "a");
    write(1, 5, 2, "b");
    rebuild.onRecord(PARTITION, offset++, key("job", 1, 1, 0), null);
    long again = write(1, 5, 2, "b again");
    assertThat(values(1)).isEmpty();
    assertThat(rebuild.calls().firstOffset(PARTITION, 77)).isEqualTo(again);
    assertThat(values(2)).containsExactly("b again");
  }

  @Test
  void a_value_keeps_its_content_type_in_the_topic() {
    CallRecord call =
        CallRecord.newBuilder()
            .setContentType(ContentType.PICKLE)
            .setValue(ByteString.copyFromUtf8("N."))
            .build();
    byte[] stored =
        StoredCall.newBuilder().setKeyGroup(5).setCall(call.toByteString()).build().toByteArray();
    rebuild.onRecord(PARTITION, offset++, key("job", 1, 1, 0), stored);
    assertThat(rebuild.calls().take(id(1))).extracting(entry -> entry.call).containsExactly(call);
  }

  @Test
  void what_others_have_in_the_topic_is_not_looked_at() {
    rebuild.onRecord(PARTITION, offset++, key("another job", 1, 1, 0), new byte[] {1, 2, 3});
    rebuild.onRecord(PARTITION, offset++, new byte[] {9, 9}, new byte[] {1});
    rebuild.onRecord(PARTITION, offset++, null, new byte[] {1});
    rebuild.onRecord(
        PARTITION,
        offset++,
        EntryKey.ofCall("job", "another uid", 1, id(1), CallPlace.getDefaultInstance()).toBytes(),
        call(5, 1, "a"));
    assertThat(rebuild.calls().isEmpty()).isTrue();
    Rebuild half = rebuild(0, 63, 1 << 20);
    half.onRecord(PARTITION, 0, key("job", 1, 1, 0), call(64, 1, "the neighbour's"));
    assertThat(half.calls().isEmpty()).isTrue();
  }

  @Test
  void more_than_the_limit_is_an_error_that_names_it() {
    Rebuild small = rebuild(0, 127, 100);
    assertThatThrownBy(
            () -> small.onRecord(PARTITION, 0, key("job", 1, 1, 0), call(5, 1, "x".repeat(200))))
        .isInstanceOf(StoreException.RebuildTooLarge.class)
        .hasMessageContaining("'calls'")
        .hasMessageContaining("100 bytes")
        .hasMessageContaining("rebuild-limit");
  }

  @Test
  void entries_that_lie_elsewhere_are_an_error_that_says_what_has_changed() {
    assertThatThrownBy(
            () ->
                rebuild.onRecord(
                    PARTITION,
                    0,
                    EntryKey.ofFence("job", "uid", 1, 0, 63).toBytes(),
                    StoredFence.newBuilder()
                        .setMaxParallelism(64)
                        .setPartitions(1)
                        .build()
                        .toByteArray()))
        .isInstanceOf(StoreException.OtherLayout.class)
        .hasMessageContaining("max parallelism 64")
        .hasMessageContaining("max parallelism 128")
        .hasMessageContaining("ignore-store");
  }

  @Test
  void texts_of_any_content_make_keys_that_differ() {
    List<String> texts = List.of("", "a", "a/b", "a\0b", "\"\n\"", "日本", "a".repeat(5_000));
    CallPlace place = CallPlace.newBuilder().setTask("0.2").setIndex(7).build();
    for (String namespace : texts) {
      for (String uid : texts) {
        EntryKey key = EntryKey.ofCall(namespace, uid, 3, id(1), place);
        assertThat(EntryKey.parse(key.toBytes())).isEqualTo(key);
      }
    }
    assertThat(EntryKey.ofCall("a", "bc", 3, id(1), place).toBytes())
        .isNotEqualTo(EntryKey.ofCall("ab", "c", 3, id(1), place).toBytes());
    byte[] cut = EntryKey.ofCall("a", "b", 3, id(1), place).toBytes();
    assertThat(EntryKey.parse(java.util.Arrays.copyOf(cut, cut.length - 1))).isNull();
  }

  @Test
  void every_key_group_has_one_partition_and_the_ends_of_partitions_say_so() {
    for (int[] sizes : new int[][] {{128, 1}, {128, 64}, {128, 100}, {128, 300}, {7, 3}}) {
      KeyGroupPartitions layout = new KeyGroupPartitions(sizes[0], sizes[1]);
      for (int keyGroup = 0; keyGroup < sizes[0]; keyGroup++) {
        int partition = layout.of(keyGroup);
        assertThat(partition).isBetween(0, sizes[1] - 1);
        assertThat(keyGroup).isBetween(layout.first(partition), layout.last(partition));
      }
    }
  }

  @Test
  void entries_end_when_a_checkpoint_is_complete_that_knew_them_to_be_over() {
    Pruning pruning = new Pruning();
    Garbage one = new Garbage(new byte[] {1}, 0);
    Garbage two = new Garbage(new byte[] {2}, 0);
    pruning.add(one, 0);
    pruning.onSnapshot(10);
    pruning.add(two, 0);
    assertThat(pruning.onCompleted(9)).isEmpty();
    pruning.onSnapshot(11);
    assertThat(pruning.onCompleted(10)).containsExactly(one);
    assertThat(pruning.onCompleted(10)).isEmpty();
    // Of 11 nothing was heard: what it knew, 12 knows.
    pruning.onSnapshot(12);
    assertThat(pruning.onCompleted(12)).containsExactly(two);
  }

  @Test
  void entries_that_may_end_and_did_not_yet_count_into_the_limit() {
    Pruning pruning = new Pruning();
    pruning.add(new Garbage(new byte[] {1}, 0), 999_999);
    pruning.add(new Garbage(new byte[] {2}, 0), 999_999);
    assertThat(pruning.forgotten()).isEqualTo(1);
  }
}
