package io.flinkactions.operator.time;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.time.Deadlines.Deadline;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.streaming.runtime.tasks.TestProcessingTimeService;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class DeadlinesTest {

  private final TestProcessingTimeService clock = new TestProcessingTimeService();
  private final Deadlines deadlines = new Deadlines(clock);
  private final List<String> due = new ArrayList<>();

  @BeforeEach
  void startTheClock() throws Exception {
    clock.setCurrentTime(1_000);
  }

  @Test
  void each_is_due_once_in_the_order_of_time_and_not_before() throws Exception {
    deadlines.in(200, () -> due.add("late"));
    deadlines.in(100, () -> due.add("early"));
    clock.setCurrentTime(1_099);
    assertThat(due).isEmpty();
    clock.setCurrentTime(1_100);
    assertThat(due).containsExactly("early");
    clock.setCurrentTime(5_000);
    assertThat(due).containsExactly("early", "late");
  }

  @Test
  void a_cancelled_one_does_nothing_and_those_behind_it_are_still_due() throws Exception {
    Deadline cancelled = deadlines.in(100, () -> due.add("cancelled"));
    deadlines.in(200, () -> due.add("kept"));
    cancelled.cancel();
    clock.setCurrentTime(1_300);
    assertThat(due).containsExactly("kept");
  }

  @Test
  void one_without_an_end_is_never_due() throws Exception {
    deadlines.in(Long.MAX_VALUE, () -> due.add("never"));
    deadlines.in(100, () -> due.add("soon"));
    clock.setCurrentTime(5_000);
    assertThat(due).containsExactly("soon");
  }

  @Test
  void one_timer_is_registered_whatever_waits() throws Exception {
    deadlines.in(300, () -> due.add("c"));
    deadlines.in(100, () -> due.add("a"));
    deadlines.in(200, () -> due.add("b"));
    assertThat(clock.getNumActiveTimers()).isEqualTo(1);
    clock.setCurrentTime(1_100);
    assertThat(clock.getNumActiveTimers()).isEqualTo(1);
  }

  @Test
  void an_action_may_set_the_next_one() throws Exception {
    deadlines.in(100, () -> deadlines.in(100, () -> due.add("second")));
    clock.setCurrentTime(1_100);
    assertThat(due).isEmpty();
    clock.setCurrentTime(1_200);
    assertThat(due).containsExactly("second");
  }
}
