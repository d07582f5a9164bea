package io.flinkactions.operator.plan;

import io.flinkactions.wire.v1.Action;
import io.flinkactions.wire.v1.Durability;
import io.flinkactions.wire.v1.FailurePolicy;

/** One action of a plan, and where it stands in it. */
public final class PlannedAction {

  private final int index;
  private final String name;
  private final FailurePolicy onFailure;
  private final long timeoutMillis;
  private final boolean isSynchronous;

  PlannedAction(int index, Action action) {
    this.index = index;
    this.name = action.getName();
    this.onFailure = action.hasOnFailure() ? action.getOnFailure() : null;
    this.timeoutMillis = action.getTimeoutMs();
    this.isSynchronous = action.getDurability() == Durability.SYNCHRONOUS;
  }

  /** Its position in {@code Plan.actions}, by which an Invoke names it. */
  public int index() {
    return index;
  }

  public String name() {
    return name;
  }

  /** Null: it states none, and the job decides. */
  FailurePolicy onFailure() {
    return onFailure;
  }

  /** Its durable calls return when the action state store has their records. */
  public boolean isSynchronous() {
    return isSynchronous;
  }

  /** Longest time that one attempt may run; 0: no limit. */
  public long timeoutMillis() {
    return timeoutMillis;
  }
}
