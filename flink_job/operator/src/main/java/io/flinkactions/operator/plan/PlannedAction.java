package io.flinkactions.operator.plan;

import io.flinkactions.wire.v1.Action;
import io.flinkactions.wire.v1.FailurePolicy;

/** One action of a plan, and where it stands in it. */
public final class PlannedAction {

  private final int index;
  private final String name;
  private final FailurePolicy onFailure;
  private final long timeoutMillis;

  PlannedAction(int index, Action action) {
    this.index = index;
    this.name = action.getName();
    this.onFailure = action.getOnFailure();
    this.timeoutMillis = action.getTimeoutMs();
  }

  /** Its position in {@code Plan.actions}, by which an Invoke names it. */
  public int index() {
    return index;
  }

  public String name() {
    return name;
  }

  public FailurePolicy onFailure() {
    return onFailure;
  }

  /** Longest time of one attempt; 0: no limit. */
  public long timeoutMillis() {
    return timeoutMillis;
  }
}
