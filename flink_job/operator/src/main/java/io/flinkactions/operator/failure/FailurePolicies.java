package io.flinkactions.operator.failure;

import io.flinkactions.wire.v1.FailurePolicy;

/**
 * Decides what becomes of an invocation whose attempt failed. The one place: nothing else in the
 * operator, and nothing in the server, retries, drops or fails for a user's error.
 */
public final class FailurePolicies {

  /** What becomes of it. */
  public sealed interface Decision permits FailJob {}

  /** The job fails with this exception, and Flink's restart strategy decides. */
  public record FailJob(ActionFailedException exception) implements Decision {}

  /**
   * The decision for one failed attempt.
   *
   * @param policy as the plan has it for the action
   * @param failure what happened
   * @param cause an exception of this side that stands behind it, or null
   */
  public Decision decide(FailurePolicy policy, ActionFailure failure, Throwable cause) {
    return switch (policy.getDecision()) {
      case FAIL, DECISION_UNSPECIFIED, DEAD_LETTER, IGNORE, UNRECOGNIZED ->
          new FailJob(new ActionFailedException(failure, cause));
    };
  }
}
