package io.flinkactions.operator.lane;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import java.util.ArrayDeque;
import java.util.HashSet;
import java.util.Queue;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

class HandlesTest {

  private static Lane lane(String key) {
    return new Lane(key, 0, ByteString.EMPTY);
  }

  @Test
  void a_handle_finds_its_lane_until_it_is_closed() {
    Handles handles = new Handles(4);
    Lane lane = lane("\"a\"");
    long handle = handles.open(lane);
    assertThat(handles.lane(handle)).isSameAs(lane);
    handles.close(handle);
    assertThat(handles.lane(handle)).isNull();
  }

  @Test
  void a_late_handle_does_not_find_the_lane_that_has_its_slot_now() {
    Handles handles = new Handles(1);
    long old = handles.open(lane("\"a\""));
    handles.close(old);
    Lane next = lane("\"b\"");
    long handle = handles.open(next);
    assertThat(handles.lane(old)).isNull();
    assertThat(handles.lane(handle)).isSameAs(next);
    assertThatThrownBy(() -> handles.close(old)).isInstanceOf(IllegalStateException.class);
  }

  @Test
  void no_handle_is_used_twice() {
    Handles handles = new Handles(100);
    Set<Long> seen = new HashSet<>();
    Queue<Long> open = new ArrayDeque<>();
    Random random = new Random(7);
    for (int i = 0; i < 10_000; i++) {
      if (open.size() < 100 && random.nextBoolean()) {
        long handle = handles.open(lane("1"));
        assertThat(seen.add(handle)).isTrue();
        open.add(handle);
      } else if (!open.isEmpty()) {
        handles.close(open.poll());
      }
      assertThat(handles.openCount()).isEqualTo(open.size());
    }
  }

  @Test
  void a_limit_that_stands_for_none_takes_no_memory() {
    Handles handles = new Handles(Integer.MAX_VALUE);
    for (int i = 0; i < 5_000; i++) {
      Lane lane = lane(Integer.toString(i));
      assertThat(handles.lane(handles.open(lane))).isSameAs(lane);
    }
    assertThat(handles.openCount()).isEqualTo(5_000);
  }

  @Test
  void a_handle_that_was_never_given_finds_nothing() {
    Handles handles = new Handles(3);
    handles.open(lane("1"));
    assertThat(handles.lane(0)).isNull();
    assertThat(handles.lane(-1)).isNull();
    assertThat(handles.lane(Long.MAX_VALUE)).isNull();
  }
}
