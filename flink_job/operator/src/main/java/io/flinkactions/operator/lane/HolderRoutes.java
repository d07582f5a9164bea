package io.flinkactions.operator.lane;

import io.flinkactions.operator.plan.PlannedAction;
import io.flinkactions.operator.plan.Plans;
import io.flinkactions.operator.plan.UnsupportedPlanException;
import io.flinkactions.operator.session.Sessions;
import io.flinkactions.operator.session.WorkerSession;
import java.util.List;

/**
 * The way of an invocation to the worker that holds something of it: its Result, or records of its
 * calls. Only the next one of a lane can be looked for, as only that has an id; by the time the
 * others are next, they are looked for as well. Mailbox thread only.
 */
final class HolderRoutes {
  private final Sessions sessions;
  private final Plans plans;
  private final RunIdentity runIdentity;

  HolderRoutes(Sessions sessions, Plans plans, RunIdentity runIdentity) {
    this.sessions = sessions;
    this.plans = plans;
    this.runIdentity = runIdentity;
  }

  /** Where the lane's next invocation is held: perhaps an interrupted session. Null: nowhere. */
  WorkerSession of(Lane lane) throws UnsupportedPlanException {
    List<WorkerSession> holders = sessions.holders();
    if (holders.isEmpty()) {
      return null;
    }
    byte[] id = lane.run() == null ? null : Invokes.idOf(runIdentity.identities(), lane.run());
    WorkerSession latest = null;
    long latestRank = 0;
    for (WorkerSession holder : holders) {
      byte[] wanted = id == null ? firstId(lane, holder) : id;
      long rank = wanted == null ? 0 : sessions.heldRank(holder, wanted);
      if (rank > latestRank) {
        latest = holder;
        latestRank = rank;
      }
    }
    return latest;
  }

  /** Of the run's first invocation, by the holder's plan; null if that has none. */
  private byte[] firstId(Lane lane, WorkerSession holder) throws UnsupportedPlanException {
    PlannedAction[] triggered = plans.read(holder.plan()).triggeredBy(EventTypes.INPUT);
    if (triggered.length == 0) {
      return null;
    }
    Input input = lane.firstInput();
    byte[] runId = runIdentity.runId(runIdentity.namespace(), lane, input);
    byte[] digest = Invokes.inputDigest(runIdentity.identities(), input);
    return runIdentity.identities().invocationId(runId, triggered[0].name(), 0, digest);
  }
}
