package io.flinkactions.operator.lane;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.failure.ActionFailure;
import io.flinkactions.operator.failure.MissingAction;
import io.flinkactions.operator.identity.Identities;
import io.flinkactions.operator.lane.Invocation.SentEvent;
import io.flinkactions.operator.memory.KeyMemory;
import io.flinkactions.operator.plan.AgentPlan;
import io.flinkactions.operator.plan.PlannedAction;
import io.flinkactions.operator.plan.Plans;
import io.flinkactions.operator.plan.UnsupportedPlanException;
import io.flinkactions.operator.session.SessionException;
import io.flinkactions.operator.session.Sessions;
import io.flinkactions.operator.session.WorkerSession;
import io.flinkactions.wire.v1.Bounce;
import io.flinkactions.wire.v1.Failure;
import io.flinkactions.wire.v1.Invoke;
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

  // Deaths of workers that had one invocation and no other. Once may be chance.
  private static final int LONE_DEATHS_LIMIT = 3;

  /** Told of what goes wrong with a lane's current invocation on this side. */
  interface Listener {
    /** An attempt has failed, or could not be sent. */
    void onFailure(Lane lane, PlannedAction action, ActionFailure failure, Throwable cause)
        throws Exception;

    /** It has killed its worker so often that no other is to meet it. */
    void onPoison(Lane lane, ActionFailure failure) throws Exception;

    /** Its run was begun to ask for what was kept of it, and there is nothing. */
    void onNotKept(Lane lane) throws Exception;

    /** The invocation has its id, and is about to be sent for the first time by this start. */
    void onIdentified(Lane lane, Invocation invocation);

    /** Its run is not in flight while it waits to be tried apart. */
    void onWaitsForQuarantine(Lane lane);

    /** Its turn has come; false if its run may not be in flight now: then nothing has happened. */
    boolean onTurnInQuarantine(Lane lane);

    /** It waits for no turn any more, and may go where all go. */
    void onNoQuarantine(Lane lane) throws Exception;
  }

  private final Sessions sessions;
  private final Plans plans;
  private final Lanes lanes;
  private final Handles handles;
  private final Identities identities;
  private final HolderRoutes holders;
  private final boolean looksForKeptWork;
  private final boolean memoryExpires;
  private final Listener failures;
  private final TimeLimits timeLimits;
  private final ReadyLanes ready = new ReadyLanes();
  private final Quarantine quarantine;
  private final Resends resends = new Resends();
  private final InvokeMessages messages;
  private boolean isFrozen;
  private boolean isQuarantineMissing;
  // A suspect's turn has come, and as many runs are in flight as may be.
  private boolean isSuspectHeldUp;

  public Invokes(
      Sessions sessions,
      Plans plans,
      Lanes lanes,
      Handles handles,
      KeyMemory memory,
      RunIdentity runIdentity,
      boolean memoryExpires,
      TimeLimits timeLimits,
      Listener failures) {
    this.sessions = sessions;
    this.plans = plans;
    this.lanes = lanes;
    this.handles = handles;
    this.identities = runIdentity.identities();
    this.holders = new HolderRoutes(sessions, plans, runIdentity);
    this.looksForKeptWork = sessions.looksForKeptWork();
    this.memoryExpires = memoryExpires;
    this.messages = new InvokeMessages(memory, memoryExpires);
    this.failures = failures;
    this.quarantine = new Quarantine(sessions, failures::onWaitsForQuarantine);
    this.timeLimits = timeLimits;
  }

  /** Nothing is sent any more: what is sent after the snapshot of a stop would be done twice. */
  public void freeze() {
    isFrozen = true;
    sessions.openSessions().forEach(WorkerSession::dropQueued);
  }

  /** What invocations are told of event time. */
  public void onWatermark(long timestamp) {
    messages.onWatermark(timestamp);
  }

  /** Sends the lane's current invocation, now or as soon as a worker has room for it. */
  public void send(Lane lane) throws Exception {
    WorkerSession session = route(lane);
    if (lane.run().isTentative() && (session == null || !sessions.isArchive(session))) {
      failures.onNotKept(lane);
    } else {
      send(lane, session);
    }
  }

  /** Where the lane's next invocation goes; null if there is no way now. */
  WorkerSession route(Lane lane) throws UnsupportedPlanException {
    Run run = lane.run();
    ByteString generation = run == null ? ByteString.EMPTY : run.generation();
    if (looksForKeptWork) {
      if (sessions.awaitsHoldings()) {
        return null;
      }
      WorkerSession holder = holders.of(lane);
      if (holder != null) {
        return holder.isOpen() ? holder : null;
      }
    }
    return sessions.route(lane.key(), generation);
  }

  /** Of a lane without a way: only its holder, which is interrupted, keeps it from all others. */
  boolean waitsForHolder(Lane lane) throws UnsupportedPlanException {
    return looksForKeptWork && !sessions.awaitsHoldings() && holders.of(lane) != null;
  }

  /** The same, where the way is known: the lane's route, null if there is none. */
  void send(Lane lane, WorkerSession session) throws Exception {
    Run run = lane.run();
    if (run.current().isSuspect()) {
      quarantine.add(lane);
    } else if (session == null) {
      ready.addWithoutWorker(lane);
    } else if (ready.isWaitingFor(session)
        || resends.isWaitingFor(session)
        || !session.mayInvoke(estimateBytes(run))) {
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
    for (WorkerSession session : resends.sessions()) {
      // What waits for an interrupted one goes when that is resumed.
      if (session.isOpen()) {
        resend(session);
      }
    }
    for (WorkerSession session : ready.sessions()) {
      Lane lane;
      while (!resends.isWaitingFor(session)
          && (lane = ready.peek(session)) != null
          && session.mayInvoke(estimateBytes(lane.run()))) {
        ready.remove(session);
        dispatch(lane, session);
      }
    }
    for (Lane lane : ready.takeWithoutWorker()) {
      send(lane);
    }
    quarantine.next(this::tryApart);
  }

  /** A session came, went, or drains: what waits may have another way now. */
  public void onRoutesChanged() throws Exception {
    for (Lane lane : ready.takeAll()) {
      send(lane);
    }
    quarantine.next(this::tryApart);
  }

  /** The server has no quarantine worker: suspects go where all go. */
  public void onNoQuarantine() throws Exception {
    isQuarantineMissing = true;
    for (Lane lane : quarantine.dissolve()) {
      clear(lane);
      failures.onNoQuarantine(lane);
    }
  }

  /** Another run may be in flight: a suspect whose turn has come goes first. */
  void onRoom() throws Exception {
    if (isSuspectHeldUp) {
      isSuspectHeldUp = false;
      quarantine.next(this::tryApart);
    }
  }

  /** Sends a suspect to the quarantine worker; false if there is no room for it now. */
  private boolean tryApart(Lane lane, WorkerSession session) throws Exception {
    isQuarantineMissing = false;
    Run run = lane.run();
    if (!run.generation().equals(session.generation()) && sessions.isAlive(run.generation())) {
      // Other code runs there, and the run stays with its own while that lives (CORRECTNESS.md
      // 18). Nothing starts workers of that one again, so not many are left to be killed.
      clear(lane);
      failures.onNoQuarantine(lane);
      return true;
    }
    if (resends.isWaitingFor(session) || !session.mayInvoke(estimateBytes(run))) {
      return false;
    }
    if (!failures.onTurnInQuarantine(lane)) {
      isSuspectHeldUp = true;
      return false;
    }
    dispatch(lane, session);
    return true;
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
    if (timeLimits.isOver(run)) {
      failures.onFailure(lane, action, overTime(lane, session), null);
      return;
    }
    identified(lane);
    if (looksForKeptWork) {
      sessions.onAsked(session, invocation.id());
    }
    invocation.beginAttempt();
    invocation.onSent(session, handles.open(lane), System.nanoTime());
    queue(lane, action);
  }

  /** Queues the current invocation at its session, under the handle that it has. */
  private void queue(Lane lane, PlannedAction action) throws Exception {
    Invocation invocation = lane.run().current();
    WorkerSession session = invocation.session();
    try {
      Invoke invoke = messages.of(lane, action, timeLimits.remainingMillis(lane.run(), action));
      session.queue(invoke, messages.followingCalls());
      lanes.uselessMirrors().onSent(lane.claim(), session.token(), lane.keyBytes());
      lane.claim().hold(session.token(), lane.memoryVersion());
    } catch (SessionException.MessageTooLarge e) {
      invocation.onNeverLeft();
      giveBack(lane);
      failures.onFailure(
          lane,
          action,
          failure(
              lane, session, Failure.Kind.TOO_LARGE, e.getClass().getSimpleName(), e.getMessage()),
          e);
    }
  }

  private void giveBack(Lane lane) {
    Invocation invocation = lane.run().current();
    handles.close(invocation.handle());
    invocation.onReturned();
    quarantine.onReturned(lane);
  }

  /** The lane's current invocation, which has an id from now on. */
  Invocation identified(Lane lane) {
    Invocation invocation = lane.run().current();
    if (invocation.id() == null) {
      invocation.identify(idOf(identities, lane.run()));
      failures.onIdentified(lane, invocation);
    }
    return invocation;
  }

  /** Id of the run's current invocation. */
  static byte[] idOf(Identities identities, Run run) {
    Invocation invocation = run.current();
    if (invocation.id() != null) {
      return invocation.id();
    }
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
    if (input.digest == null) {
      input.digest =
          identities.eventDigest(
              EventTypes.INPUT, input.contentType(), input.payload(), timestamp(input));
    }
    return input.digest;
  }

  private static Long timestamp(Input input) {
    return input.hasTimestamp() ? input.timestamp() : null;
  }

  /** The lane has no input any more. */
  void onIdle(Lane lane) {
    if (memoryExpires) {
      // What comes next brings all of the memory, whatever the worker has.
      lanes.uselessMirrors().onUseless(lane.claim(), lane.keyBytes());
    }
  }

  /**
   * The lane whose invocation this session's worker answers, taken back from it; null if nobody
   * waits for this answer any more.
   */
  public Lane takeAnswered(WorkerSession session, long handle) {
    Lane lane = take(session, handle);
    if (lane != null && session.isQuarantine()) {
      clear(lane);
    }
    if (lane != null && looksForKeptWork) {
      sessions.onAnswered(lane.run().current().id());
    }
    return lane;
  }

  private Lane take(WorkerSession session, long handle) {
    Lane lane = waitingFor(session, handle);
    if (lane != null) {
      giveBack(lane);
      closed(session, handle);
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
    closed(session, handle);
    resends.add(session, handle);
    resend(session);
    return true;
  }

  /** The worker gives it back undone. */
  public boolean onBounce(WorkerSession session, Bounce bounce) throws Exception {
    quarantine.onBounced(session);
    Lane lane = take(session, bounce.getHandle());
    if (lane == null) {
      return false;
    }
    send(lane);
    return true;
  }

  /**
   * There is another session. If it resumes an interrupted one, its worker gets the same attempts
   * under the same handles; else it had nothing that it should go on with.
   *
   * @param interrupted null if there is none
   */
  public int resume(WorkerSession interrupted, WorkerSession session) throws Exception {
    if (interrupted == null) {
      session.allResumed();
      return 0;
    }
    resends.drop(interrupted);
    quarantine.onResumed(interrupted, session);
    List<Lane> sent = sentTo(interrupted);
    for (Lane lane : sent) {
      Invocation invocation = lane.run().current();
      invocation.onSent(session, invocation.handle(), invocation.sentNanos());
      resends.add(session, invocation.handle());
    }
    resend(session);
    return sent.size();
  }

  /** As many as the session has credit for; it says when there is more. */
  private void resend(WorkerSession session) throws Exception {
    AgentPlan plan = plans.read(session.plan());
    for (Long handle; (handle = resends.peek(session)) != null; ) {
      Lane lane = handles.lane(handle);
      if (!session.mayInvoke(estimateBytes(lane.run()))) {
        return;
      }
      resends.remove(session, handle);
      queue(lane, plan.action(lane.run().current().action()));
    }
    session.allResumed();
  }

  /** An open invocation is over for the session; one that waits to be resent was never queued. */
  private void closed(WorkerSession session, long handle) {
    if (!resends.remove(session, handle)) {
      session.closed();
    } else if (!resends.isWaitingFor(session)) {
      session.allResumed();
    }
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
    resends.drop(session);
    List<Lane> sent = sentTo(session);
    List<Lane> accused = new ArrayList<>();
    List<Lane> others = new ArrayList<>();
    for (Lane lane : sent) {
      Invocation invocation = lane.run().current();
      giveBack(lane);
      if (isDead && (suspects == null || suspects.contains(invocation.idBytes()))) {
        invocation.countDeath();
        lanes.markDirty(lane);
        accused.add(lane);
      } else {
        others.add(lane);
      }
    }
    List<Lane> poisonous = new ArrayList<>();
    if (!session.isQuarantine()) {
      judge(accused, others, suspects, poisonous);
    } else if (isDead && quarantine.isTrying(session)) {
      judgeInQuarantine(accused, others, poisonous);
    } else if (quarantine.isTrying(session)) {
      quarantine.onUndone(others);
      others.clear();
    }
    for (Lane lane : poisonous) {
      failures.onPoison(lane, poison(lane, session));
    }
    for (Lane lane : others) {
      send(lane);
    }
    return sent.size();
  }

  /**
   * A worker has died where all work. Whoever is named is a suspect. Where nobody can be named, one
   * death may be anybody's, a person's or the kernel's: it makes no suspects yet.
   */
  private void judge(
      List<Lane> accused, List<Lane> others, Set<ByteString> suspects, List<Lane> poisonous) {
    List<Lane> toBeTried = new ArrayList<>();
    for (Lane lane : accused) {
      Invocation invocation = lane.run().current();
      if (isQuarantineMissing && suspects != null && suspects.size() == 1) {
        invocation.countLoneDeath();
      }
      if (invocation.loneDeaths() >= LONE_DEATHS_LIMIT) {
        poisonous.add(lane);
      } else if (suspects != null || invocation.deaths() >= Invocation.DEATHS_OF_A_SUSPECT) {
        invocation.suspect();
        toBeTried.add(lane);
      } else {
        others.add(lane);
      }
    }
    quarantine.accuse(toBeTried);
  }

  /** Only who dies alone there is ever taken for poison. */
  private void judgeInQuarantine(List<Lane> accused, List<Lane> others, List<Lane> poisonous) {
    // It died of another one, which was named.
    others.forEach(this::clear);
    if (quarantine.isTryingOne() && accused.size() == 1) {
      Invocation invocation = accused.get(0).run().current();
      invocation.countLoneDeath();
      if (invocation.loneDeaths() >= LONE_DEATHS_LIMIT) {
        poisonous.add(accused.remove(0));
      }
    }
    quarantine.onDeath(accused);
  }

  /** State must know, too: restored as a suspect, it would be tried apart once more. */
  private void clear(Lane lane) {
    lane.run().current().clear();
    lanes.markDirty(lane);
  }

  private ActionFailure poison(Lane lane, WorkerSession session) throws UnsupportedPlanException {
    return failure(
        lane,
        session,
        Failure.Kind.BUG,
        "WorkerDied",
        lane.run().current().loneDeaths()
            + " worker processes died while they had this invocation and no other; the server's log"
            + " says of what");
  }

  private ActionFailure overTime(Lane lane, WorkerSession session) throws UnsupportedPlanException {
    return failure(lane, session, Failure.Kind.TIMEOUT, "RunOverTime", timeLimits.explanation());
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
      Lane lane, WorkerSession session, Failure.Kind kind, String exception, String message)
      throws UnsupportedPlanException {
    return failure(
        lane,
        session,
        Failure.newBuilder().setKind(kind).setException(exception).setMessage(message).build());
  }

  /** The failure of the lane's current invocation that the worker told. */
  public ActionFailure failure(Lane lane, WorkerSession session, Failure told)
      throws UnsupportedPlanException {
    Invocation invocation = lane.run().current();
    return new ActionFailure(
        session.plan().getAgent(),
        actionName(lane, session),
        lane.key(),
        lane.run().input().runNumber(),
        invocation.attempt(),
        invocation.failures() + 1,
        session.worker(),
        hex(session.generation()),
        told.getKind(),
        told.getException(),
        told.getMessage(),
        told.getStack(),
        told.getRetryAfterMs());
  }

  /** What the session's plan calls the lane's current action: the run may know a former name. */
  String actionName(Lane lane, WorkerSession session) throws UnsupportedPlanException {
    String name = lane.run().current().action();
    PlannedAction action = plans.read(session.plan()).action(name);
    return action == null ? name : action.name();
  }

  private ActionFailure actionIsGone(Lane lane, WorkerSession session)
      throws UnsupportedPlanException {
    String action = lane.run().current().action();
    return failure(
        lane,
        session,
        Failure.Kind.UNKNOWN_ACTION,
        "ActionIsGone",
        MissingAction.describe(action, session.plan()));
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

  /** Invocations that may have killed a worker and are tried apart, or wait for that. */
  public int suspectCount() {
    return quarantine.count();
  }

  /** Invocations at workers. */
  public int sentCount() {
    return handles.openCount();
  }
}
