package io.flinkactions.operator;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.CheckpointAnnouncer.Announced;
import io.flinkactions.operator.CheckpointAnnouncer.InputEnded;
import io.flinkactions.operator.CheckpointAnnouncer.NothingFollows;
import io.flinkactions.operator.codec.InputCodec;
import io.flinkactions.operator.codec.OutputCodec;
import io.flinkactions.operator.lane.BatchLaneStore;
import io.flinkactions.operator.lane.EventTrail;
import io.flinkactions.operator.lane.Input;
import io.flinkactions.operator.lane.Lane;
import io.flinkactions.operator.lane.LaneStore;
import io.flinkactions.operator.lane.Lanes;
import io.flinkactions.operator.lane.ReportedMetrics;
import io.flinkactions.operator.lane.ResultsCursor;
import io.flinkactions.operator.lane.RunIdentity;
import io.flinkactions.operator.lane.Runs;
import io.flinkactions.operator.lane.StoredCalls;
import io.flinkactions.operator.lane.StoredCalls.PendingCall;
import io.flinkactions.operator.lane.WaitingInputs;
import io.flinkactions.operator.launch.LaunchedServer;
import io.flinkactions.operator.memory.KeyMemory;
import io.flinkactions.operator.memory.LaneMemory;
import io.flinkactions.operator.metrics.OperatorMetrics;
import io.flinkactions.operator.plan.Plans;
import io.flinkactions.operator.session.BuildInfo;
import io.flinkactions.operator.session.SessionEvent;
import io.flinkactions.operator.session.SessionSettings;
import io.flinkactions.operator.session.Sessions;
import io.flinkactions.operator.session.StartIdentity;
import io.flinkactions.operator.session.WorkerSession;
import io.flinkactions.operator.state.CheckpointCuts;
import io.flinkactions.operator.state.KeyedStates;
import io.flinkactions.operator.state.StartStore;
import io.flinkactions.operator.store.ActionStateStore;
import io.flinkactions.operator.store.StoreOwner;
import io.flinkactions.operator.time.Deadlines;
import io.flinkactions.operator.time.Deadlines.Deadline;
import io.flinkactions.operator.time.SegmentedWatermarks;
import io.flinkactions.wire.v1.Bounce;
import io.flinkactions.wire.v1.ContentType;
import io.flinkactions.wire.v1.Failure;
import io.flinkactions.wire.v1.WorkerFrame;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.Stream;
import org.apache.flink.api.common.eventtime.TimestampAssigner;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.runtime.checkpoint.CheckpointOptions;
import org.apache.flink.runtime.io.network.api.writer.ResultPartitionWriter;
import org.apache.flink.runtime.operators.coordination.OperatorEvent;
import org.apache.flink.runtime.operators.coordination.OperatorEventGateway;
import org.apache.flink.runtime.operators.coordination.OperatorEventHandler;
import org.apache.flink.runtime.state.CheckpointStreamFactory;
import org.apache.flink.runtime.state.KeyGroupRange;
import org.apache.flink.runtime.state.KeyedStateBackend;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.BoundedOneInput;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.operators.OperatorSnapshotFutures;
import org.apache.flink.streaming.api.operators.StreamOperatorParameters;
import org.apache.flink.streaming.api.watermark.Watermark;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.watermarkstatus.WatermarkStatus;

/**
 * Runs the actions of an agent on the records of a keyed stream, by way of action servers.
 *
 * <p>This class is what Flink calls; what is done stands in its collaborators. A record becomes an
 * input in its key's lane ({@link Lanes}); {@link Runs} begins a run when it may, and sends
 * invocations; replies come through {@link Sessions} as events, which one mail applies, a frame at
 * a time.
 *
 * <p>Rules that hold everything together:
 *
 * <ul>
 *   <li>All of it runs on the mailbox thread. gRPC's threads only fill the queue of events, and
 *       post one mail.
 *   <li>A record is in its lane before this operator waits for anything, because a snapshot may be
 *       taken in the wait.
 *   <li>Results and failures are applied one at a time, and only while every output has room: a
 *       mail that blocks in an output holds up the barrier.
 *   <li>After the snapshot of a stop-with-savepoint nothing is applied and nothing is sent: it
 *       would be done again.
 * </ul>
 */
final class ActionOperator<IN, OUT> extends AbstractStreamOperator<OUT>
    implements OneInputStreamOperator<IN, OUT>, BoundedOneInput, OperatorEventHandler {

  private static final long serialVersionUID = 1L;

  // The coordinator answers within a round trip, unless its JobManager is away.
  private static final long LAST_ANNOUNCEMENT_MILLIS = 1_000;

  private final ActionSettings settings;
  private final InputCodec<IN> inputCodec;
  private final OutputCodec<OUT> outputCodec;

  // Made anew by each start.
  private final transient OperatorEventGateway coordinator;
  private transient MailboxExecutor mailbox;
  private transient MailboxExecutor waitingMailbox;
  private transient KeySelector<IN, String> keySelector;
  private transient String currentKey;
  private transient ResultPartitionWriter[] writers;
  private transient SegmentedWatermarks watermarks;
  private transient Deadlines deadlines;
  private transient WaitingInputs waiting;
  private transient CheckpointValve valve;
  private transient CheckpointCuts cuts;
  private transient StartStore startStore;
  private transient StartIdentity identity;
  private transient KeyMemory memory;
  private transient LaneStore laneStore;
  private transient LongAdder writtenBytes;
  private transient Lanes lanes;
  private transient List<Lane> restoredLanes;
  private transient RunIdentity runIdentity;
  private transient OperatorMetrics actionMetrics;
  private transient ReportedMetrics reportedMetrics;
  // Null: the job has none.
  private transient ActionStateStore<PendingCall> store;
  private transient StoredCalls storedCalls;
  private transient Plans plans;
  // Null: the job has endpoints.
  private transient LaunchedServer launched;
  private transient Sessions sessions;
  private transient Runs runs;
  private transient FrameInProgress frame;
  private transient boolean isFrozen;
  private transient boolean isFinished;
  private transient boolean isClosed;
  private transient boolean isDrainLate;
  private transient boolean isBatch;
  private transient boolean isRestored;
  private transient boolean isLastAnnouncementOver;

  private static final class FrameInProgress {
    final WorkerSession session;
    final WorkerFrame frame;
    final ResultsCursor results;
    // Null until all that goes before them is applied.
    Iterator<Failure> failures;

    FrameInProgress(WorkerSession session, WorkerFrame frame) {
      this.session = session;
      this.frame = frame;
      this.results = new ResultsCursor(frame.getResults());
    }
  }

  ActionOperator(
      StreamOperatorParameters<OUT> parameters,
      OperatorEventGateway coordinator,
      ActionSettings settings,
      InputCodec<IN> inputCodec,
      OutputCodec<OUT> outputCodec) {
    super(parameters);
    this.coordinator = coordinator;
    this.settings = settings;
    this.inputCodec = inputCodec;
    this.outputCodec = outputCodec;
    this.mailbox = parameters.getMailboxExecutor();
  }

  // ---- life ----

  @Override
  public void initializeState(StateInitializationContext context) throws Exception {
    super.initializeState(context);
    watermarks = new SegmentedWatermarks(new Downstream());
    startStore =
        StartStore.restore(
            context.getOperatorStateStore(),
            BuildInfo.VERSION,
            settings.jobIdentifier(),
            settings.namespace(),
            settings.ignoreStore(),
            System.currentTimeMillis());
    runIdentity = new RunIdentity(startStore.namespace(), getOperatorID().toHexString());
    restoredLanes = new ArrayList<>();
    isRestored = context.isRestored();
    KeyedStateBackend<String> backend = getKeyedStateBackend();
    isBatch = FlinkInternals.holdsOneKeyOnly(backend);
    if (isBatch) {
      memory = new LaneMemory();
      laneStore = new BatchLaneStore(memory);
      writtenBytes = new LongAdder();
      if (settings.shortTermMemoryTtl().isOn()
          && getRuntimeContext().getTaskInfo().getIndexOfThisSubtask() == 0) {
        LOG.warn("The time to live of short-term memory has no effect in BATCH execution mode");
      }
    } else {
      KeyedStates states =
          KeyedStates.of(backend, context.getKeyedStateStore(), settings.shortTermMemoryTtl());
      memory = states.memory();
      laneStore = states.lanes();
      writtenBytes = states.writtenBytes();
      if (context.isRestored()) {
        List<String> keys;
        // A RocksDB iterator, which holds memory that no collector knows of.
        try (Stream<String> stream = FlinkInternals.keys(backend, KeyedStates.LANE)) {
          keys = stream.toList();
        }
        for (String key : keys) {
          restoredLanes.add(states.lanes().restore(key, watermarks, runIdentity::runId));
        }
      }
    }
    boolean isSorted = isBatch && !settings.unsortedBatchInput();
    lanes = new Lanes(laneStore, isBatch ? Integer.MAX_VALUE : settings.residentKeys(), isSorted);
    restoredLanes.forEach(lanes::addRestored);
  }

  @Override
  public void open() throws Exception {
    super.open();
    if (!FlinkInternals.isHeadOfChain(getOperatorConfig())) {
      throw new IllegalStateException(
          "operator '"
              + getOperatorName()
              + "' is chained behind another: a checkpoint taken while it waits would cut that one"
              + " in two. Give it a stream keyed by keyBy (reinterpretAsKeyedStream chains), and"
              + " leave its chaining strategy alone");
    }
    waitingMailbox = FlinkInternals.yieldingToCheckpoints(getContainingTask());
    writers = FlinkInternals.writers(getContainingTask());
    keySelector = keySelector();
    deadlines = new Deadlines(getProcessingTimeService());
    waiting = new WaitingInputs(settings.waitingBytesSoftLimit(), settings.waitingBytesHardLimit());
    valve = new CheckpointValve(waiting, deadlines, settings.valveDelay().toMillis());
    cuts = new CheckpointCuts();
    plans =
        new Plans(
            settings.hopLimit(),
            settings.store() != null,
            settings.missingAction(),
            settings.defaultFailurePolicy());
    actionMetrics = new OperatorMetrics(getMetricGroup(), FlinkInternals::histogram);
    long epoch = startStore.epoch();
    if (settings.store() != null) {
      openStore();
      epoch = store.epoch();
    }
    identity = identity(epoch);
    if (settings.launch() != null) {
      launched = LaunchedServer.open(settings.launch(), this::wake);
    }
    sessions = new Sessions(sessionSettings(), identity, this::wake);
    Outputs<OUT> outputs = new Outputs<>(outputCodec, output);
    runs =
        new Runs(
            sessions,
            plans,
            lanes,
            waiting,
            memory,
            settings.shortTermMemoryTtl().isOn() && !isBatch,
            settings.runTimeout().toMillis(),
            watermarks,
            deadlines,
            runIdentity,
            outputs,
            actionMetrics,
            storedCalls,
            settings.events() ? new EventTrail(outputs, runIdentity) : null,
            settings.maxRunsInFlight());
    lanes.uselessMirrors().tell(sessions::forgetMirror);
    reportedMetrics = new ReportedMetrics(runs.invokes(), actionMetrics.user());
    actionMetrics.showSessions(sessions.counters());
    actionMetrics.showState(writtenBytes::sum);
    actionMetrics.showLanes(
        runs::begunCount,
        runs.invokes()::sentCount,
        runs.invokes()::readyCount,
        runs.invokes()::suspectCount,
        runs::waitingForRetryCount,
        waiting::waitingCount,
        waiting::waitingBytes,
        lanes::activeCount,
        lanes::count);
    restoredLanes.forEach(runs::onRestored);
    restoredLanes = null;
    sessions.open();
  }

  @SuppressWarnings("unchecked") // The stream is keyed by text: the factory's contract.
  private KeySelector<IN, String> keySelector() {
    KeySelector<?, ?> selector = getStateKeySelector1();
    if (selector == null) {
      throw new IllegalStateException(
          "the input of operator '" + getOperatorName() + "' is not keyed; call keyBy before it");
    }
    return (KeySelector<IN, String>) selector;
  }

  /** Reads what earlier starts recorded: before any worker may answer, and before any input. */
  private void openStore() throws Exception {
    var task = getRuntimeContext().getTaskInfo();
    int maxParallelism = task.getMaxNumberOfParallelSubtasks();
    KeyGroupRange keyGroups = keyGroups();
    // At once, so that it is closed whatever happens next.
    store =
        ActionStateStore.open(
            settings.store(),
            new StoreOwner(
                startStore.namespace(),
                getOperatorID().toHexString(),
                task.getIndexOfThisSubtask(),
                maxParallelism,
                keyGroups.getStartKeyGroup(),
                keyGroups.getEndKeyGroup(),
                startStore.epoch()),
            startStore.restoredStores(),
            hasCheckpoints(),
            this::wake);
    storedCalls =
        new StoredCalls(
            store, lanes, actionMetrics, key -> FlinkInternals.keyGroup(key, maxParallelism));
    if (isRestored) {
      storedCalls.onRestored();
    }
    actionMetrics.showStore(store::bytesInFlight, store::rebuiltCount);
  }

  private KeyGroupRange keyGroups() {
    var task = getRuntimeContext().getTaskInfo();
    return FlinkInternals.keyGroups(
        task.getMaxNumberOfParallelSubtasks(),
        task.getNumberOfParallelSubtasks(),
        task.getIndexOfThisSubtask());
  }

  private boolean hasCheckpoints() {
    return !isBatch && FlinkInternals.takesCheckpoints(getContainingTask());
  }

  private StartIdentity identity(long epoch) {
    var task = getRuntimeContext().getTaskInfo();
    var job = getRuntimeContext().getJobInfo();
    int subtask = task.getIndexOfThisSubtask();
    int parallelism = task.getNumberOfParallelSubtasks();
    int maxParallelism = task.getMaxNumberOfParallelSubtasks();
    KeyGroupRange keyGroups = keyGroups();
    return StartIdentity.of(startStore.namespace(), getOperatorID().toHexString(), settings.agent())
        .job(job.getJobId().toString(), job.getJobName())
        .subtask(subtask, parallelism, maxParallelism)
        .keyGroups(keyGroups.getStartKeyGroup(), keyGroups.getEndKeyGroup())
        .epoch(epoch)
        .config(settings.configJson())
        .hasCheckpoints(hasCheckpoints())
        // Of a job that was never restored, the first attempt is the only one that nothing was
        // before.
        .isRestart(isRestored || task.getAttemptNumber() > 0)
        .accepts(settings.allowPickle() ? List.of(ContentType.PICKLE) : List.of())
        .pinnedPlan(ByteString.copyFrom(settings.pinnedPlanDigest()))
        .build();
  }

  private SessionSettings sessionSettings() {
    List<String> endpoints = launched == null ? settings.endpoints() : List.of(launched.endpoint());
    return SessionSettings.of(endpoints.toArray(String[]::new))
        .withReconnectTimeout(settings.reconnectTimeout())
        .withSecurity(settings.security());
  }

  @Override
  public void endInput() throws Exception {
    if (!isBatch) {
      coordinator.sendEventToCoordinator(new InputEnded());
    }
    if (!settings.drainLimit().isZero()) {
      deadlines.in(settings.drainLimit().toMillis(), () -> isDrainLate = true);
    }
    // A stop that comes meanwhile has everything in its savepoint.
    while (lanes.activeCount() > 0 && !isFrozen) {
      if (isDrainLate) {
        throw new DrainLimitException(settings.drainLimit(), lanes.activeCount());
      }
      waitingMailbox.yield();
    }
    awaitLastAnnouncement();
  }

  /**
   * An announcement that found this task finished would fail the job. With checkpoints, a task does
   * not finish before one that began after the end of its input, and by then nothing is announced
   * to it any more; and while one is pending the answer is held up behind its barrier, which this
   * wait would hold up in turn.
   */
  private void awaitLastAnnouncement() throws Exception {
    if (isBatch || FlinkInternals.takesCheckpoints(getContainingTask())) {
      return;
    }
    Deadline patience = deadlines.in(LAST_ANNOUNCEMENT_MILLIS, () -> {});
    while (!isLastAnnouncementOver && patience.isPending()) {
      waitingMailbox.yield();
    }
    patience.cancel();
  }

  @Override
  public void finish() throws Exception {
    super.finish();
    isFinished = true;
  }

  @Override
  public void close() throws Exception {
    isClosed = true;
    try {
      if (sessions != null && isFinished) {
        sessions.closeFinished();
      } else if (sessions != null) {
        sessions.close();
      }
    } finally {
      if (launched != null) {
        launched.close();
      }
      closeStore();
      super.close();
    }
  }

  private void closeStore() {
    if (store != null && isFinished) {
      store.closeFinished();
    } else if (store != null) {
      store.close();
    }
  }

  // ---- records ----

  /**
   * Only remembers the key: most records touch no state, and to select a key costs a backend some
   * work.
   */
  @Override
  @SuppressWarnings({"unchecked", "rawtypes"}) // Flink's own signature.
  public void setKeyContextElement1(StreamRecord record) throws Exception {
    currentKey = keySelector.getKey((IN) record.getValue());
  }

  @Override
  public void processElement(StreamRecord<IN> element) throws Exception {
    String key = currentKey;
    ByteString payload = encode(key, element.getValue());
    Lane lane = lanes.take(key);
    // Flink's new sources mark each record that has none with this value, as if it were one.
    boolean hasTimestamp =
        element.hasTimestamp() && element.getTimestamp() != TimestampAssigner.NO_TIMESTAMP;
    runs.onInput(
        lane,
        new Input(
            lane.takeRunNumber(),
            payload,
            inputCodec.contentType(),
            hasTimestamp,
            hasTimestamp ? element.getTimestamp() : 0,
            watermarks.onArrived()));
    sessions.flush();
    while (waiting.isFull() && !isFrozen) {
      waitingMailbox.yield();
    }
  }

  private ByteString encode(String key, IN value) throws InputNotEncodableException {
    try {
      return inputCodec.encode(value);
    } catch (Exception e) {
      throw new InputNotEncodableException(key, e);
    }
  }

  @Override
  public void processWatermark(Watermark mark) {
    runs.invokes().onWatermark(mark.getTimestamp());
    watermarks.onWatermark(mark.getTimestamp());
  }

  @Override
  public void processWatermarkStatus(WatermarkStatus status) {
    watermarks.onStatus(status.isIdle());
  }

  private final class Downstream implements SegmentedWatermarks.Downstream {
    @Override
    public void emitWatermark(long timestamp) {
      output.emitWatermark(new Watermark(timestamp));
    }

    @Override
    public void emitStatus(boolean isIdle) {
      output.emitWatermarkStatus(isIdle ? WatermarkStatus.IDLE : WatermarkStatus.ACTIVE);
    }
  }

  // ---- replies ----

  /** On a thread of gRPC's, Kafka's or the launched server's. */
  private void wake() {
    post();
  }

  /** Any thread. */
  private void post() {
    try {
      mailbox.execute(this::drain, "apply what action servers answered");
    } catch (RejectedExecutionException e) {
      if (!isClosed) {
        LOG.debug("A reply came while the task was closing", e);
      }
    }
  }

  /**
   * Applies one frame, or as much of it as the outputs have room for, and leaves the rest to
   * another mail, so that a checkpoint's mail gets its turn.
   */
  private void drain() throws Exception {
    if (isFrozen || isClosed) {
      return;
    }
    if (launched != null) {
      launched.check();
    }
    if (storedCalls != null) {
      storedCalls.applyWritten();
    }
    while (frame == null) {
      SessionEvent event = sessions.poll();
      if (event == null) {
        sessions.flush();
        return;
      }
      onEvent(event);
    }
    if (applyFrame()) {
      post();
    }
    sessions.flush();
  }

  /** False if an output or the store has no room: then a mail follows when it has. */
  private boolean applyFrame() throws Exception {
    WorkerSession session = frame.session;
    WorkerFrame rest = frame.frame;
    if (frame.failures == null) {
      if (storedCalls != null && !storedCalls.hasRoom()) {
        return false;
      }
      while (true) {
        if (!outputsHaveRoom()) {
          return false;
        }
        if (!frame.results.next()) {
          break;
        }
        runs.onResult(session, frame.results);
      }
      // Before failures, which say what of it is not to be kept.
      runs.onCalls(session, rest);
      actionMetrics.onHandedBack(rest.getResults().getHandedBackCount());
      for (int i = 0; i < rest.getNeedMemoryCount(); i++) {
        actionMetrics.onNeedMemory();
        runs.invokes().onNeedMemory(session, rest.getNeedMemory(i));
      }
      for (Bounce bounce : rest.getBouncesList()) {
        actionMetrics.onBounce();
        runs.invokes().onBounce(session, bounce);
      }
      frame.failures = rest.getFailuresList().iterator();
    }
    while (frame.failures.hasNext()) {
      // Each may become a dead letter.
      if (!outputsHaveRoom()) {
        return false;
      }
      runs.onFailure(session, frame.failures.next());
    }
    actionMetrics.onAnswers(
        session.worker(), rest.getResults().getHandleCount() + rest.getFailuresCount());
    session.applied(rest);
    frame = null;
    return true;
  }

  /** If not, a mail follows when they have. */
  private boolean outputsHaveRoom() {
    CompletableFuture<?> room = FlinkInternals.firstUnavailable(writers);
    if (room != null) {
      room.thenRun(this::post);
    }
    return room == null;
  }

  private void onEvent(SessionEvent event) throws Exception {
    if (event instanceof SessionEvent.FrameReceived received) {
      reportedMetrics.onFrame(received.session(), received.frame());
      frame = new FrameInProgress(received.session(), received.frame());
    } else if (event instanceof SessionEvent.CapacityAvailable) {
      runs.invokes().onCapacity();
      runs.begin();
    } else if (event instanceof SessionEvent.Welcomed welcomed) {
      onWelcomed(welcomed);
    } else if (event instanceof SessionEvent.HoldingsTold told) {
      if (told.page().getIsLast()) {
        runs.onRoutesChanged();
      }
    } else if (event instanceof SessionEvent.Interrupted interrupted) {
      LOG.info(
          "Session with worker {} interrupted: {}",
          interrupted.session().worker(),
          interrupted.cause());
      runs.onRoutesChanged();
    } else if (event instanceof SessionEvent.Ended ended) {
      onEnded(ended);
    } else if (event instanceof SessionEvent.Draining draining) {
      LOG.info("Worker {} drains: {}", draining.session().worker(), draining.reason());
      runs.onRoutesChanged();
    } else if (event instanceof SessionEvent.AwaitingQuarantine awaiting) {
      LOG.warn(
          "No quarantine worker for {} s ({}); {} suspects wait for it",
          awaiting.since().toSeconds(),
          awaiting.detail(),
          runs.invokes().suspectCount());
    } else if (event instanceof SessionEvent.NoQuarantine none) {
      LOG.warn(
          "The action server has no quarantine worker ({}): suspects run beside others",
          none.cause());
      runs.invokes().onNoQuarantine();
    } else if (event instanceof SessionEvent.NoServer noServer) {
      LOG.warn(
          "No action server for {} s ({}); {} inputs wait",
          noServer.since().toSeconds(),
          noServer.detail(),
          waiting.waitingCount());
    } else if (event instanceof SessionEvent.Fatal fatal) {
      throw fatal.error();
    }
  }

  private void onWelcomed(SessionEvent.Welcomed welcomed) throws Exception {
    // Read now, so that a plan that cannot be served fails the job before any input meets it.
    plans.read(welcomed.plan());
    actionMetrics.onWorker(welcomed.session().worker(), sessions.counters());
    actionMetrics.onResent(runs.invokes().resume(welcomed.resumes(), welcomed.session()));
    runs.onRoutesChanged();
  }

  private void onEnded(SessionEvent.Ended ended) throws Exception {
    int open =
        runs.invokes()
            .onGivenUp(
                ended.session(),
                ended.workerIsDead(),
                ended.suspectsKnown() ? ended.suspects() : null);
    actionMetrics.onResent(open);
    if (ended.workerIsDead()) {
      actionMetrics.onDeath(ended.session().worker());
    }
    LOG.info(
        "Worker {} is gone: {}; {} of its invocations go elsewhere",
        ended.session().worker(),
        ended.cause(),
        open);
    runs.onRoutesChanged();
  }

  // ---- checkpoints ----

  @Override
  public void handleOperatorEvent(OperatorEvent event) {
    if (event instanceof Announced announced && valve != null) {
      valve.onAnnounced(announced.checkpointId());
    } else if (event instanceof NothingFollows) {
      isLastAnnouncementOver = true;
    }
  }

  @Override
  public OperatorSnapshotFutures snapshotState(
      long checkpointId, long timestamp, CheckpointOptions options, CheckpointStreamFactory factory)
      throws Exception {
    if (FlinkInternals.isSynchronousSavepoint(options)) {
      // The task's mails go on until the savepoint is confirmed. What they did would be done again
      // by the job that starts from it.
      isFrozen = true;
      runs.invokes().freeze();
    }
    return super.snapshotState(checkpointId, timestamp, options, factory);
  }

  @Override
  public void snapshotState(StateSnapshotContext context) throws Exception {
    super.snapshotState(context);
    long began = System.nanoTime();
    long writtenBefore = writtenBytes.sum();
    valve.onOver(context.getCheckpointId());
    lanes.writeDirty();
    memory.writeChanges();
    startStore.snapshot(
        identity.epoch(), store == null ? null : store.onSnapshot(context.getCheckpointId()));
    cuts.onSnapshot(context.getCheckpointId(), sessions.openSessions());
    actionMetrics.onSnapshot(writtenBytes.sum() - writtenBefore, System.nanoTime() - began);
  }

  @Override
  public void notifyCheckpointComplete(long checkpointId) throws Exception {
    super.notifyCheckpointComplete(checkpointId);
    if (sessions != null && !isClosed) {
      cuts.onCompleted(checkpointId);
      if (store != null) {
        store.onCompleted(checkpointId);
      }
      sessions.flush();
    }
  }

  @Override
  public void notifyCheckpointAborted(long checkpointId) throws Exception {
    super.notifyCheckpointAborted(checkpointId);
    if (valve != null) {
      valve.onOver(checkpointId);
    }
  }
}
