package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.lane.WaitingInputs;
import io.flinkactions.operator.time.Deadlines;
import org.apache.flink.streaming.runtime.tasks.TestProcessingTimeService;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class CheckpointValveTest {

  private final TestProcessingTimeService clock = new TestProcessingTimeService();
  private final WaitingInputs waiting = new WaitingInputs(1, 2);
  private final CheckpointValve valve = new CheckpointValve(waiting, new Deadlines(clock), 200);

  @BeforeEach
  void startTheClock() throws Exception {
    clock.setCurrentTime(0);
  }

  @Test
  void it_opens_when_the_barrier_is_late_and_closes_with_the_snapshot() throws Exception {
    valve.onAnnounced(5);
    clock.setCurrentTime(199);
    assertThat(waiting.isValveOpen()).isFalse();
    clock.setCurrentTime(200);
    assertThat(waiting.isValveOpen()).isTrue();
    valve.onOver(5);
    assertThat(waiting.isValveOpen()).isFalse();
  }

  @Test
  void a_barrier_in_time_leaves_it_shut() throws Exception {
    valve.onAnnounced(5);
    clock.setCurrentTime(100);
    valve.onOver(5);
    clock.setCurrentTime(1_000);
    assertThat(waiting.isValveOpen()).isFalse();
  }

  @Test
  void an_announcement_behind_its_own_snapshot_opens_nothing() throws Exception {
    valve.onOver(5);
    valve.onAnnounced(5);
    clock.setCurrentTime(1_000);
    assertThat(waiting.isValveOpen()).isFalse();
  }

  @Test
  void it_stays_open_for_the_next_checkpoint_when_one_is_aborted() throws Exception {
    valve.onAnnounced(5);
    valve.onAnnounced(6);
    clock.setCurrentTime(200);
    valve.onOver(5);
    assertThat(waiting.isValveOpen()).isTrue();
    valve.onOver(6);
    assertThat(waiting.isValveOpen()).isFalse();
  }

  @Test
  void each_checkpoint_has_its_own_delay() throws Exception {
    valve.onAnnounced(5);
    clock.setCurrentTime(100);
    valve.onOver(5);
    valve.onAnnounced(6);
    clock.setCurrentTime(250);
    assertThat(waiting.isValveOpen()).isFalse();
    clock.setCurrentTime(300);
    assertThat(waiting.isValveOpen()).isTrue();
  }
}
