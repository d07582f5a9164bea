package io.flinkactions.operator.time;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.time.SegmentedWatermarks.Segment;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class SegmentedWatermarksTest {

  private final List<String> left = new ArrayList<>();
  private final SegmentedWatermarks watermarks =
      new SegmentedWatermarks(
          new SegmentedWatermarks.Downstream() {
            @Override
            public void emitWatermark(long timestamp) {
              left.add("w" + timestamp);
            }

            @Override
            public void emitStatus(boolean isIdle) {
              left.add(isIdle ? "idle" : "active");
            }
          });

  @Test
  void with_nothing_open_a_watermark_leaves_at_once() {
    watermarks.onWatermark(1);
    assertThat(left).containsExactly("w1");
  }

  @Test
  void a_watermark_waits_for_every_input_before_it_and_for_none_behind_it() {
    Segment first = watermarks.onArrived();
    Segment second = watermarks.onArrived();
    watermarks.onWatermark(5);
    Segment behind = watermarks.onArrived();
    watermarks.onFinished(first);
    assertThat(left).isEmpty();
    watermarks.onFinished(second);
    assertThat(left).containsExactly("w5");
    watermarks.onFinished(behind);
    assertThat(left).containsExactly("w5");
  }

  @Test
  void watermarks_leave_in_order_though_a_later_segment_is_done_first() {
    Segment first = watermarks.onArrived();
    watermarks.onWatermark(1);
    Segment second = watermarks.onArrived();
    watermarks.onWatermark(2);
    watermarks.onFinished(second);
    assertThat(left).isEmpty();
    watermarks.onFinished(first);
    assertThat(left).containsExactly("w1", "w2");
  }

  @Test
  void of_two_watermarks_with_no_input_between_them_the_later_leaves() {
    Segment input = watermarks.onArrived();
    watermarks.onWatermark(1);
    watermarks.onWatermark(2);
    watermarks.onFinished(input);
    assertThat(left).containsExactly("w2");
  }

  @Test
  void idle_never_overtakes_a_held_watermark() {
    Segment input = watermarks.onArrived();
    watermarks.onWatermark(7);
    watermarks.onStatus(true);
    assertThat(left).isEmpty();
    watermarks.onFinished(input);
    assertThat(left).containsExactly("w7", "idle");
  }

  @Test
  void idle_without_a_watermark_waits_for_the_inputs_before_it() {
    Segment input = watermarks.onArrived();
    watermarks.onStatus(true);
    assertThat(left).isEmpty();
    watermarks.onFinished(input);
    assertThat(left).containsExactly("idle");
  }

  @Test
  void active_leaves_at_once_and_cancels_an_idle_that_still_waits() {
    Segment input = watermarks.onArrived();
    watermarks.onWatermark(7);
    watermarks.onStatus(true);
    watermarks.onStatus(false);
    assertThat(left).containsExactly("active");
    watermarks.onFinished(input);
    assertThat(left).containsExactly("active", "w7");
  }

  @Test
  void with_nothing_open_idle_and_active_leave_at_once() {
    watermarks.onStatus(true);
    watermarks.onStatus(false);
    assertThat(left).containsExactly("idle", "active");
  }

  @Test
  void in_any_order_of_finishing_each_watermark_leaves_when_all_before_it_are_done() {
    for (long seed = 0; seed < 200; seed++) {
      left.clear();
      Random random = new Random(seed);
      List<Segment> open = new ArrayList<>();
      List<Integer> arrivedBefore = new ArrayList<>();
      List<Integer> order = new ArrayList<>();
      int arrived = 0;
      int finished = 0;
      for (int step = 0; step < 60; step++) {
        switch (random.nextInt(3)) {
          case 0 -> {
            open.add(watermarks.onArrived());
            order.add(arrived++);
          }
          case 1 -> {
            arrivedBefore.add(arrived);
            watermarks.onWatermark(arrived);
          }
          default -> {
            if (!open.isEmpty()) {
              int chosen = random.nextInt(open.size());
              order.remove(chosen);
              watermarks.onFinished(open.remove(chosen));
              finished++;
            }
          }
        }
        int oldestOpen = order.isEmpty() ? arrived : order.stream().min(Integer::compare).get();
        long latest = left.isEmpty() ? -1 : Long.parseLong(left.get(left.size() - 1).substring(1));
        assertThat(latest).as("seed %d step %d", seed, step).isLessThanOrEqualTo(oldestOpen);
        int due =
            arrivedBefore.stream().filter(w -> w <= oldestOpen).max(Integer::compare).orElse(-1);
        assertThat(latest).as("seed %d step %d, %d finished", seed, step, finished).isEqualTo(due);
      }
      open.forEach(watermarks::onFinished);
    }
  }
}
