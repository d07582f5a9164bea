package io.flinkactions.operator.lane;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.failure.ActionFailure;
import io.flinkactions.operator.identity.Identities;
import io.flinkactions.operator.lane.Invocation.SentEvent;
import io.flinkactions.operator.memory.KeyMemory;
import io.flinkactions.operator.plan.AgentPlan;
import io.flinkactions.operator.plan.PlannedAction;
import io.flinkactions.operator.plan.Plans;
import io.flinkactions.operator.session.SessionException;
import io.flinkactions.operator.session.Sessions;
import io.flinkactions.operator.session.WorkerSession;
import io.flinkactions.wire.v1.Bounce;
import io.flinkactions.wire.v1.Failure;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.MemoryForm;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * Hands invocations to workers, and takes them back when a worker is gone.
 *
 * <p>An invocation is ready, or sent to one session under a handle. A session that is interrupted
 * keeps what it was sent: the worker may still be running it. If the same incarnation is reached
 * again, the same attempts go there under the same handles, and it attaches them. If the worker is
 * given up, each goes elsewhere as another attempt. Mailbox thread only.
 */
public final class Invokes {

  private static final int ENVELOPE_BYTES = 192;

  /** Told of an invocation that cannot be sent. */
  @FunctionalInterface
  public interface FailureListener {
    void onFailure(Lane lane, PlannedAction action, ActionFailure failure, Throwable cause)
        throws Exception;
  }

  private final Sessions sessions;
  private final Plans plans;
  private final Lanes lanes;
  private final Handles handles;
  private final KeyMemory memory;
  private final Identities identities;
  private final boolean memoryExpires;
  private final FailureListener failures;
  private final ReadyLanes ready = new ReadyLanes();
  private final Invoke.Builder builder = Invoke.newBuilder();
  private boolean hasWatermark;
  private long watermark;
  private boolean isFrozen;

  public Invokes(
      Sessions sessions,
      Plans plans,
      Lanes lanes,
      Handles handles,
      KeyMemory memory,
      Identities identities,
      boolean memoryExpires,
      FailureListener failures) {
    this.sessions = sessions;
    this.plans = plans;
    this.lanes = lanes;
    this.handles = handles;
    this.memory = memory;
    this.identities = identities;
    this.memoryExpires = memoryExpires;
    this.failures = failures;
  }

  /** Nothing is sent any more: what is sent after the snapshot of a stop would be done twice. */
  public void freeze() {
    isFrozen = true;
    sessions.openSessions().forEach(WorkerSession::dropQueued);
  }

  /** What invocations are told of event time. */
  public void onWatermark(long timestamp) {
    hasWatermark = true;
    watermark = timestamp;
  }

  /** Sends the lane's current invocation, now or as soon as a worker has room for it. */
  public void send(Lane lane) throws Exception {
    send(lane, sessions.route(lane.key(), lane.run().generation()));
  }

  /** The same, where the way is known: the lane's route, null if there is none. */
  void send(Lane lane, WorkerSession session) throws Exception {
    Run run = lane.run();
    if (session == null) {
      ready.addWithoutWorker(lane);
    } else if (ready.isWaitingFor(session) || !session.mayInvoke(estimateBytes(run))) {
      ready.addWithoutCredit(session, lane);
    } else {
      dispatch(lane, session);
    }
  }

  private static int estimateBytes(Run run) {
    SentEvent event = run.current().event();
    return ENVELOPE_BYTES + (event == null ? run.input().payload() : event.payload()).size();
  }

  /** There may be more credit, or the directory says something else of who may serve what. */
  public void onCapacity() throws Exception {
    for (WorkerSession session : ready.sessions()) {
      Lane lane;
      while ((lane = ready.peek(session)) != null && session.mayInvoke(estimateBytes(lane.run()))) {
        ready.remove(session);
        dispatch(lane, session);
      }
    }
    for (Lane lane : ready.takeWithoutWorker()) {
      send(lane);
    }
  }

  /** A session came, went, or drains: what waits may have another way now. */
  public void onRoutesChanged() throws Exception {
    for (Lane lane : ready.takeAll()) {
      send(lane);
    }
  }

  private void dispatch(Lane lane, WorkerSession session) throws Exception {
    if (isFrozen) {
      return;
    }
    Run run = lane.run();
    Invocation invocation = run.current();
    if (!run.generation().equals(session.generation())) {
      // The one it began in is gone (or none was known yet).
      run.moveTo(session.generation());
    }
    PlannedAction action = plans.read(session.plan()).action(invocation.action());
    invocation.countAttempt();
    lanes.markDirty(lane);
    if (action == null) {
      failures.onFailure(lane, null, actionIsGone(lane, session), null);
      return;
    }
    if (invocation.id() == null) {
      invocation.identify(identify(run, invocation));
    }
    invocation.onSent(session, handles.open(lane), System.nanoTime());
    queue(lane, action);
  }

  /** Queues the current invocation at its session, under the handle that it has. */
  private void queue(Lane lane, PlannedAction action) throws Exception {
    Invocation invocation = lane.run().current();
    WorkerSession session = invocation.session();
    try {
      session.queue(invoke(lane, action));
      lane.claim().hold(session.token(), lane.memoryVersion());
    } catch (SessionException.MessageTooLarge e) {
      giveBack(invocation);
      failures.onFailure(
          lane,
          action,
          failure(
              lane, session, Failure.Kind.TOO_LARGE, e.getClass().getSimpleName(), e.getMessage()),
          e);
    }
  }

  private void giveBack(Invocation invocation) {
    handles.close(invocation.handle());
    invocation.onReturned();
  }

  private byte[] identify(Run run, Invocation invocation) {
    SentEvent event = invocation.event();
    Input input = run.input();
    byte[] digest =
        event == null
            ? inputDigest(identities, input)
            : identities.eventDigest(
                event.type(), event.contentType(), event.payload(), timestamp(input));
    return identities.invocationId(run.id(), invocation.action(), invocation.ordinal(), digest);
  }

  /** Digest of the event that an input is. */
  public static byte[] inputDigest(Identities identities, Input input) {
    return identities.eventDigest(
        EventTypes.INPUT, input.contentType(), input.payload(), timestamp(input));
  }

  private static Long timestamp(Input input) {
    return input.hasTimestamp() ? input.timestamp() : null;
  }

  private Invoke invoke(Lane lane, PlannedAction action) throws Exception {
    Run run = lane.run();
    Input input = run.input();
    Invocation invocation = run.current();
    SentEvent event = invocation.event();
    Invoke.Builder invoke =
        builder
            .clear()
            .setHandle(invocation.handle())
            .setInvocationId(invocation.idBytes())
            .setKey(lane.keyBytes())
            .setRunNumber(input.runNumber())
            .setAction(action.index())
            .setAttempt(invocation.attempt())
            .setFailures(invocation.failures())
            .setRemainingMs(action.timeoutMillis());
    if (event == null) {
      invoke
          .setEventType(EventTypes.INPUT)
          .setPayload(input.payload())
          .setContentType(input.contentType())
          .setEventSource(run.idBytes());
    } else {
      invoke
          .setEventType(event.type())
          .setPayload(event.payload())
          .setContentType(event.contentType())
          .setEventSource(event.source())
          .setEventPosition(event.position())
          .setUpstreamAction(event.upstreamAction())
          .setUpstreamEventId(event.upstreamEventId());
    }
    if (input.hasTimestamp()) {
      invoke.setTimestamp(input.timestamp());
    }
    if (hasWatermark) {
      invoke.setWatermark(watermark);
    }
    addMemory(invoke, lane, invocation.session());
    return invoke.build();
  }

  private void addMemory(Invoke.Builder invoke, Lane lane, WorkerSession session) throws Exception {
    ByteString version = lane.memoryVersion();
    invoke.setMemoryVersion(version);
    // What expires in state does not expire in a mirror, so then nothing is left to the mirror.
    MemoryForm form =
        memoryExpires ? MemoryForm.FULL : lane.claim().formFor(session.token(), version);
    invoke.setMemoryForm(form);
    if (form == MemoryForm.DELTA) {
      invoke.setMemoryFrom(lane.claim().version()).setClearSensory(true);
    } else if (form == MemoryForm.FULL && !version.isEmpty()) {
      invoke.setSensoryCount(lane.run().sensory().size());
      lane.run()
          .sensory()
          .forEach((path, value) -> invoke.addMemoryPath(path).addMemoryValue(value));
      memory.read(lane.key(), (path, value) -> invoke.addMemoryPath(path).addMemoryValue(value));
    }
  }

  /**
   * The lane whose invocation this session's worker answers, taken back from it; null if nobody
   * waits for this answer any more.
   */
  public Lane takeAnswered(WorkerSession session, long handle) {
    Lane lane = waitingFor(session, handle);
    if (lane != null) {
      giveBack(lane.run().current());
      session.closed();
    }
    return lane;
  }

  /** The lane whose invocation this session's worker may answer under this handle, or null. */
  public Lane waitingFor(WorkerSession session, long handle) {
    Lane lane = handles.lane(handle);
    return lane != null && lane.run().current().session() == session ? lane : null;
  }

  /** The worker lacks the memory: the same attempt goes again, with all of it. */
  public boolean onNeedMemory(WorkerSession session, long handle) throws Exception {
    Lane lane = waitingFor(session, handle);
    if (lane == null) {
      return false;
    }
    lane.claim().drop();
    session.closed();
    requeue(lane);
    return true;
  }

  /** The worker gives it back undone. */
  public boolean onBounce(WorkerSession session, Bounce bounce) throws Exception {
    Lane lane = takeAnswered(session, bounce.getHandle());
    if (lane == null) {
      return false;
    }
    send(lane);
    return true;
  }

  /**
   * The worker of an interrupted session is reached again: it gets the same attempts under the same
   * handles.
   */
  public int resume(WorkerSession interrupted, WorkerSession session) throws Exception {
    List<Lane> sent = sentTo(interrupted);
    for (Lane lane : sent) {
      Invocation invocation = lane.run().current();
      invocation.onSent(session, invocation.handle(), invocation.sentNanos());
      requeue(lane);
    }
    return sent.size();
  }

  private void requeue(Lane lane) throws Exception {
    Invocation invocation = lane.run().current();
    AgentPlan plan = plans.read(invocation.session().plan());
    queue(lane, plan.action(invocation.action()));
  }

  /**
   * The worker of this session is given up: each of its invocations goes elsewhere as another
   * attempt.
   *
   * @param isDead nothing of it runs any more
   * @param suspects ids of invocations that it was stepping when it died; null if nobody knows
   */
  public int onGivenUp(WorkerSession session, boolean isDead, Set<ByteString> suspects)
      throws Exception {
    List<Lane> sent = sentTo(session);
    for (Lane lane : sent) {
      Invocation invocation = lane.run().current();
      giveBack(invocation);
      if (isDead && (suspects == null || suspects.contains(invocation.idBytes()))) {
        invocation.countDeath();
        lanes.markDirty(lane);
      }
    }
    for (Lane lane : sent) {
      send(lane);
    }
    return sent.size();
  }

  private List<Lane> sentTo(WorkerSession session) {
    List<Lane> sent = new ArrayList<>();
    handles.forEachOpen(
        lane -> {
          if (lane.run().current().session() == session) {
            sent.add(lane);
          }
        });
    return sent;
  }

  /** A failure of the lane's current invocation that this side found. */
  public ActionFailure failure(
      Lane lane, WorkerSession session, Failure.Kind kind, String exception, String message) {
    return new ActionFailure(
        session.plan().getAgent(),
        lane.run().current().action(),
        lane.key(),
        lane.run().input().runNumber(),
        lane.run().current().attempt(),
        session.worker(),
        hex(session.generation()),
        kind,
        exception,
        message,
        "");
  }

  private ActionFailure actionIsGone(Lane lane, WorkerSession session) {
    String action = lane.run().current().action();
    return failure(
        lane,
        session,
        Failure.Kind.UNKNOWN_ACTION,
        "ActionIsGone",
        "the run began in a generation of the server's code that is gone, and the one there now has"
            + " no action '"
            + action
            + "'; serve code that has it until the runs that wait for it are over");
  }

  /** First bytes of an id, for people. */
  public static String hex(ByteString id) {
    StringBuilder text = new StringBuilder(12);
    for (int i = 0; i < Math.min(6, id.size()); i++) {
      text.append(Character.forDigit(id.byteAt(i) >> 4 & 0xf, 16))
          .append(Character.forDigit(id.byteAt(i) & 0xf, 16));
    }
    return text.toString();
  }

  /** Invocations that could go and find no worker or no credit. */
  public int readyCount() {
    return ready.count();
  }

  /** Invocations at workers. */
  public int sentCount() {
    return handles.openCount();
  }
}
