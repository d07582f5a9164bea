package io.flinkactions.operator.lane;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.time.Deadlines;
import io.flinkactions.wire.v1.ContentType;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.streaming.runtime.tasks.TestProcessingTimeService;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class RetriesTest {

  private final TestProcessingTimeService clock = new TestProcessingTimeService();
  private final List<String> due = new ArrayList<>();
  private int rounds;
  private final Retries retries =
      new Retries(
          new Deadlines(clock),
          new Retries.Listener() {
            @Override
            public void onDue(Lane lane) {
              due.add(lane.key());
            }

            @Override
            public void onAllDue() {
              rounds++;
            }
          });

  @BeforeEach
  void startTheClock() throws Exception {
    clock.setCurrentTime(1_000);
  }

  private static Lane failed(String key, int failures, long dueMillis) {
    Lane lane = new Lane(key, 0, ByteString.EMPTY);
    Input input = new Input(0, ByteString.EMPTY, ContentType.JSON, false, 0, null);
    lane.add(input);
    Run run = new Run(input, "n", new byte[16], ByteString.EMPTY, 1);
    run.add(new Invocation("act", 0, 0, null).restoreCounts(1, failures, 0).restoreWait(dueMillis));
    lane.begin(run);
    return lane;
  }

  @Test
  void each_is_due_at_its_time_whatever_the_order_they_came_in() throws Exception {
    retries.waitFor(failed("late", 1, 0), 300);
    retries.waitFor(failed("early", 1, 0), 100);
    clock.setCurrentTime(1_099);
    assertThat(due).isEmpty();
    clock.setCurrentTime(1_100);
    assertThat(due).containsExactly("early");
    clock.setCurrentTime(1_300);
    assertThat(due).containsExactly("early", "late");
    assertThat(retries.count()).isZero();
  }

  @Test
  void what_is_due_together_is_told_in_one_round_and_needs_one_timer() throws Exception {
    for (int i = 0; i < 1_000; i++) {
      retries.waitFor(failed("k" + i, 1, 0), 2_000);
    }
    assertThat(clock.getNumActiveTimers()).isEqualTo(1);
    clock.setCurrentTime(3_000);
    assertThat(due).hasSize(1_000);
    assertThat(rounds).isEqualTo(1);
  }

  @Test
  void a_restored_one_waits_for_what_is_left_and_an_overdue_one_not_at_all() throws Exception {
    retries.resume(failed("left", 2, 1_500));
    retries.resume(failed("overdue", 2, 400));
    clock.setCurrentTime(1_001);
    assertThat(due).containsExactly("overdue");
    clock.setCurrentTime(1_499);
    assertThat(due).containsExactly("overdue");
    clock.setCurrentTime(1_500);
    assertThat(due).containsExactly("overdue", "left");
  }

  @Test
  void one_whose_invocation_is_over_or_has_failed_again_does_nothing() throws Exception {
    Lane over = failed("over", 1, 0);
    Lane again = failed("again", 1, 0);
    retries.waitFor(over, 100);
    retries.waitFor(again, 100);
    over.removeFirstInput();
    again.run().current().countFailure();
    clock.setCurrentTime(1_200);
    assertThat(due).isEmpty();
    assertThat(again.run().current().isWaiting()).isTrue();
  }
}
