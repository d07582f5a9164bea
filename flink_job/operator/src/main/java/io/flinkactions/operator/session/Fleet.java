package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.Bye;
import io.flinkactions.wire.v1.DirectoryState;
import io.flinkactions.wire.v1.Reject;
import io.flinkactions.wire.v1.WorkerEntry;
import io.grpc.Attributes;
import io.grpc.Status;
import io.grpc.netty.shaded.io.netty.channel.EventLoopGroup;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * Keeps one session with every worker that the directory names, and decides what a lost one means.
 * All of it runs on a thread of its own (the mailbox thread may be held up by a slow sink for
 * minutes, and connections want looking after meanwhile); only what is said to be for any thread
 * may be called from elsewhere.
 *
 * <p>A lost stream is not a lost worker (CORRECTNESS.md 9). Its session is <em>interrupted</em>,
 * and until one of these decides, it is tried again at the same worker:
 *
 * <ul>
 *   <li>the same incarnation welcomes again: that session resumes this one;
 *   <li>its supervisor, who is its parent, names it dead or names it no more: it is dead, at once;
 *   <li>another supervisor answers for the endpoint and nothing listens at the worker's address any
 *       more: dead as well;
 *   <li>the worker's linger time and a grace are over: whatever it still ran it has cancelled
 *       itself.
 * </ul>
 */
final class Fleet {
  static final int PROTOCOL = 1;

  private static final long TICK = TimeUnit.MILLISECONDS.toNanos(100);
  // How long frames of a worker that is known to be dead are still waited for: they lie in a socket
  // of this machine or are lost.
  private static final long LAST_FRAMES = TimeUnit.MILLISECONDS.toNanos(100);
  private static final long POLITE_RETRY = TimeUnit.MILLISECONDS.toNanos(200);
  // A job that has just been stopped and submitted again may find its former self still leaving.
  private static final long NAMESPACE_PATIENCE = TimeUnit.SECONDS.toNanos(5);
  private static final long DIRECTORY_DOUBT = TimeUnit.SECONDS.toNanos(2);

  private final SessionSettings settings;
  private final StartIdentity identity;
  private final Inbox inbox;
  private final Counters counters = new Counters();
  private final PlanCache plans = new PlanCache();
  private final ScheduledThreadPoolExecutor executor;
  private final DirectoryWatch watch;

  private final Map<ByteString, Link> links = new LinkedHashMap<>();
  // Streams that run or end; all of them are to be closed in the end.
  private final Set<WorkerStream> streams = new HashSet<>();
  private final Roster roster;
  private String lastError = "nothing was tried yet";
  private Throwable lastCause;
  private long namespaceInUseSince;

  private final Outage outage = new Outage();

  private final QuarantineWish quarantine = new QuarantineWish();

  private boolean isOver;
  private CountDownLatch closed;
  private final EventLoopGroup loops = EventLoops.acquire();

  private volatile DirectoryView view = DirectoryView.EMPTY;

  Fleet(SessionSettings settings, StartIdentity identity, Inbox inbox) {
    this.settings = settings;
    this.identity = identity;
    this.inbox = inbox;
    this.roster = new Roster(identity);
    this.executor = new ScheduledThreadPoolExecutor(1, this::newThread);
    this.executor.setRemoveOnCancelPolicy(true);
    this.executor.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
    this.watch = new DirectoryWatch(this, settings, identity);
  }

  private Thread newThread(Runnable task) {
    Thread thread =
        new Thread(task, "flink-actions-" + identity.agent() + "-" + identity.subtask());
    thread.setDaemon(true);
    thread.setContextClassLoader(Fleet.class.getClassLoader());
    return thread;
  }

  // ---- any thread ----

  void open() {
    run(
        () -> {
          nowAlone(System.nanoTime());
          watch.open();
          executor.scheduleWithFixedDelay(guarded(this::tick), TICK, TICK, TimeUnit.NANOSECONDS);
        });
  }

  /** Within the settings' close timeout, and a moment more. */
  void close(Bye.Reason reason, String message) {
    CountDownLatch done = new CountDownLatch(1);
    run(() -> startClosing(reason, message, done));
    boolean isInterrupted = false;
    try {
      done.await(settings.closeTimeout().toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException e) {
      isInterrupted = true;
    }
    executor.execute(this::abortAll);
    executor.shutdown();
    try {
      isInterrupted |= Thread.interrupted();
      executor.awaitTermination(1, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      isInterrupted = true;
    }
    EventLoops.release(System.nanoTime() + TimeUnit.SECONDS.toNanos(1));
    if (isInterrupted) {
      Thread.currentThread().interrupt();
    }
  }

  /** See {@link Sessions#wantQuarantine}. */
  void wantQuarantine(boolean isWanted) {
    run(
        () -> {
          quarantine.set(isWanted);
          if (isWanted) {
            seeToQuarantine();
          } else {
            leaveQuarantine();
          }
        });
  }

  DirectoryView view() {
    return view;
  }

  Inbox inbox() {
    return inbox;
  }

  Counters counters() {
    return counters;
  }

  PlanCache plans() {
    return plans;
  }

  StartIdentity identity() {
    return identity;
  }

  void run(Runnable task) {
    try {
      executor.execute(guarded(task));
    } catch (RejectedExecutionException e) {
      // Closed: there is nobody left whom it would concern.
    }
  }

  ScheduledFuture<?> later(long nanos, Runnable task) {
    return executor.schedule(guarded(task), nanos, TimeUnit.NANOSECONDS);
  }

  void streamIsWelcomed(WorkerStream stream, WorkerSession session) {
    counters.open.add(session);
    run(() -> onWelcomed(stream, session));
  }

  void streamIsOver(WorkerStream stream, Status status) {
    WorkerSession session = stream.session();
    if (session != null) {
      counters.open.remove(session);
    }
    run(() -> onStreamOver(stream, status));
  }

  /** A bug here must fail the task, not leave it waiting for ever. */
  private Runnable guarded(Runnable task) {
    return () -> {
      try {
        task.run();
      } catch (SessionException e) {
        fatal(e);
      } catch (RuntimeException e) {
        fatal(new SessionException.Defect(e));
      }
    };
  }

  // ---- the directory ----

  void onDirectory(DirectoryState state, Attributes attributes) {
    if (isOver) {
      return;
    }
    if (state.getProtocolMin() > PROTOCOL || state.getProtocolMax() < PROTOCOL) {
      fatal(
          new SessionException.ProtocolVersion(
              "The action server at "
                  + watch.endpoint()
                  + " (version "
                  + state.getServerVersion()
                  + ") speaks protocol versions "
                  + state.getProtocolMin()
                  + " to "
                  + state.getProtocolMax()
                  + ", this job speaks "
                  + PROTOCOL
                  + ". Upgrade the older of the two"));
      return;
    }
    roster.read(watch.endpoint(), state);
    noticeWelcomes();
    Set<ByteString> listed = new HashSet<>();
    for (WorkerEntry entry : state.getWorkersList()) {
      listed.add(entry.getIncarnation());
      onEntry(entry, attributes);
    }
    for (Link link : List.copyOf(links.values())) {
      if (!listed.contains(link.incarnation)) {
        onMissing(link);
      }
    }
    seeToQuarantine();
    publish();
  }

  private void onEntry(WorkerEntry entry, Attributes attributes) {
    Link link = links.get(entry.getIncarnation());
    boolean isNew = link == null;
    if (entry.getState() == WorkerEntry.State.DEAD) {
      if (link != null) {
        die(
            link,
            new Death(
                entry.getExitReason().isEmpty() ? "dead" : entry.getExitReason(),
                entry.getSuspectsKnown(),
                Set.copyOf(entry.getSuspectsList())));
      }
      return;
    }
    if (link == null) {
      link = new Link(entry.getIncarnation());
      links.put(link.incarnation, link);
    }
    link.entry = entry;
    link.supervisor = roster.supervisor();
    link.endpoint = roster.endpoint();
    link.isListed = true;
    if (!entry.getAddress().isEmpty()) {
      link.address = Channels.resolve(entry.getAddress(), attributes);
    }
    if (isNew) {
      link.mayTellHoldings = mayHold(entry);
      // Two attempts to reach it.
      link.holdingsDueAt = System.nanoTime() + 2 * settings.connectTimeout().toNanos();
    }
    link.mayTellHoldings &= isUsable(link);
    if (link.phase == Link.Phase.REFUSED && link.refusedIn != entry.getState()) {
      link.phase = Link.Phase.IDLE;
    }
    connectIfWanted(link);
  }

  /** One that came after this start was begun holds nothing of those before. */
  private boolean mayHold(WorkerEntry entry) {
    return identity.isRestart() && (view == DirectoryView.EMPTY || roster.keepsForUs(entry));
  }

  private void onMissing(Link link) {
    if (link.supervisor.equals(roster.supervisor())) {
      die(link, Death.of("its supervisor lists it no more"));
      return;
    }
    link.isListed = false;
    if (link.phase != Link.Phase.OPEN && link.interrupted == null) {
      forget(link);
    }
  }

  /** For the watch: a stream that could not be opened, or ended. */
  void directoryFailed(String endpoint, Status status) {
    if (isOver) {
      return;
    }
    note("the directory at " + endpoint, status);
    failOnPlainRefusal(endpoint, status);
  }

  // ---- one worker ----

  private boolean isUsable(Link link) {
    if (!link.isListed || link.isQuarantine() && !quarantine.isOn()) {
      return false;
    }
    return switch (link.entry.getState()) {
      case SERVING -> true;
      // For a reload it takes what began in its generation: a run that was restored may have.
      case DRAINING -> !link.isQuarantine() && roster.isDraining(link.entry.getGeneration());
      case ARCHIVE -> roster.isArchiveForUs(link.entry);
      default -> false;
    };
  }

  private void connectIfWanted(Link link) {
    boolean isWanted = isUsable(link) || link.interrupted != null;
    if (isWanted && link.phase == Link.Phase.IDLE && link.address != null) {
      connect(link);
    } else if (!isWanted
        && (link.phase == Link.Phase.CONNECTING || link.phase == Link.Phase.WAITING)) {
      abandonAttempt(link);
    }
  }

  private void connect(Link link) {
    if (isOver) {
      return;
    }
    WorkerStream stream = new WorkerStream(this, link);
    link.phase = Link.Phase.CONNECTING;
    link.stream = stream;
    streams.add(stream);
    stream.start(
        identity.hello(
            settings.maxFrameBytes(),
            roster.planDigest(link.entry.getGeneration(), identity.agent(), plans)));
    setTimer(
        link,
        settings.connectTimeout().toNanos(),
        () -> stream.abort("no Welcome within " + settings.connectTimeout().toMillis() + " ms"));
  }

  /** A session may be in use already although this thread has not come to its Welcome yet. */
  private void noticeWelcomes() {
    for (Link link : List.copyOf(links.values())) {
      if (link.phase == Link.Phase.CONNECTING && link.stream.session() != null) {
        onWelcomed(link.stream, link.stream.session());
      }
    }
  }

  private void onWelcomed(WorkerStream stream, WorkerSession session) {
    if (isOver) {
      // Whoever ended all this has seen to every stream; this one may still be saying Bye.
      return;
    }
    Link link = links.get(stream.incarnation());
    if (link == null || link.stream != stream) {
      // Given up while the Welcome was on its way; the end is told like every end.
      stream.abort("not wanted any more");
      return;
    }
    if (link.phase == Link.Phase.OPEN) {
      return;
    }
    link.cancelTimer();
    link.phase = Link.Phase.OPEN;
    link.interrupted = null;
    // However the session ended from which this side took its leave.
    link.isLeaving = false;
    link.backoff.succeeded();
    if (link.wasWelcomed) {
      counters.reconnects.increment();
    }
    link.wasWelcomed = true;
    namespaceInUseSince = 0;
    if (!link.isQuarantine()) {
      outage.end();
      counters.state = "connected";
    }
    publish();
  }

  private void onStreamOver(WorkerStream stream, Status status) {
    if (!streams.remove(stream)) {
      return;
    }
    stream.closeChannel(System.nanoTime());
    Link link = links.get(stream.incarnation());
    boolean isCurrent = link != null && link.stream == stream;
    if (isCurrent) {
      link.cancelTimer();
      link.stream = null;
      link.phase = Link.Phase.IDLE;
    }
    if (isOver) {
      if (closed != null && streams.isEmpty()) {
        closed.countDown();
      }
    } else if (stream.violation() != null) {
      fatal(new SessionException.ProtocolViolation(stream.violation()));
    } else if (stream.session() != null) {
      onSessionOver(stream, status, isCurrent ? link : null);
    } else if (isCurrent) {
      onAttemptFailed(link, stream, status);
    }
    noticeIfAlone();
    publish();
  }

  private void onSessionOver(WorkerStream stream, Status status, Link link) {
    WorkerSession session = stream.session();
    Bye bye = stream.bye();
    if (status.getCode() == Status.Code.RESOURCE_EXHAUSTED) {
      fatal(
          new SessionException.ProtocolViolation(
              "The worker at "
                  + stream.address()
                  + " sent a frame over the limit that Hello named ("
                  + settings.maxFrameBytes()
                  + " bytes): "
                  + status.getDescription()));
    } else if (bye != null) {
      onBye(session, bye, link);
    } else if (link == null) {
      end(session, Death.of("given up"), false);
    } else if (link.death != null) {
      end(session, link.death, !link.death.isInGoodOrder());
      forget(link);
    } else if (link.isLeaving) {
      end(session, Death.of("there are no suspects any more"), false);
      connectIfWanted(link);
    } else {
      counters.interruptions.increment();
      note("the session with " + session.worker() + " at " + stream.address(), status);
      link.interrupted = session;
      link.giveUpAt =
          System.nanoTime()
              + TimeUnit.MILLISECONDS.toNanos(session.lingerMillis())
              + settings.grace().toNanos();
      inbox.add(new SessionEvent.Interrupted(session, StreamEnds.words(status)));
      connect(link);
    }
  }

  private void onBye(WorkerSession session, Bye bye, Link link) {
    switch (bye.getReason()) {
      case FENCED ->
          fatal(
              new SessionException.StaleEpoch(
                  "A later start of subtask "
                      + identity.subtask()
                      + " has taken its key groups at worker "
                      + session.worker()
                      + " (this start's epoch is "
                      + identity.epoch()
                      + "): this one must end. "
                      + bye.getMessage()));
      case PROTOCOL_ERROR ->
          fatal(
              new SessionException.ProtocolViolation(
                  "The worker "
                      + session.worker()
                      + " refuses what this job sent: "
                      + bye.getMessage()));
      default -> {
        String words = bye.getMessage().isEmpty() ? bye.getReason().name() : bye.getMessage();
        if (link != null) {
          link.mayTellHoldings = false;
        }
        end(session, Death.of("said Bye: " + words), false);
        if (link != null && link.death != null) {
          forget(link);
        } else if (link != null) {
          waitForOtherState(link);
        }
      }
    }
  }

  private void onAttemptFailed(Link link, WorkerStream stream, Status status) {
    link.hasFailed = true;
    if (stream.reject() != null) {
      onReject(link, stream);
      return;
    }
    note("worker " + link.entry.getWorker() + " at " + link.address, status);
    failOnPlainRefusal(link.address, status);
    if (isOver) {
      return;
    }
    if (!link.isListed
        && link.interrupted != null
        && link.endpoint.equals(roster.endpoint())
        && StreamEnds.nothingListens(status)) {
      die(link, Death.of("its supervisor is gone, and nothing listens at its address"));
    } else {
      tryAgainLater(link, 0);
    }
  }

  private void onReject(Link link, WorkerStream stream) {
    Reject reject = stream.reject();
    String message =
        reject.getMessage().isEmpty()
            ? "The worker at " + stream.address() + " rejects this job: " + reject.getReason()
            : reject.getMessage();
    lastError = message;
    switch (reject.getReason()) {
      case DRAINING -> waitForOtherState(link);
      case OVERLOADED -> {
        if (link.isQuarantine()) {
          // It has another subtask's suspects, and will have time for ours.
          quarantine.isNotInVain();
        }
        tryAgainLater(link, POLITE_RETRY);
      }
      case STALE_EPOCH -> {
        if (identity.raiseEpochAbove(reject.getKnownEpoch())) {
          connect(link);
        } else {
          fatal(
              new SessionException.StaleEpoch(
                  message
                      + " (a later start with epoch "
                      + reject.getKnownEpoch()
                      + " is known; this one has "
                      + identity.epoch()
                      + " and was welcomed before, so it must end)"));
        }
      }
      case NAMESPACE_IN_USE -> {
        long now = System.nanoTime();
        if (namespaceInUseSince == 0) {
          namespaceInUseSince = now;
        }
        if (now - namespaceInUseSince < NAMESPACE_PATIENCE) {
          tryAgainLater(link, POLITE_RETRY);
        } else {
          fatal(new SessionException.NamespaceInUse(message));
        }
      }
      case PROTOCOL_VERSION -> fatal(new SessionException.ProtocolVersion(message));
      case UNKNOWN_AGENT -> fatal(new SessionException.UnknownAgent(message));
      case PLAN_MISMATCH -> fatal(new SessionException.PlanMismatch(message));
      case CONTENT_TYPE -> fatal(new SessionException.ContentTypeRefused(message));
      case UNAUTHENTICATED -> fatal(new SessionException.Unauthenticated(message, null));
      default -> fatal(new SessionException.ProtocolViolation(message));
    }
  }

  /** It takes no session now. The directory knows, or will in a moment. */
  private void waitForOtherState(Link link) {
    if (link.entry.getState() == WorkerEntry.State.SERVING) {
      tryAgainLater(link, POLITE_RETRY);
    } else {
      link.phase = Link.Phase.REFUSED;
      link.refusedIn = link.entry.getState();
    }
  }

  private void tryAgainLater(Link link, long atLeast) {
    link.phase = Link.Phase.WAITING;
    setTimer(
        link,
        Math.max(atLeast, link.backoff.afterFailure(System.nanoTime())),
        () -> {
          link.phase = Link.Phase.IDLE;
          connectIfWanted(link);
          publish();
        });
  }

  private void die(Link link, Death death) {
    if (link.death != null) {
      return;
    }
    link.death = death;
    link.mayTellHoldings = false;
    if (link.isQuarantine()) {
      // Another one is needed at once.
      quarantine.askAtOnce();
    }
    if (link.phase == Link.Phase.OPEN) {
      WorkerStream stream = link.stream;
      setTimer(link, LAST_FRAMES, () -> stream.abort(death.cause()));
      return;
    }
    WorkerSession interrupted = link.interrupted;
    link.interrupted = null;
    forget(link);
    if (interrupted != null) {
      end(interrupted, death, !death.isInGoodOrder());
    }
  }

  private void end(WorkerSession session, Death death, boolean isDead) {
    if (session.stream().settle()) {
      // First, so that whoever hears of the end is not routed back to it.
      publish();
      inbox.add(
          new SessionEvent.Ended(
              session, death.cause(), isDead, death.suspectsKnown(), death.suspects()));
    }
  }

  private void abandonAttempt(Link link) {
    link.cancelTimer();
    WorkerStream stream = link.stream;
    link.stream = null;
    link.phase = Link.Phase.IDLE;
    if (stream != null) {
      stream.abort("not wanted any more");
    }
  }

  private void forget(Link link) {
    links.remove(link.incarnation);
    abandonAttempt(link);
  }

  private void setTimer(Link link, long nanos, Runnable task) {
    link.cancelTimer();
    link.timer = later(nanos, task);
  }

  // ---- the quarantine worker ----

  /** While it is wanted: connect to the one there is, or ask for one. */
  private void seeToQuarantine() {
    if (isOver || !quarantine.isOn()) {
      return;
    }
    for (Link link : List.copyOf(links.values())) {
      if (link.isQuarantine()) {
        connectIfWanted(link);
      }
    }
    if (!roster.hasQuarantine() && quarantine.isAskDue(System.nanoTime())) {
      watch.askForQuarantine();
    }
  }

  /** The one that is wanted may never come: its code does not load any more, say. */
  private void tickQuarantine(long now) {
    // Without any worker there is a limit already.
    if (!quarantine.isOn() || outage.isOn() || hasQuarantineSession()) {
      quarantine.isNotInVain();
      return;
    }
    quarantine.isInVain(now);
    Duration waited = quarantine.vainFor(now);
    if (waited.compareTo(settings.reconnectTimeout()) >= 0) {
      noQuarantine("none has come in " + waited.toSeconds() + " s: " + detail());
      leaveQuarantine();
    } else if (quarantine.isNoticeDue(now)) {
      inbox.add(new SessionEvent.AwaitingQuarantine(waited, detail()));
    }
  }

  private boolean hasQuarantineSession() {
    return links.values().stream()
        .anyMatch(link -> link.isQuarantine() && link.phase == Link.Phase.OPEN);
  }

  private void noQuarantine(String cause) {
    quarantine.set(false);
    quarantine.isNotInVain();
    inbox.add(new SessionEvent.NoQuarantine(cause));
  }

  /** Others may wait for it. */
  private void leaveQuarantine() {
    noticeWelcomes();
    for (Link link : List.copyOf(links.values())) {
      if (!link.isQuarantine()) {
        continue;
      }
      if (link.phase == Link.Phase.OPEN && link.death == null && !link.isLeaving) {
        link.isLeaving = true;
        WorkerStream stream = link.stream;
        stream.sayBye(Bye.Reason.FINISHED, "there are no suspects any more");
        setTimer(
            link,
            settings.closeTimeout().toNanos(),
            () -> stream.abort("the worker does not end the stream after Bye"));
      } else {
        connectIfWanted(link);
      }
    }
  }

  /** For the watch: the server never has one. */
  void onNoQuarantine() {
    noQuarantine("it never has one");
  }

  // ---- time ----

  private void tick() {
    if (isOver) {
      return;
    }
    long now = System.nanoTime();
    for (Link link : List.copyOf(links.values())) {
      if (link.phase == Link.Phase.OPEN && link.death == null) {
        pingOrGiveUp(link, now);
      } else if (link.interrupted != null && now - link.giveUpAt >= 0) {
        giveUp(link);
      }
    }
    seeToHoldings(now);
    seeToQuarantine();
    tickAlone(now);
    tickQuarantine(now);
  }

  /** A worker that does not tell in time what it holds is not waited for any more. */
  private void seeToHoldings(long now) {
    for (Link link : links.values()) {
      if (link.mayTellHoldings && now - link.holdingsDueAt >= 0) {
        link.mayTellHoldings = false;
        publish();
      }
    }
  }

  private void pingOrGiveUp(Link link, long now) {
    // Often enough that the worker, who hears nothing else of an idle subtask, does not take it for
    // lost.
    WorkerSession session = link.stream.session();
    long interval = settings.pingInterval().toNanos();
    if (session.lingerMillis() > 0) {
      interval = Math.min(interval, TimeUnit.MILLISECONDS.toNanos(session.lingerMillis()) / 3);
    }
    if (link.stream.pingOrSilence(now, interval) > settings.pingTimeout().toNanos()) {
      link.stream.abort("no Pong for " + settings.pingTimeout().toMillis() + " ms");
    }
  }

  private void giveUp(Link link) {
    WorkerSession lost = link.interrupted;
    link.interrupted = null;
    link.mayTellHoldings = false;
    // Before the end is told, so that nobody is left to wait for a worker that is forgotten.
    if (link.isListed) {
      // An attempt that is under way would resume what was given up; the stream knows better, by
      // `settle`.
      connectIfWanted(link);
    } else {
      forget(link);
    }
    end(
        lost,
        Death.of(
            "silent for its linger time of "
                + lost.lingerMillis()
                + " ms and a grace of "
                + settings.grace().toMillis()
                + " ms"),
        false);
    publish();
  }

  private void nowAlone(long now) {
    outage.begin(now);
    counters.state = "connecting";
  }

  private void noticeIfAlone() {
    if (!outage.isOn()
        && links.values().stream()
            .noneMatch(link -> link.phase == Link.Phase.OPEN && !link.isQuarantine())) {
      nowAlone(System.nanoTime());
    }
  }

  private void tickAlone(long now) {
    if (!outage.isOn()) {
      return;
    }
    Duration waited = outage.lastsFor(now);
    if (waited.compareTo(settings.reconnectTimeout()) >= 0) {
      fatal(
          new SessionException.ServerUnreachable(
              String.join(", ", settings.endpoints()), waited, detail(), lastCause));
      return;
    }
    if (watch.hasState()
        && watch.silentNanos(now) > DIRECTORY_DOUBT
        && waited.toNanos() > DIRECTORY_DOUBT) {
      watch.reopen();
    }
    if (outage.isNoticeDue(now)) {
      inbox.add(new SessionEvent.NoServer(waited, detail()));
    }
  }

  private String detail() {
    return watch.hasState()
        ? "the directory at "
            + watch.endpoint()
            + " lists "
            + roster.describe()
            + "; last: "
            + lastError
        : lastError;
  }

  // ---- errors and the end ----

  private void note(String what, Status status) {
    lastError = what + ": " + StreamEnds.words(status);
    lastCause = status.getCause();
  }

  /** Answers that no waiting will change. */
  private void failOnPlainRefusal(String address, Status status) {
    switch (status.getCode()) {
      case UNIMPLEMENTED ->
          fatal(
              new SessionException.NotAnActionServer(
                  address, StreamEnds.words(status), status.getCause()));
      case UNAUTHENTICATED, PERMISSION_DENIED ->
          fatal(
              new SessionException.Unauthenticated(
                  "The action server at "
                      + address
                      + " refuses this job: "
                      + StreamEnds.words(status),
                  status.getCause()));
      default -> {}
    }
  }

  EventLoopGroup loops() {
    return loops;
  }

  /** How connections are protected. */
  ChannelSecurity security() {
    return settings.security();
  }

  private void fatal(SessionException error) {
    if (isOver) {
      return;
    }
    isOver = true;
    counters.state = "failed";
    inbox.add(new SessionEvent.Fatal(error));
    abortAll();
  }

  private void startClosing(Bye.Reason reason, String message, CountDownLatch done) {
    isOver = true;
    closed = done;
    watch.close();
    for (WorkerStream stream : List.copyOf(streams)) {
      stream.sayBye(reason, message);
    }
    if (streams.isEmpty()) {
      done.countDown();
    }
  }

  private void abortAll() {
    watch.close();
    links.values().forEach(Link::cancelTimer);
    long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(500);
    List<WorkerStream> all = new ArrayList<>(streams);
    all.forEach(stream -> stream.abort("closed"));
    all.forEach(stream -> stream.closeChannel(deadline));
    if (watch.channel() != null) {
      Channels.close(watch.channel(), deadline);
    }
  }

  private void publish() {
    DirectoryView latest = roster.view(links.values());
    if (!latest.equals(view)) {
      view = latest;
      inbox.addCapacityAvailable();
    }
  }
}
