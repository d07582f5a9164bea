package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.failure.DefaultFailurePolicy;
import io.flinkactions.operator.failure.MissingAction;
import io.flinkactions.operator.lane.Input;
import io.flinkactions.operator.lane.Invocation;
import io.flinkactions.operator.lane.Invocation.SentEvent;
import io.flinkactions.operator.lane.Lane;
import io.flinkactions.operator.lane.LaneStore;
import io.flinkactions.operator.lane.Lanes;
import io.flinkactions.operator.lane.Run;
import io.flinkactions.operator.lane.RunIdentity;
import io.flinkactions.operator.lane.Runs;
import io.flinkactions.operator.lane.WaitingInputs;
import io.flinkactions.operator.memory.LaneMemory;
import io.flinkactions.operator.metrics.OperatorMetrics;
import io.flinkactions.operator.plan.Plans;
import io.flinkactions.operator.session.ScriptedWorker.Peer;
import io.flinkactions.operator.time.Deadlines;
import io.flinkactions.operator.time.SegmentedWatermarks;
import io.flinkactions.wire.v1.Action;
import io.flinkactions.wire.v1.ContentType;
import io.flinkactions.wire.v1.FailurePolicy;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.Plan;
import io.flinkactions.wire.v1.Trigger;
import io.flinkactions.wire.v1.Welcome;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.flink.metrics.groups.UnregisteredMetricsGroup;
import org.apache.flink.runtime.metrics.DescriptiveStatisticsHistogram;
import org.apache.flink.streaming.runtime.tasks.TestProcessingTimeService;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;

/** The runs of one subtask at a scripted server: the test's thread is the mailbox thread. */
@Timeout(60)
abstract class ScriptedRuns {
  /** An hour before the second and last attempt, each of which may run for a minute. */
  static final Plan PLAN =
      Plan.newBuilder()
          .addActions(
              Action.newBuilder()
                  .setName("answer")
                  .setTimeoutMs(60_000)
                  .setOnFailure(
                      FailurePolicy.newBuilder().setMaxAttempts(2).setInitialBackoffMs(3_600_000))
                  .addTriggers(Trigger.newBuilder().setEventType("_input_event")))
          .build();

  final RunIdentity runIdentity = new RunIdentity("namespace-1", "operator-1");
  final SegmentedWatermarks watermarks =
      new SegmentedWatermarks(
          new SegmentedWatermarks.Downstream() {
            @Override
            public void emitWatermark(long timestamp) {}

            @Override
            public void emitStatus(boolean isIdle) {}
          });
  final TestProcessingTimeService clock = new TestProcessingTimeService();
  final WrittenLanes store = new WrittenLanes();
  final Lanes lanes = new Lanes(store, 100, false);

  final NamedActions metricGroup = new NamedActions();
  final OperatorMetrics metrics =
      new OperatorMetrics(metricGroup, () -> new DescriptiveStatisticsHistogram(10));

  // Of runs that are made from now on.
  MissingAction missingAction = MissingAction.FAIL;
  ScriptedServer server;
  ScriptedWorker worker;
  Subtask subtask;
  Runs runs;

  /** Notes the attempt of each lane that is written. */
  static final class WrittenLanes implements LaneStore {
    final List<String> written = new ArrayList<>();

    @Override
    public Lane load(String key) {
      return new Lane(key, 0, ByteString.EMPTY);
    }

    @Override
    public void write(Lane lane) {
      Run run = lane.run();
      written.add(lane.key() + (run == null ? " waits" : " attempt " + run.current().attempt()));
    }

    @Override
    public void onDropped(Lane lane) {}
  }

  /** Notes the actions that have metrics of their own. */
  static final class NamedActions extends UnregisteredMetricsGroup {
    final Set<String> names = new TreeSet<>();

    @Override
    public NamedActions addGroup(String name) {
      return this;
    }

    @Override
    public NamedActions addGroup(String key, String value) {
      names.add(value);
      return this;
    }
  }

  @BeforeEach
  void start() throws Exception {
    server = new ScriptedServer();
    worker = server.worker("w0");
    worker.welcomesWith(Welcome.newBuilder().setPlan(PLAN));
    subtask = Subtask.of(server.endpoint());
    runs = runsOf(subtask);
  }

  @AfterEach
  void stop() {
    subtask.close();
    server.close();
  }

  final Runs runsOf(Subtask of) {
    return runsOf(of, 100);
  }

  /** At most so many in flight. */
  final Runs runsOf(Subtask of, int limit) {
    return runsOf(of, limit, 0);
  }

  /** The same, and each may take so long. */
  final Runs runsOf(Subtask of, int limit, long runLimitMillis) {
    return new Runs(
        of.sessions,
        new Plans(10, false, missingAction, DefaultFailurePolicy.FAIL),
        lanes,
        new WaitingInputs(1 << 20, 1 << 20),
        new LaneMemory(),
        false,
        runLimitMillis,
        watermarks,
        new Deadlines(clock),
        runIdentity,
        null,
        metrics,
        null,
        null,
        limit);
  }

  Input input(Lane lane) {
    ByteString payload = ByteString.copyFromUtf8("\"input\"");
    return new Input(
        lane.takeRunNumber(), payload, ContentType.JSON, false, 0, watermarks.onArrived());
  }

  Lane restored(String key, ByteString generation) {
    return restored(key, generation, new Invocation("answer", 0, 0, null));
  }

  Lane restored(String key, ByteString generation, Invocation invocation) {
    Lane lane = new Lane(key, 0, ByteString.EMPTY);
    Input input = input(lane);
    lane.add(input);
    Run run =
        new Run(
            input,
            runIdentity.namespace(),
            runIdentity.runId(runIdentity.namespace(), lane, input),
            generation,
            1);
    run.add(invocation);
    lane.begin(run);
    lanes.addRestored(lane);
    return lane;
  }

  /** A restored run of which so many have to be passed over before its last one can be sent. */
  void assertSentAfter(int many, String action, SentEvent event) throws Exception {
    Lane lane = restored("\"a\"", ByteString.EMPTY, new Invocation(action, 0, 0, event));
    for (int ordinal = 1; ordinal < many; ordinal++) {
      lane.run().add(new Invocation(action, ordinal, 0, event));
    }
    lane.run().add(new Invocation("answer", many, 0, null));
    runs.onRestored(lane);
    routed();
    runs.begin();
    assertThat(keysOf(worker.peer(), 1)).containsExactly("\"a\"");
    assertThat(lane.run().current().ordinal()).isEqualTo(many);
    assertThat(runs.begunCount()).isEqualTo(1);
  }

  /** The next session, and the directory has been read: there is a way. */
  WorkerSession routed() throws Exception {
    WorkerSession session = subtask.welcomed();
    while (subtask.sessions.route("\"a\"", ByteString.EMPTY) == null) {
      subtask.next(SessionEvent.CapacityAvailable.class);
    }
    return session;
  }

  /** Keys of the next Invokes, as many as are expected. */
  List<String> keysOf(Peer peer, int count) throws Exception {
    return invokesOf(peer, count).stream().map(invoke -> invoke.getKey().toStringUtf8()).toList();
  }

  /** The next Invokes, as many as are expected. */
  List<Invoke> invokesOf(Peer peer, int count) throws Exception {
    subtask.sessions.flush();
    List<Invoke> invokes = new ArrayList<>();
    while (invokes.size() < count) {
      invokes.addAll(peer.frame().getInvokesList());
    }
    return invokes;
  }
}
