package io.flinkactions.operator.lane;

import io.flinkactions.operator.plan.PlannedAction;

/**
 * How long actions and runs may take, and what is left of that.
 *
 * <p>This side sets the limits and keeps what runs have used; the worker, which alone sees code
 * begin and end, keeps to them and reports how long it ran. So what is left changes with answers
 * only: no queue, no break and no restart uses it up, and silence is never a time-out
 * (session.proto).
 */
final class TimeLimits {

  private final long runLimitMillis;

  /** 0: runs have no limit of their own. */
  TimeLimits(long runLimitMillis) {
    this.runLimitMillis = runLimitMillis;
  }

  /** How long the run's next attempt at this action may run, at least 1; 0: as long as it likes. */
  long remainingMillis(Run run, PlannedAction action) {
    long limit = action.timeoutMillis() > 0 ? action.timeoutMillis() : Long.MAX_VALUE;
    if (runLimitMillis > 0) {
      limit = Math.min(limit, runLimitMillis - run.usedMillis());
    }
    return limit == Long.MAX_VALUE ? 0 : Math.max(1, limit);
  }

  /** Whether nothing is left of the run's limit. */
  boolean isOver(Run run) {
    return runLimitMillis > 0 && run.usedMillis() >= runLimitMillis;
  }

  /** For people, why a run that is over its limit goes no further. */
  String explanation() {
    return "the run has used up its time limit of "
        + runLimitMillis
        + " ms; time spent waiting is not in it. Raise the job's run-timeout, or make the run"
        + " shorter";
  }
}
