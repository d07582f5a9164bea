package io.flinkactions.operator.lane;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.flinkactions.operator.Outputs;
import io.flinkactions.operator.failure.ActionFailure;
import io.flinkactions.operator.failure.DeadLetter;
import io.flinkactions.operator.failure.FailurePolicies;
import io.flinkactions.operator.failure.FailurePolicies.FailJob;
import io.flinkactions.operator.failure.FailurePolicies.Retry;
import io.flinkactions.operator.identity.Identities;
import io.flinkactions.operator.lane.Invocation.SentEvent;
import io.flinkactions.operator.memory.KeyMemory;
import io.flinkactions.operator.memory.MemoryVersions;
import io.flinkactions.operator.metrics.OperatorMetrics;
import io.flinkactions.operator.plan.AgentPlan;
import io.flinkactions.operator.plan.PlannedAction;
import io.flinkactions.operator.plan.Plans;
import io.flinkactions.operator.plan.UnsupportedPlanException;
import io.flinkactions.operator.session.SessionException;
import io.flinkactions.operator.session.Sessions;
import io.flinkactions.operator.session.WorkerSession;
import io.flinkactions.operator.time.Deadlines;
import io.flinkactions.operator.time.SegmentedWatermarks;
import io.flinkactions.wire.v1.Failure;
import io.flinkactions.wire.v1.FailurePolicy;
import io.flinkactions.wire.v1.WorkerFrame;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Begins runs, takes them from one invocation to the next by what Results say, and ends them.
 *
 * <p>An input is *waiting*, then *running*, then finished. One run per key at a time, in the order
 * of the inputs; one invocation per run at a time, in the order of the events. An active lane whose
 * run has not begun stands once in the queue of startable lanes; how many may have begun is
 * limited. A new input of which an interrupted worker has kept something waits for that one, and
 * stands aside until there are other ways. A run whose invocation has failed and waits for another
 * attempt counts as not begun: it stands with {@link Retries}, and then in that queue again; so
 * does one that waits to be tried apart, which stands with {@link Quarantine}. An input that
 * triggers nothing ends where others begin, in the same loop. Mailbox thread only.
 */
public final class Runs {

  private static final Logger LOG = LoggerFactory.getLogger(Runs.class);

  private final Sessions sessions;
  private final Plans plans;
  private final Lanes lanes;
  private final WaitingInputs waiting;
  private final KeyMemory memory;
  private final MemoryVersions versions = new MemoryVersions();
  private final SegmentedWatermarks watermarks;
  private final Identities identities;
  private final RunIdentity runIdentity;
  private final Outputs<?> outputs;
  private final OperatorMetrics metrics;
  private final FailurePolicies policies =
      new FailurePolicies(() -> ThreadLocalRandom.current().nextDouble());
  private final TimeLimits timeLimits;
  private final Invokes invokes;
  private final Retries retries;
  private final CallJournal calls;
  // Null: the job has no action state store.
  private final StoredCalls stored;
  // Null: nobody watches.
  private final EventTrail trail;
  private final int limit;
  private final ArrayDeque<Lane> startable = new ArrayDeque<>();
  // Of these, those whose new input waits for a holder that is interrupted, the first one first.
  private final List<Lane> heldUp = new ArrayList<>();
  private int begun;
  private boolean isBeginning;

  public Runs(
      Sessions sessions,
      Plans plans,
      Lanes lanes,
      WaitingInputs waiting,
      KeyMemory memory,
      boolean memoryExpires,
      long runLimitMillis,
      SegmentedWatermarks watermarks,
      Deadlines deadlines,
      RunIdentity runIdentity,
      Outputs<?> outputs,
      OperatorMetrics metrics,
      StoredCalls stored,
      EventTrail trail,
      int limit) {
    this.sessions = sessions;
    this.plans = plans;
    this.lanes = lanes;
    this.waiting = waiting;
    this.memory = memory;
    this.watermarks = watermarks;
    this.runIdentity = runIdentity;
    this.identities = runIdentity.identities();
    this.outputs = outputs;
    this.metrics = metrics;
    this.stored = stored;
    this.trail = trail;
    this.limit = limit;
    this.timeLimits = new TimeLimits(runLimitMillis);
    this.invokes =
        new Invokes(
            sessions,
            plans,
            lanes,
            new Handles(limit),
            memory,
            runIdentity,
            memoryExpires,
            timeLimits,
            new InvokeListener());
    this.calls = new CallJournal(invokes, lanes, metrics, plans, stored);
    this.retries = new Retries(deadlines, new RetryListener());
  }

  /** The way of invocations to workers and back. */
  public Invokes invokes() {
    return invokes;
  }

  /** A record has come for this lane. */
  public void onInput(Lane lane, Input input) throws Exception {
    if (!lane.isActive()) {
      startable.add(lane);
    }
    metrics.onInput();
    if (trail != null) {
      trail.onInput(lane, input);
    }
    lane.add(input);
    waiting.onArrived(input);
    lanes.markDirty(lane);
    begin();
  }

  /** A lane came out of state with its inputs, and perhaps in the middle of a run. */
  public void onRestored(Lane lane) {
    for (Input input = lane.firstInput(); input != null; input = lane.after(input)) {
      waiting.onArrived(input);
    }
    if (lane.run() != null && lane.run().current().isWaiting()) {
      retries.resume(lane);
    } else if (lane.run() != null) {
      startable.addFirst(lane);
    } else {
      startable.addLast(lane);
    }
  }

  /** A session came, went, or drains, or all have told what they hold: there may be other ways. */
  public void onRoutesChanged() throws Exception {
    invokes.onRoutesChanged();
    for (int i = heldUp.size() - 1; i >= 0; i--) {
      startable.addFirst(heldUp.get(i));
    }
    heldUp.clear();
    begin();
  }

  /** Begins every run that may begin now. */
  public void begin() throws Exception {
    if (isBeginning) {
      return;
    }
    isBeginning = true;
    try {
      invokes.onRoom();
      while (begun < limit && !startable.isEmpty()) {
        Lane lane = startable.peek();
        if (!waiting.maySpare(lane.firstInput())) {
          return;
        }
        if (!begin(lane)) {
          if (!invokes.waitsForHolder(lane)) {
            return;
          }
          heldUp.add(startable.poll());
        }
      }
    } finally {
      isBeginning = false;
    }
  }

  /**
   * False if no worker says what the input triggers: then nothing has happened. A run that was
   * restored knows: should it wait for a worker of its own generation, it does not keep others from
   * beginning.
   */
  private boolean begin(Lane lane) throws Exception {
    Run restored = lane.run();
    WorkerSession session = invokes.route(lane);
    if (session == null && restored == null) {
      return false;
    }
    boolean isArchive = session != null && sessions.isArchive(session);
    PlannedAction[] triggered =
        restored == null ? plans.read(session.plan()).triggeredBy(EventTypes.INPUT) : null;
    startable.poll();
    Input input = lane.firstInput();
    waiting.onBegun(input);
    if (triggered != null) {
      if (triggered.length == 0) {
        metrics.onUnmatched();
        finishInput(lane);
        return true;
      }
      lane.begin(newRun(lane, input, session, triggered));
      if (isArchive) {
        lane.run().beginTentatively();
      }
      lanes.markDirty(lane);
    }
    begun++;
    invokes.send(lane, session);
    return true;
  }

  private Run newRun(Lane lane, Input input, WorkerSession session, PlannedAction[] triggered) {
    Run run =
        new Run(
            input,
            runIdentity.namespace(),
            runIdentity.runId(runIdentity.namespace(), lane, input),
            session.generation(),
            0);
    for (PlannedAction action : triggered) {
      run.add(new Invocation(action.name(), run.takeOrdinal(), 0, null));
    }
    return run;
  }

  /**
   * Applies the Result that the cursor stands at: memory, outputs, new invocations; all of it, or
   * nothing.
   */
  public void onResult(WorkerSession session, ResultsCursor result) throws Exception {
    Lane lane = invokes.waitingFor(session, result.handle());
    if (lane == null) {
      metrics.onStaleReply();
      return;
    }
    Run run = lane.run();
    Invocation invocation = run.current();
    AgentPlan plan = plans.read(session.plan());
    PlannedAction action = plan.action(invocation.action());
    if (result.changesMemory() && !result.memoryBase().equals(lane.memoryVersion())) {
      throw new SessionException.ProtocolViolation(
          "worker "
              + session.worker()
              + " answered invocation "
              + invocation.ordinal()
              + " of run "
              + run.input().runNumber()
              + " for key "
              + lane.key()
              + " from memory "
              + Invokes.hex(result.memoryBase())
              + ", and was asked on "
              + Invokes.hex(lane.memoryVersion()));
    }
    if (!prepare(plan, lane, session, action, result)) {
      return;
    }
    long latencyNanos = System.nanoTime() - invocation.sentNanos();
    invokes.takeAnswered(session, result.handle());
    run.addUsed(result.ranMillis());
    if (result.changesMemory()) {
      applyMemory(lane, session, result);
    }
    if (trail != null) {
      trail.onResult(lane, invocation, eventId(run, invocation), result);
    }
    metrics.onOutputs(outputs.emit(run.input()));
    addTriggered(plan, run, invocation, result);
    metrics.onResult(action.name(), latencyNanos);
    onInvocationOver(lane);
  }

  /** Everything about a Result that may go wrong, before anything of it is applied. */
  private boolean prepare(
      AgentPlan plan, Lane lane, WorkerSession session, PlannedAction action, ResultsCursor result)
      throws Exception {
    int hops = lane.run().current().hops();
    for (int i = 0; i < result.eventCount(); i++) {
      String type = result.eventType(i);
      if (type.equals(EventTypes.OUTPUT)) {
        try {
          outputs.prepare(result.eventPayload(i), result.eventContentType(i));
        } catch (Exception e) {
          refuse(lane, session, action, result, notDecodable(lane, session, i, e), e);
          return false;
        }
      } else if (hops >= plan.hopLimit() && plan.triggeredBy(type).length > 0) {
        ActionFailure failure = hopLimit(lane, session, type, plan.hopLimit());
        refuse(lane, session, action, result, failure, null);
        return false;
      }
    }
    return true;
  }

  private void refuse(
      Lane lane,
      WorkerSession session,
      PlannedAction action,
      ResultsCursor result,
      ActionFailure failure,
      Throwable cause)
      throws Exception {
    outputs.discard();
    invokes.takeAnswered(session, result.handle());
    lane.run().addUsed(result.ranMillis());
    // The worker's mirror has what this Result would have written.
    lane.claim().drop();
    onFailed(lane, action, failure, cause);
  }

  private void applyMemory(Lane lane, WorkerSession session, ResultsCursor result)
      throws Exception {
    lane.run()
        .writeSensory(
            result.paths(), result.values(), result.sensoryFrom(), result.shortTermFrom());
    if (result.shortTermFrom() < result.changesTo()) {
      memory.write(
          lane.key(), result.paths(), result.values(), result.shortTermFrom(), result.changesTo());
    }
    lane.setMemoryVersion(result.memoryVersion());
    lane.claim().hold(session.token(), result.memoryVersion());
  }

  private void addTriggered(AgentPlan plan, Run run, Invocation sender, ResultsCursor result) {
    ByteString senderEventId = null;
    for (int i = 0; i < result.eventCount(); i++) {
      String type = result.eventType(i);
      if (type.equals(EventTypes.OUTPUT)) {
        continue;
      }
      metrics.onEvent();
      PlannedAction[] triggered = plan.triggeredBy(type);
      if (triggered.length == 0) {
        continue;
      }
      if (senderEventId == null) {
        senderEventId = eventId(run, sender);
      }
      SentEvent event =
          new SentEvent(
              type,
              result.eventPayload(i),
              result.eventContentType(i),
              sender.idBytes(),
              i,
              sender.action(),
              senderEventId);
      for (PlannedAction action : triggered) {
        run.add(new Invocation(action.name(), run.takeOrdinal(), sender.hops() + 1, event));
      }
    }
  }

  private ByteString eventId(Run run, Invocation invocation) {
    SentEvent event = invocation.event();
    return UnsafeByteOperations.unsafeWrap(
        event == null
            ? identities.eventIdBytes(run.id(), 0)
            : identities.eventIdBytes(event.source().toByteArray(), event.position()));
  }

  private ActionFailure notDecodable(Lane lane, WorkerSession session, int event, Exception e)
      throws UnsupportedPlanException {
    return invokes.failure(
        lane,
        session,
        Failure.Kind.NOT_ENCODABLE,
        e.getClass().getName(),
        "event " + event + " is not a record of the output stream's type: " + e.getMessage());
  }

  private ActionFailure hopLimit(Lane lane, WorkerSession session, String type, int limit)
      throws UnsupportedPlanException {
    return invokes.failure(
        lane,
        session,
        Failure.Kind.TERMINAL,
        "HopLimitExceeded",
        "one input has chained "
            + lane.run().current().hops()
            + " events, and event '"
            + type
            + "' would chain another, beyond the hop limit of "
            + limit
            + "; an action that sends what triggers it never ends. If the"
            + " chain is meant, raise hop_limit of agent '"
            + session.plan().getAgent()
            + "', or where it names none the job's agent.hop-limit");
  }

  /** The worker says that an attempt failed. */
  public void onFailure(WorkerSession session, Failure failure) throws Exception {
    Lane lane = invokes.takeAnswered(session, failure.getHandle());
    if (lane == null) {
      metrics.onStaleReply();
      return;
    }
    if (failure.getKind() == Failure.Kind.CANCELLED) {
      // Not by us, or its handle would be closed: the worker had given this session up.
      invokes.send(lane);
      return;
    }
    lane.run().addUsed(failure.getRanMs());
    Invocation invocation = lane.run().current();
    boolean isReplay =
        invocation.hasCalls() && invocation.calls().endedByReplay(failure.getDropCallsList());
    if (stored != null) {
      stored.drop(lane, failure.getDropCallsList());
    } else {
      failure.getDropCallsList().forEach(place -> invocation.calls().drop(place));
    }
    if (isReplay) {
      // Under the policy `fail` a restored record would fail the job for ever: what is dropped here
      // is still in the checkpoint.
      lanes.markDirty(lane);
      invokes.send(lane);
      return;
    }
    onFailed(
        lane,
        plans.read(session.plan()).action(invocation.action()),
        invokes.failure(lane, session, failure),
        null);
  }

  private void onFailed(Lane lane, PlannedAction action, ActionFailure failure, Throwable cause)
      throws Exception {
    metrics.onFailure(failure.action(), failure.kind());
    lane.run().current().countFailure();
    lanes.markDirty(lane);
    FailurePolicy policy = plans.failurePolicy(action);
    if (timeLimits.isOver(lane.run())) {
      policy = policy.toBuilder().setMaxAttempts(1).build();
    }
    FailurePolicies.Decision decision = policies.decide(policy, failure, cause);
    if (decision instanceof FailJob failJob) {
      throw failJob.exception();
    } else if (decision instanceof Retry retry) {
      metrics.onRetry(failure.action());
      waitForRetry(lane, retry.delayMillis());
    } else if (decision instanceof FailurePolicies.DeadLetter) {
      giveUp(lane, failure);
    } else {
      metrics.onIgnored(failure.action());
      LOG.debug("Ignored: {}", failure);
      onInvocationOver(lane);
    }
  }

  private void giveUp(Lane lane, ActionFailure failure) throws Exception {
    metrics.onDeadLetter(failure.action());
    outputs.emit(deadLetter(lane, failure), lane.run().input());
    onInvocationOver(lane);
  }

  private final class InvokeListener implements Invokes.Listener {
    @Override
    public void onFailure(Lane lane, PlannedAction action, ActionFailure failure, Throwable cause)
        throws Exception {
      onFailed(lane, action, failure, cause);
    }

    @Override
    public void onPoison(Lane lane, ActionFailure failure) throws Exception {
      LOG.error("Dead-lettered, whatever its policy, for it would kill every worker: {}", failure);
      giveUp(lane, failure);
    }

    @Override
    public void onNotKept(Lane lane) throws Exception {
      lane.unbegin();
      lanes.markDirty(lane);
      beginAgain(lane);
    }

    @Override
    public void onIdentified(Lane lane, Invocation invocation) {
      if (stored != null) {
        stored.unite(lane, invocation);
      }
    }

    @Override
    public void onWaitsForQuarantine(Lane lane) {
      waiting.onWaitsAgain(lane.firstInput());
      begun--;
    }

    @Override
    public boolean onTurnInQuarantine(Lane lane) {
      Input input = lane.firstInput();
      if (begun >= limit || !waiting.maySpare(input)) {
        return false;
      }
      waiting.onBegun(input);
      begun++;
      return true;
    }

    @Override
    public void onNoQuarantine(Lane lane) throws Exception {
      startable.addFirst(lane);
      begin();
    }
  }

  /** Writes down what durable calls a frame tells of. */
  public void onCalls(WorkerSession session, WorkerFrame frame) throws Exception {
    calls.apply(session, frame);
  }

  private void waitForRetry(Lane lane, long delayMillis) throws Exception {
    retries.waitFor(lane, delayMillis);
    waiting.onWaitsAgain(lane.firstInput());
    begun--;
    begin();
  }

  private final class RetryListener implements Retries.Listener {
    @Override
    public void onDue(Lane lane) {
      lanes.markDirty(lane);
      startable.addFirst(lane);
    }

    @Override
    public void onAllDue() throws Exception {
      begin();
      sessions.flush();
    }
  }

  private DeadLetter deadLetter(Lane lane, ActionFailure failure) {
    Run run = lane.run();
    Input input = run.input();
    Invocation invocation = run.current();
    SentEvent event = invocation.event();
    return new DeadLetter(
        failure,
        HexFormat.of().formatHex(invokes.identified(lane).id()),
        input.payload(),
        input.contentType(),
        input.hasTimestamp() ? input.timestamp() : null,
        event == null ? EventTypes.INPUT : event.type(),
        eventId(run, invocation),
        event == null ? null : EventTypes.valueName(event.type()),
        event == null ? null : event.payload(),
        event == null ? null : event.contentType(),
        event == null ? "" : event.upstreamAction(),
        invocation.deaths());
  }

  private void onInvocationOver(Lane lane) throws Exception {
    Run run = lane.run();
    if (stored != null) {
      stored.onInvocationOver(lane, run.current());
    }
    boolean wasSent = run.current().wasSent();
    run.removeCurrent();
    lanes.markDirty(lane);
    if (run.current() != null && wasSent) {
      invokes.send(lane);
      return;
    }
    if (run.current() != null) {
      // Thousands of its kind may follow, which must not end one within the other.
      beginAgain(lane);
      return;
    }
    if (!run.sensory().isEmpty()) {
      // Sensory memory ends with its run, which makes other memory than the worker's mirror holds.
      lane.setMemoryVersion(versions.fresh());
      lane.claim().onSensoryCleared();
    }
    begun--;
    finishInput(lane);
    begin();
  }

  /** The lane's run is in flight no more, and first among those that may begin. */
  private void beginAgain(Lane lane) throws Exception {
    waiting.onWaitsAgain(lane.firstInput());
    begun--;
    startable.addFirst(lane);
    begin();
  }

  /** The first input of the lane is finished, and all that it caused. */
  private void finishInput(Lane lane) throws Exception {
    Input finished = lane.removeFirstInput();
    if (stored != null) {
      stored.onRunOver(lane.keyBytes(), finished.runNumber());
    }
    lanes.markDirty(lane);
    waiting.onFinished(finished);
    watermarks.onFinished(finished.segment());
    if (lane.isActive()) {
      startable.add(lane);
    } else {
      invokes.onIdle(lane);
      lanes.onIdle(lane);
    }
  }

  /** Runs that have begun and not ended. */
  public int begunCount() {
    return begun;
  }

  /** Runs whose invocation has failed and waits for another attempt. */
  public int waitingForRetryCount() {
    return retries.count();
  }
}
