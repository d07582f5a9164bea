package io.flinkactions.operator.lane;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.ContentType;
import org.junit.jupiter.api.Test;

class WaitingInputsTest {

  private static Input input(int bytes) {
    return new Input(0, ByteString.copyFrom(new byte[bytes]), ContentType.BYTES, false, 0, null);
  }

  @Test
  void the_soft_limit_holds_back_and_the_valve_lifts_it_to_the_hard_one() {
    WaitingInputs waiting = new WaitingInputs(1_000, 5_000);
    Input large = input(1_000);
    waiting.onArrived(large);
    assertThat(waiting.isFull()).isTrue();
    waiting.setValveOpen(true);
    assertThat(waiting.isFull()).isFalse();
    for (int i = 0; i < 4; i++) {
      waiting.onArrived(input(1_000));
    }
    assertThat(waiting.isFull()).isTrue();
    waiting.setValveOpen(false);
    assertThat(waiting.isFull()).isTrue();
  }

  @Test
  void an_input_whose_run_has_begun_does_not_hold_back_records() {
    WaitingInputs waiting = new WaitingInputs(1_000, 5_000);
    Input large = input(2_000);
    waiting.onArrived(large);
    assertThat(waiting.isFull()).isTrue();
    waiting.onBegun(large);
    assertThat(waiting.isFull()).isFalse();
    assertThat(waiting.waitingBytes()).isZero();
  }

  @Test
  void running_inputs_are_bounded_too_but_one_may_always_run() {
    WaitingInputs waiting = new WaitingInputs(1_000, 5_000);
    Input huge = input(10_000);
    waiting.onArrived(huge);
    assertThat(waiting.maySpare(huge)).isTrue();
    waiting.onBegun(huge);
    Input small = input(1);
    waiting.onArrived(small);
    assertThat(waiting.maySpare(small)).isFalse();
    waiting.onFinished(huge);
    assertThat(waiting.maySpare(small)).isTrue();
  }
}
