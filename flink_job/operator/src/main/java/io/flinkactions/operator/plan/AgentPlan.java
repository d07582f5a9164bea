package io.flinkactions.operator.plan;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.Action;
import io.flinkactions.wire.v1.Durability;
import io.flinkactions.wire.v1.Plan;
import io.flinkactions.wire.v1.Trigger;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What an agent's events trigger, as one generation of a server declared it. Immutable. */
public final class AgentPlan {

  private static final PlannedAction[] NOTHING = {};
  // As many as are sooner compared one by one than hashed.
  private static final int FEW = 8;

  private final ByteString digest;
  private final int hopLimit;
  private PlannedAction[] first = NOTHING;
  private final Map<String, PlannedAction> byName = new LinkedHashMap<>();
  private final Map<String, PlannedAction[]> byEventType = new HashMap<>();

  private AgentPlan(Plan plan, int defaultHopLimit) {
    digest = plan.getDigest();
    hopLimit = plan.getHopLimit() > 0 ? plan.getHopLimit() : defaultHopLimit;
  }

  /**
   * Reads a plan.
   *
   * @param hasStore the job has an action state store
   * @throws UnsupportedPlanException if it asks for what this operator cannot do
   */
  public static AgentPlan of(Plan plan, int defaultHopLimit, boolean hasStore)
      throws UnsupportedPlanException {
    if (plan.getMemory().getShortTermTtlMs() > 0) {
      throw new UnsupportedPlanException(plan.getAgent(), plan.getMemory().getShortTermTtlMs());
    }
    AgentPlan parsed = new AgentPlan(plan, defaultHopLimit);
    Map<String, List<PlannedAction>> triggered = new HashMap<>();
    for (int index = 0; index < plan.getActionsCount(); index++) {
      Action action = plan.getActions(index);
      if (action.getDurability() == Durability.SYNCHRONOUS && !hasStore) {
        throw UnsupportedPlanException.noStore(plan.getAgent(), action.getName());
      }
      PlannedAction planned = new PlannedAction(index, action);
      parsed.byName.put(planned.name(), planned);
      for (Trigger trigger : action.getTriggersList()) {
        List<PlannedAction> actions =
            triggered.computeIfAbsent(eventType(plan, action, trigger), type -> new ArrayList<>());
        // An action runs once per event, however many of its triggers match.
        if (!actions.contains(planned)) {
          actions.add(planned);
        }
      }
    }
    parsed.first = parsed.byName.values().stream().limit(FEW).toArray(PlannedAction[]::new);
    for (Action action : plan.getActionsList()) {
      for (String former : action.getFormerNamesList()) {
        parsed.byName.putIfAbsent(former, parsed.byName.get(action.getName()));
      }
    }
    triggered.forEach((type, actions) -> parsed.byEventType.put(type, actions.toArray(NOTHING)));
    return parsed;
  }

  private static String eventType(Plan plan, Action action, Trigger trigger)
      throws UnsupportedPlanException {
    switch (trigger.getConditionCase()) {
      case EVENT_TYPE:
        return trigger.getEventType();
      case CEL:
        throw new UnsupportedPlanException(
            plan.getAgent(),
            action.getName(),
            "is triggered by the CEL expression '" + trigger.getCel() + "'",
            "matches exact event types only; trigger it by event types");
      default:
        throw new UnsupportedPlanException(
            plan.getAgent(),
            action.getName(),
            "has a trigger of a kind that this operator does not know",
            "matches exact event types only; trigger it by event types");
    }
  }

  /** The actions that an event of this type triggers, in declaration order. Not to be changed. */
  public PlannedAction[] triggeredBy(String eventType) {
    return byEventType.getOrDefault(eventType, NOTHING);
  }

  /** The action that has this name or once had it, or null if the plan has none. */
  public PlannedAction action(String name) {
    // Asked twice per invocation, nearly always with the plan's own text.
    for (PlannedAction action : first) {
      if (action.name() == name) {
        return action;
      }
    }
    return byName.get(name);
  }

  public ByteString digest() {
    return digest;
  }

  /** How many events deep one input may chain. */
  public int hopLimit() {
    return hopLimit;
  }
}
