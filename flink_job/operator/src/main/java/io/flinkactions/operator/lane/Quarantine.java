package io.flinkactions.operator.lane;

import io.flinkactions.operator.session.Sessions;
import io.flinkactions.operator.session.WorkerSession;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;

/**
 * Finds out which of several invocations kills its worker, and lets the others pass.
 *
 * <p>Suspects are tried at the quarantine worker, where nobody else is, one group at a time. Who
 * comes to an end there, whatever end, is cleared. A group in which the worker dies is halved, and
 * each half is tried; if one half passes it was the other, which is then halved untried. One that
 * is tried alone is asked about by whoever counts such deaths.
 *
 * <p>Who waits here for a turn is not in flight: it would keep others from beginning for as long as
 * all before it take. Mailbox thread only.
 */
final class Quarantine {

  /** Sends a lane's current invocation to this session. */
  @FunctionalInterface
  interface Sender {
    /** False if there is no room for it now: nothing has happened, and it calls again. */
    boolean send(Lane lane, WorkerSession session) throws Exception;
  }

  /** Hears of each lane that waits for a turn from now on. */
  @FunctionalInterface
  interface Waits {
    void onWaits(Lane lane);
  }

  private static final class Group {
    final List<Lane> lanes;
    // If this one passes, the culprit is in that one.
    Group otherHalf;
    // Some were given back undone: that the others have passed says nothing of those.
    boolean isCutShort;

    Group(List<Lane> lanes) {
      this.lanes = lanes;
    }
  }

  private final Sessions sessions;
  private final Waits waits;
  private final ArrayDeque<Group> groups = new ArrayDeque<>();
  // Suspects of earlier days, that came one by one.
  private List<Lane> gathered = new ArrayList<>();
  private Group tried;
  private WorkerSession at;
  // Of the group that is tried, those that are at the worker, or wait for its credit.
  private final Set<Lane> atWorker = Collections.newSetFromMap(new IdentityHashMap<>());
  // The latter. An Invoke may carry the whole memory of its key: it is made when it can go.
  private final ArrayDeque<Lane> unsent = new ArrayDeque<>();
  private int waiting;
  private boolean isWanted;
  private boolean isSending;

  Quarantine(Sessions sessions, Waits waits) {
    this.sessions = sessions;
    this.waits = waits;
  }

  /** The lane's current invocation is a suspect, and at no worker. */
  void add(Lane lane) {
    gathered.add(lane);
    onWait(List.of(lane));
    want();
  }

  /** One of these has killed a worker where others were. */
  void accuse(List<Lane> lanes) {
    if (!lanes.isEmpty()) {
      onWait(lanes);
      halves(lanes).forEach(groups::addLast);
      want();
    }
  }

  private void onWait(List<Lane> lanes) {
    waiting += lanes.size();
    lanes.forEach(waits::onWaits);
  }

  private void want() {
    isWanted = true;
    sessions.wantQuarantine(true);
    // The next group is sent when all that is under way is done.
    sessions.callAgain();
  }

  /** Sends the next group if there is one, the last one is over, and the worker is there. */
  void next(Sender sender) throws Exception {
    sendMore(sender);
    if (!atWorker.isEmpty()) {
      return;
    }
    if (tried != null) {
      onPassed();
    }
    if (groups.isEmpty() && !gathered.isEmpty()) {
      groups.add(new Group(gathered));
      gathered = new ArrayList<>();
    }
    if (groups.isEmpty()) {
      release();
      return;
    }
    WorkerSession session = sessions.quarantine();
    if (session != null) {
      tried = groups.poll();
      at = session;
      waiting -= tried.lanes.size();
      atWorker.addAll(tried.lanes);
      unsent.addAll(tried.lanes);
      sendMore(sender);
    }
  }

  private void sendMore(Sender sender) throws Exception {
    if (isSending) {
      // Sending one has ended another run, and asks who may be sent now.
      return;
    }
    isSending = true;
    try {
      sendUnsent(sender, at);
    } finally {
      isSending = false;
    }
  }

  private void sendUnsent(Sender sender, WorkerSession session) throws Exception {
    while (!unsent.isEmpty() && session.isOpen() && sender.send(unsent.peek(), session)) {
      Lane lane = unsent.poll();
      Run run = lane.run();
      if (run == null || run.current() == null || run.current().session() != session) {
        // It cannot be sent, which was the end of it; or it is no suspect here.
        onReturned(lane);
      }
    }
  }

  private void onPassed() {
    Group other = tried.otherHalf;
    boolean isCutShort = tried.isCutShort;
    tried = null;
    if (other != null && !isCutShort && groups.peek() == other && other.lanes.size() > 1) {
      groups.poll();
      pushFront(halves(other.lanes));
    }
  }

  /** The lane's invocation is back, whatever it has come to. */
  void onReturned(Lane lane) {
    if (atWorker.remove(lane) && atWorker.isEmpty()) {
      sessions.callAgain();
    }
  }

  /** The worker of this session has given one back undone. */
  void onBounced(WorkerSession session) {
    if (isTrying(session)) {
      tried.isCutShort = true;
    }
  }

  private void release() {
    if (isWanted) {
      isWanted = false;
      sessions.wantQuarantine(false);
    }
  }

  /** Whether one invocation is being tried, and was from the beginning. */
  boolean isTryingOne() {
    return tried != null && tried.lanes.size() == 1;
  }

  /**
   * The quarantine worker died.
   *
   * @param accused those of the group that may have killed it
   */
  void onDeath(List<Lane> accused) {
    tried = null;
    List<Lane> untried = takeUnsent();
    if (!untried.isEmpty()) {
      waiting += untried.size();
      groups.addFirst(new Group(untried));
    }
    if (!accused.isEmpty()) {
      onWait(accused);
      pushFront(halves(accused));
    }
    if (waiting > 0) {
      want();
    }
  }

  /** The quarantine worker has gone, and did not die: these are to be tried again. */
  void onUndone(List<Lane> undone) {
    tried = null;
    onWait(undone);
    List<Lane> lanes = new ArrayList<>(undone);
    List<Lane> untried = takeUnsent();
    waiting += untried.size();
    lanes.addAll(untried);
    if (!lanes.isEmpty()) {
      groups.addFirst(new Group(lanes));
      want();
    }
  }

  private List<Lane> takeUnsent() {
    List<Lane> lanes = new ArrayList<>(unsent);
    unsent.clear();
    lanes.forEach(atWorker::remove);
    return lanes;
  }

  /** Whether a group is being tried in this session. */
  boolean isTrying(WorkerSession session) {
    return tried != null && session == at;
  }

  /** The worker goes on with what it had, in another session. */
  void onResumed(WorkerSession interrupted, WorkerSession session) {
    if (at == interrupted) {
      at = session;
    }
  }

  /** There is no such worker: all that wait, who do not any more. */
  List<Lane> dissolve() {
    List<Lane> all = new ArrayList<>(gathered);
    groups.forEach(group -> all.addAll(group.lanes));
    all.addAll(takeUnsent());
    groups.clear();
    gathered = new ArrayList<>();
    waiting = 0;
    release();
    return all;
  }

  private void pushFront(List<Group> parts) {
    for (int i = parts.size() - 1; i >= 0; i--) {
      groups.addFirst(parts.get(i));
    }
  }

  private static List<Group> halves(List<Lane> lanes) {
    if (lanes.size() == 1) {
      return List.of(new Group(lanes));
    }
    int half = lanes.size() / 2;
    Group first = new Group(List.copyOf(lanes.subList(0, half)));
    Group second = new Group(List.copyOf(lanes.subList(half, lanes.size())));
    first.otherHalf = second;
    return List.of(first, second);
  }

  /** Suspects: those that wait and those that are tried now. */
  int count() {
    return waiting + atWorker.size();
  }
}
