package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class StartIdentityTest {

  private final StartIdentity identity = Subtask.identity().epoch(1000).build();

  @Test
  void a_start_that_nobody_has_welcomed_goes_above_a_later_epoch() {
    assertThat(identity.raiseEpochAbove(5000)).isTrue();
    assertThat(identity.epoch()).isEqualTo(5001);
  }

  @Test
  void a_start_that_was_welcomed_keeps_its_epoch() {
    identity.welcomed();
    assertThat(identity.raiseEpochAbove(5000)).isFalse();
    assertThat(identity.epoch()).isEqualTo(1000);
  }

  @Test
  void an_answer_that_an_epoch_raised_meanwhile_has_overtaken_is_no_reason_to_end() {
    // Two workers know 5000. The first said so, and welcomed what came of it; then the second says
    // so of the Hello before.
    identity.raiseEpochAbove(5000);
    identity.welcomed();
    assertThat(identity.raiseEpochAbove(5000)).isTrue();
    assertThat(identity.epoch()).isEqualTo(5001);
    assertThat(identity.raiseEpochAbove(5001)).isFalse();
  }
}
