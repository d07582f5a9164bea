package io.flinkactions.operator.plan;

import io.flinkactions.operator.failure.DefaultFailurePolicy;
import io.flinkactions.operator.failure.MissingAction;
import io.flinkactions.wire.v1.FailurePolicy;
import io.flinkactions.wire.v1.Plan;
import java.util.IdentityHashMap;
import java.util.Map;

/** The plans of the sessions' workers, read once each. Mailbox thread only. */
public final class Plans {

  // More than generations that live at the same time; what is dropped is only read again.
  private static final int REMEMBERED = 8;

  private final int defaultHopLimit;
  private final boolean hasStore;
  private final FailurePolicy ofMissing;
  private final FailurePolicy ofUnstated;
  private final Map<Plan, AgentPlan> parsed = new IdentityHashMap<>();
  private Plan lastAsked;
  private AgentPlan lastAnswer;

  /**
   * @param defaultHopLimit for plans that name none
   * @param hasStore the job has an action state store
   * @param missingAction what becomes of invocations whose action a plan has no more
   * @param defaultFailurePolicy of actions that state none
   */
  public Plans(
      int defaultHopLimit,
      boolean hasStore,
      MissingAction missingAction,
      DefaultFailurePolicy defaultFailurePolicy) {
    this.defaultHopLimit = defaultHopLimit;
    this.hasStore = hasStore;
    this.ofMissing = missingAction.policy();
    this.ofUnstated = defaultFailurePolicy.policy();
  }

  /**
   * What becomes of an invocation of this action that has failed: as the action states, or else the
   * job.
   *
   * @param action null: the plan has it no more
   */
  public FailurePolicy failurePolicy(PlannedAction action) {
    if (action == null) {
      return ofMissing;
    }
    return action.onFailure() == null ? ofUnstated : action.onFailure();
  }

  /**
   * What this plan says. Sessions with equal plans have the same object.
   *
   * @throws UnsupportedPlanException if it asks for what this operator cannot do
   */
  public AgentPlan read(Plan plan) throws UnsupportedPlanException {
    if (plan == lastAsked) {
      return lastAnswer;
    }
    AgentPlan answer = parsed.get(plan);
    if (answer == null) {
      answer = AgentPlan.of(plan, defaultHopLimit, hasStore);
      if (parsed.size() >= REMEMBERED) {
        parsed.clear();
      }
      parsed.put(plan, answer);
    }
    lastAsked = plan;
    lastAnswer = answer;
    return answer;
  }
}
