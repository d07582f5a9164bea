package io.flinkactions.operator.failure;

import io.flinkactions.wire.v1.Failure;
import io.flinkactions.wire.v1.FailurePolicy;
import java.util.function.DoubleSupplier;

/**
 * Decides what becomes of an invocation whose attempt failed. The one place: nothing else in the
 * operator, and nothing in the server, retries, drops or fails for a user's error.
 *
 * <p>Only failures of user code and its time-outs are counted: what workers, networks and restores
 * do to an invocation costs it no attempt.
 */
public final class FailurePolicies {

  /** What becomes of it. */
  public sealed interface Decision permits FailJob, Retry, DeadLetter, Ignore {}

  /** The job fails with this exception, and Flink's restart strategy decides. */
  public record FailJob(ActionFailedException exception) implements Decision {}

  /** Another attempt, not before this time is over. */
  public record Retry(long delayMillis) implements Decision {}

  /** It goes to the dead letters, and its run goes on without it. */
  public record DeadLetter() implements Decision {}

  /** Its run goes on without it. */
  public record Ignore() implements Decision {}

  private final DoubleSupplier random;

  /**
   * Policies with this source of jitter.
   *
   * @param random gives numbers from 0 to 1
   */
  public FailurePolicies(DoubleSupplier random) {
    this.random = random;
  }

  /**
   * The decision for one failed attempt.
   *
   * @param policy as the plan has it for the action
   * @param failure what happened; its failures include this one
   * @param cause an exception of this side that stands behind it, or null
   */
  public Decision decide(FailurePolicy policy, ActionFailure failure, Throwable cause) {
    if (mayRetry(failure.kind()) && failure.failures() < policy.getMaxAttempts()) {
      return new Retry(delayMillis(policy, failure));
    }
    return switch (policy.getDecision()) {
      case DEAD_LETTER -> new DeadLetter();
      case IGNORE -> new Ignore();
      case FAIL, DECISION_UNSPECIFIED, UNRECOGNIZED ->
          new FailJob(new ActionFailedException(failure, cause));
    };
  }

  /** Whether the same attempt could end otherwise. */
  private static boolean mayRetry(Failure.Kind kind) {
    return switch (kind) {
      case TERMINAL, REPLAY_MISMATCH, UNKNOWN_ACTION, TOO_LARGE -> false;
      default -> true;
    };
  }

  private long delayMillis(FailurePolicy policy, ActionFailure failure) {
    double multiplier = Math.max(1.0, policy.getMultiplierPermille() / 1000.0);
    double backoff =
        policy.getInitialBackoffMs() * Math.pow(multiplier, Math.max(0, failure.failures() - 1));
    if (policy.getMaxBackoffMs() > 0) {
      backoff = Math.min(backoff, policy.getMaxBackoffMs());
    }
    double randomShare = Math.min(1.0, policy.getJitterPermille() / 1000.0) * random.getAsDouble();
    // What the action asked for is the least: there jitter only adds, so that what was turned away
    // together does not come back together.
    double asked = failure.retryAfterMillis() * (1 + randomShare);
    return (long) Math.max(backoff * (1 - randomShare), asked);
  }
}
