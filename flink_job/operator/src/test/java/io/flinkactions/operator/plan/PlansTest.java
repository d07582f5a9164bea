package io.flinkactions.operator.plan;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.failure.DefaultFailurePolicy;
import io.flinkactions.operator.failure.DefaultFailurePolicy.OnFailure;
import io.flinkactions.operator.failure.MissingAction;
import io.flinkactions.wire.v1.Action;
import io.flinkactions.wire.v1.FailurePolicy;
import io.flinkactions.wire.v1.Plan;
import java.time.Duration;
import org.junit.jupiter.api.Test;

class PlansTest {

  private static final DefaultFailurePolicy DEFAULT =
      new DefaultFailurePolicy(
          OnFailure.DEAD_LETTER, 5, Duration.ofMillis(250), 1.5, Duration.ofSeconds(8), 0.2);

  private static FailurePolicy of(Action.Builder action) throws Exception {
    Plans plans = new Plans(10, false, MissingAction.IGNORE, DEFAULT);
    // As it comes from a server.
    Plan plan =
        Plan.parseFrom(Plan.newBuilder().addActions(action.setName("act")).build().toByteString());
    return plans.failurePolicy(plans.read(plan).action("act"));
  }

  @Test
  void an_action_that_states_no_policy_has_the_job_s() throws Exception {
    assertThat(of(Action.newBuilder()))
        .isEqualTo(
            FailurePolicy.newBuilder()
                .setDecision(FailurePolicy.Decision.DEAD_LETTER)
                .setMaxAttempts(5)
                .setInitialBackoffMs(250)
                .setMultiplierPermille(1500)
                .setMaxBackoffMs(8000)
                .setJitterPermille(200)
                .build());
  }

  @Test
  void a_stated_policy_is_the_action_s_even_if_it_says_no_more_than_a_default_would()
      throws Exception {
    FailurePolicy once =
        FailurePolicy.newBuilder()
            .setDecision(FailurePolicy.Decision.FAIL)
            .setMaxAttempts(1)
            .build();
    assertThat(of(Action.newBuilder().setOnFailure(once))).isEqualTo(once);
    FailurePolicy bare = FailurePolicy.getDefaultInstance();
    assertThat(of(Action.newBuilder().setOnFailure(bare))).isEqualTo(bare);
  }

  @Test
  void an_action_that_is_gone_has_neither() {
    assertThat(new Plans(10, false, MissingAction.IGNORE, DEFAULT).failurePolicy(null))
        .isEqualTo(MissingAction.IGNORE.policy());
  }
}
