package io.flinkactions.operator.failure;

import io.flinkactions.wire.v1.FailurePolicy;
import java.io.Serializable;
import java.time.Duration;
import java.util.Locale;

/**
 * What a job does about failures of actions that state no policy of their own; in the terms of
 * {@code @action}. One that states a part of a policy states all of it.
 *
 * @param onFailure when no attempt is left
 * @param maxAttempts attempts in all, the first included
 * @param initialBackoff the first wait
 * @param multiplier factor between two waits
 * @param maxBackoff no wait is longer, unless the action asks for it
 * @param jitter share of a wait, from 0 to 1, that is random
 */
public record DefaultFailurePolicy(
    OnFailure onFailure,
    int maxAttempts,
    Duration initialBackoff,
    double multiplier,
    Duration maxBackoff,
    double jitter)
    implements Serializable {

  private static final long serialVersionUID = 1L;
  private static final String SECTION = "default-failure-policy.";
  // An action's own policy has the same bounds.
  private static final int MOST_ATTEMPTS = 1_000_000;
  private static final int LARGEST_MULTIPLIER = 1_000;
  private static final Duration SHORTEST_BOUND = Duration.ofMillis(1);
  private static final Duration LONGEST_WAIT = Duration.ofDays(30);

  /** The job fails, and its restart strategy decides. */
  public static final DefaultFailurePolicy FAIL =
      new DefaultFailurePolicy(
          OnFailure.FAIL, 1, Duration.ofSeconds(1), 2.0, Duration.ofMinutes(1), 0.1);

  /** What becomes of an invocation that has no attempt left. */
  public enum OnFailure {
    /** The job fails, and its restart strategy decides. */
    FAIL(FailurePolicy.Decision.FAIL),
    /** It goes to the dead letters, and its run goes on without it. */
    DEAD_LETTER(FailurePolicy.Decision.DEAD_LETTER),
    /** Its run goes on without it, and nothing is left but a count. */
    IGNORE(FailurePolicy.Decision.IGNORE);

    private final FailurePolicy.Decision decision;

    OnFailure(FailurePolicy.Decision decision) {
      this.decision = decision;
    }

    /** As settings have it, and an action's {@code on_failure}. */
    @Override
    public String toString() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  public DefaultFailurePolicy {
    if (maxAttempts < 1 || maxAttempts > MOST_ATTEMPTS) {
      throw outOfRange(
          "max-attempts", maxAttempts, "it counts the first attempt too, and is from 1 to 1000000");
    }
    if (initialBackoff.isNegative() || initialBackoff.compareTo(LONGEST_WAIT) > 0) {
      throw outOfRange("backoff.initial", initialBackoff, "it is a time from 0 to 30 days");
    }
    // Written so that NaN is refused.
    if (!(multiplier >= 1 && multiplier <= LARGEST_MULTIPLIER)) {
      throw outOfRange("backoff.multiplier", multiplier, "it is a number from 1 to 1000");
    }
    // On the wire 0 is no bound at all.
    if (maxBackoff.compareTo(SHORTEST_BOUND) < 0 || maxBackoff.compareTo(LONGEST_WAIT) > 0) {
      throw outOfRange("backoff.max", maxBackoff, "it is a time from 1 ms to 30 days");
    }
    if (!(jitter >= 0 && jitter <= 1)) {
      throw outOfRange("backoff.jitter", jitter, "it is a number from 0 to 1");
    }
  }

  private static IllegalArgumentException outOfRange(String key, Object value, String range) {
    return new IllegalArgumentException(SECTION + key + " is " + value + "; " + range);
  }

  /** As a plan has it for an action that states its own. */
  public FailurePolicy policy() {
    return FailurePolicy.newBuilder()
        .setDecision(onFailure.decision)
        .setMaxAttempts(maxAttempts)
        .setInitialBackoffMs(initialBackoff.toMillis())
        .setMaxBackoffMs(maxBackoff.toMillis())
        .setMultiplierPermille((int) Math.round(multiplier * 1000))
        .setJitterPermille((int) Math.round(jitter * 1000))
        .build();
  }
}
