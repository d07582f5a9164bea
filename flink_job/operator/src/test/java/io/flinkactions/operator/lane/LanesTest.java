package io.flinkactions.operator.lane;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.memory.LaneMemory;
import io.flinkactions.operator.time.SegmentedWatermarks;
import io.flinkactions.wire.v1.ContentType;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class LanesTest {

  private final SegmentedWatermarks watermarks =
      new SegmentedWatermarks(
          new SegmentedWatermarks.Downstream() {
            @Override
            public void emitWatermark(long timestamp) {}

            @Override
            public void emitStatus(boolean isIdle) {}
          });

  /** Keeps run numbers, as state does. */
  private static final class NumberStore implements LaneStore {
    private final Map<String, Long> numbers = new HashMap<>();
    private final List<String> written = new ArrayList<>();

    @Override
    public Lane load(String key) {
      return new Lane(key, numbers.getOrDefault(key, 0L), ByteString.EMPTY);
    }

    @Override
    public void write(Lane lane) {
      numbers.put(lane.key(), lane.nextRunNumber());
      written.add(lane.key());
    }

    @Override
    public void onDropped(Lane lane) {
      throw new AssertionError("dropped " + lane.key());
    }
  }

  private final NumberStore store = new NumberStore();

  private long runOneInput(Lanes lanes, String key) throws Exception {
    Lane lane = lanes.take(key);
    Input input = input(lane);
    lane.add(input);
    lanes.markDirty(lane);
    lane.removeFirstInput();
    lanes.onIdle(lane);
    return input.runNumber();
  }

  private Input input(Lane lane) {
    return new Input(
        lane.takeRunNumber(), ByteString.EMPTY, ContentType.JSON, false, 0, watermarks.onArrived());
  }

  @Test
  void a_run_number_is_never_given_twice_though_the_lane_was_evicted() throws Exception {
    Lanes lanes = new Lanes(store, 2, false);
    List<Long> numbers = new ArrayList<>();
    for (int round = 0; round < 5; round++) {
      for (String key : List.of("a", "b", "c", "d")) {
        long number = runOneInput(lanes, key);
        if (key.equals("a")) {
          numbers.add(number);
        }
      }
    }
    assertThat(numbers).containsExactly(0L, 1L, 2L, 3L, 4L);
    assertThat(lanes.count()).isEqualTo(2);
  }

  @Test
  void the_lanes_used_last_stay() throws Exception {
    Lanes lanes = new Lanes(store, 2, false);
    Lane a = takeAndRelease(lanes, "a");
    takeAndRelease(lanes, "b");
    takeAndRelease(lanes, "a");
    takeAndRelease(lanes, "c");
    assertThat(takeAndRelease(lanes, "a")).isSameAs(a);
  }

  private static Lane takeAndRelease(Lanes lanes, String key) throws Exception {
    Lane lane = lanes.take(key);
    lanes.onIdle(lane);
    return lane;
  }

  @Test
  void a_snapshot_writes_what_changed_since_the_last_and_nothing_else() throws Exception {
    Lanes lanes = new Lanes(store, 10, false);
    runOneInput(lanes, "a");
    runOneInput(lanes, "b");
    lanes.writeDirty();
    assertThat(store.written).containsExactly("a", "b");
    store.written.clear();
    runOneInput(lanes, "b");
    runOneInput(lanes, "b");
    lanes.writeDirty();
    assertThat(store.written).containsExactly("b");
    store.written.clear();
    lanes.writeDirty();
    assertThat(store.written).isEmpty();
  }

  @Test
  void an_evicted_lane_is_written_once_and_leaves_nothing_behind() throws Exception {
    Lanes lanes = new Lanes(store, 1, false);
    for (int i = 0; i < 100; i++) {
      runOneInput(lanes, "k" + i);
    }
    assertThat(store.written).hasSize(99).doesNotHaveDuplicates();
    lanes.writeDirty();
    assertThat(store.written).hasSize(100).doesNotHaveDuplicates();
  }

  @Test
  void an_active_lane_is_never_evicted() throws Exception {
    Lanes lanes = new Lanes(store, 1, false);
    Lane busy = lanes.take("busy");
    busy.add(input(busy));
    for (int i = 0; i < 10; i++) {
      runOneInput(lanes, "k" + i);
    }
    assertThat(lanes.activeCount()).isEqualTo(1);
    assertThat(lanes.take("busy")).isSameAs(busy);
  }

  @Test
  void sorted_input_frees_a_key_when_it_is_idle_and_the_input_has_gone_on() throws Exception {
    LaneMemory memory = new LaneMemory();
    Lanes lanes = new Lanes(new BatchLaneStore(memory), Integer.MAX_VALUE, true);
    Lane a = lanes.take("a");
    a.add(input(a));
    memory.write("a", List.of("x"), List.of(ByteString.copyFromUtf8("1")), 0, 1);
    Lane b = lanes.take("b");
    b.add(input(b));
    memory.write("b", List.of("x"), List.of(ByteString.copyFromUtf8("1")), 0, 1);
    assertThat(memory.keyCount()).isEqualTo(2);

    a.removeFirstInput();
    lanes.onIdle(a);
    assertThat(memory.keyCount()).as("a is idle and over").isEqualTo(1);

    b.removeFirstInput();
    lanes.onIdle(b);
    assertThat(memory.keyCount()).as("b may have another input").isEqualTo(1);
    assertThat(lanes.take("b")).isSameAs(b);
    lanes.onIdle(b);

    lanes.take("c");
    assertThat(memory.keyCount()).isZero();
  }
}
