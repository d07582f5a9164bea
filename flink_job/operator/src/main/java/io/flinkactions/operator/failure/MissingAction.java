package io.flinkactions.operator.failure;

import io.flinkactions.wire.v1.Action;
import io.flinkactions.wire.v1.FailurePolicy;
import io.flinkactions.wire.v1.Plan;
import java.util.HexFormat;
import java.util.Locale;
import java.util.stream.Collectors;

/**
 * What becomes of an invocation whose action no plan has any more, not even under a former name: a
 * run was in the middle of it when the code was changed. The action's own policy has gone with it,
 * so the job has the word.
 */
public enum MissingAction {
  /** The job fails, and its restart strategy decides. */
  FAIL(FailurePolicy.Decision.FAIL),
  /** It goes to the dead letters, and its run goes on without it. */
  DEAD_LETTER(FailurePolicy.Decision.DEAD_LETTER),
  /** Its run goes on without it, and nothing is left but a count. */
  IGNORE(FailurePolicy.Decision.IGNORE);

  private final FailurePolicy policy;

  MissingAction(FailurePolicy.Decision decision) {
    policy = FailurePolicy.newBuilder().setDecision(decision).build();
  }

  /** In place of the policy that went with the action. */
  public FailurePolicy policy() {
    return policy;
  }

  /** As settings have it, and an action's {@code on_failure}. */
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** Says what is missing where, and by which ways the run can go on. */
  public static String describe(String action, Plan plan) {
    String others =
        plan.getActionsList().stream()
            .map(Action::getName)
            .collect(Collectors.joining("', '", "'", "'"));
    return "this run was to call action '"
        + action
        + "' under an earlier plan, and plan "
        + HexFormat.of().formatHex(plan.getDigest().toByteArray())
        + " of agent '"
        + plan.getAgent()
        + "' has none of that name: it has "
        + others
        + ". If the action was renamed, declare the new one with formerly=\""
        + action
        + "\"; else serve code that has it until no run waits for it, or set the job's"
        + " agent.missing-action to dead_letter or ignore";
  }
}
