package io.flinkactions.operator.failure;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.failure.FailurePolicies.DeadLetter;
import io.flinkactions.operator.failure.FailurePolicies.FailJob;
import io.flinkactions.operator.failure.FailurePolicies.Ignore;
import io.flinkactions.operator.failure.FailurePolicies.Retry;
import io.flinkactions.wire.v1.Failure;
import io.flinkactions.wire.v1.FailurePolicy;
import io.flinkactions.wire.v1.FailurePolicy.Decision;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class FailurePoliciesTest {

  private double random;
  private final FailurePolicies policies = new FailurePolicies(() -> random);

  private static ActionFailure failure(Failure.Kind kind, int failures, long retryAfterMillis) {
    return new ActionFailure(
        "agent", "act", "1", 0, 9, failures, "w0", "", kind, "E", "", "", retryAfterMillis);
  }

  private FailurePolicies.Decision decide(FailurePolicy.Builder policy, int failures) {
    return policies.decide(policy.build(), failure(Failure.Kind.BUG, failures, 0), null);
  }

  private static FailurePolicy.Builder tenAttempts() {
    return FailurePolicy.newBuilder()
        .setMaxAttempts(10)
        .setInitialBackoffMs(100)
        .setMultiplierPermille(2000)
        .setMaxBackoffMs(1000);
  }

  @Test
  void waits_grow_by_the_multiplier_up_to_the_longest() {
    assertThat(decide(tenAttempts(), 1)).isEqualTo(new Retry(100));
    assertThat(decide(tenAttempts(), 2)).isEqualTo(new Retry(200));
    assertThat(decide(tenAttempts(), 4)).isEqualTo(new Retry(800));
    assertThat(decide(tenAttempts(), 5)).isEqualTo(new Retry(1000));
    assertThat(decide(tenAttempts().setMaxAttempts(5_000), 4_000)).isEqualTo(new Retry(1000));
  }

  @Test
  void attempts_are_counted_by_failures_and_not_by_hand_outs() {
    // The failure above says that it is the ninth hand-out.
    FailurePolicy.Builder two = tenAttempts().setMaxAttempts(2).setDecision(Decision.DEAD_LETTER);
    assertThat(decide(two, 1)).isInstanceOf(Retry.class);
    assertThat(decide(two, 2)).isInstanceOf(DeadLetter.class);
  }

  @Test
  void jitter_takes_its_share_of_the_wait() {
    FailurePolicy.Builder policy = tenAttempts().setJitterPermille(250);
    random = 0;
    assertThat(decide(policy, 1)).isEqualTo(new Retry(100));
    random = 1;
    assertThat(decide(policy, 1)).isEqualTo(new Retry(75));
  }

  @Test
  void what_the_action_asked_to_wait_is_the_least() {
    FailurePolicy policy = tenAttempts().setJitterPermille(500).build();
    ActionFailure limited = failure(Failure.Kind.RETRYABLE, 1, 5_000);
    random = 0;
    assertThat(policies.decide(policy, limited, null)).isEqualTo(new Retry(5_000));
    random = 1;
    assertThat(policies.decide(policy, limited, null)).isEqualTo(new Retry(7_500));
    ActionFailure shorter = failure(Failure.Kind.RETRYABLE, 4, 10);
    random = 0;
    assertThat(policies.decide(policy, shorter, null)).isEqualTo(new Retry(800));
  }

  @ParameterizedTest
  @EnumSource(
      value = Failure.Kind.class,
      names = {"TERMINAL", "REPLAY_MISMATCH", "UNKNOWN_ACTION", "TOO_LARGE"})
  void what_no_retry_helps_is_not_retried(Failure.Kind kind) {
    FailurePolicy policy = tenAttempts().setDecision(Decision.DEAD_LETTER).build();
    assertThat(policies.decide(policy, failure(kind, 1, 0), null)).isInstanceOf(DeadLetter.class);
  }

  @ParameterizedTest
  @EnumSource(
      value = Failure.Kind.class,
      names = {"BUG", "RETRYABLE", "TIMEOUT", "NOT_ENCODABLE"})
  void what_a_retry_may_help_is_retried(Failure.Kind kind) {
    assertThat(policies.decide(tenAttempts().build(), failure(kind, 1, 0), null))
        .isInstanceOf(Retry.class);
  }

  @Test
  void without_a_policy_the_first_failure_fails_the_job_and_keeps_its_cause() {
    Throwable cause = new IllegalStateException("why");
    assertThat(
            policies.decide(
                FailurePolicy.getDefaultInstance(), failure(Failure.Kind.BUG, 1, 0), cause))
        .isInstanceOfSatisfying(
            FailJob.class, fail -> assertThat(fail.exception()).hasCause(cause));
    assertThat(decide(FailurePolicy.newBuilder().setDecision(Decision.IGNORE), 1))
        .isInstanceOf(Ignore.class);
  }
}
