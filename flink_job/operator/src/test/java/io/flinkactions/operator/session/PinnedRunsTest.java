package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.lane.Input;
import io.flinkactions.operator.lane.Invocation;
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
import io.flinkactions.wire.v1.Cancel;
import io.flinkactions.wire.v1.ContentType;
import io.flinkactions.wire.v1.FailurePolicy;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.Plan;
import io.flinkactions.wire.v1.Reject;
import io.flinkactions.wire.v1.Trigger;
import io.flinkactions.wire.v1.Welcome;
import io.flinkactions.wire.v1.WorkerEntry;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.metrics.groups.UnregisteredMetricsGroup;
import org.apache.flink.runtime.metrics.DescriptiveStatisticsHistogram;
import org.apache.flink.streaming.runtime.tasks.TestProcessingTimeService;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Runs that belong to a generation, and what becomes of them and of others when it is away. */
@Timeout(60)
class PinnedRunsTest {
  private static final ByteString ELSEWHERE = ByteString.copyFromUtf8("generation-0....");

  private final RunIdentity runIdentity = new RunIdentity("namespace-1", "operator-1");
  private final SegmentedWatermarks watermarks =
      new SegmentedWatermarks(
          new SegmentedWatermarks.Downstream() {
            @Override
            public void emitWatermark(long timestamp) {}

            @Override
            public void emitStatus(boolean isIdle) {}
          });
  private final TestProcessingTimeService clock = new TestProcessingTimeService();
  private final WrittenLanes store = new WrittenLanes();
  private final Lanes lanes = new Lanes(store, 100, false);

  private ScriptedServer server;
  private ScriptedWorker worker;
  private Subtask subtask;
  private Runs runs;

  /** Notes the attempt of each lane that is written. */
  private static final class WrittenLanes implements LaneStore {
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

  @BeforeEach
  void start() throws Exception {
    server = new ScriptedServer();
    worker = server.worker("w0");
    worker.welcomesWith(
        Welcome.newBuilder()
            .setPlan(
                Plan.newBuilder()
                    .addActions(
                        Action.newBuilder()
                            .setName("answer")
                            .setTimeoutMs(1)
                            .setOnFailure(
                                FailurePolicy.newBuilder()
                                    .setMaxAttempts(2)
                                    .setInitialBackoffMs(3_600_000))
                            .addTriggers(Trigger.newBuilder().setEventType("_input_event")))));
    subtask = Subtask.of(server.endpoint());
    runs =
        new Runs(
            subtask.sessions,
            new Plans(10, false),
            lanes,
            new WaitingInputs(1 << 20, 1 << 20),
            new LaneMemory(),
            false,
            0,
            watermarks,
            new Deadlines(clock),
            runIdentity,
            null,
            new OperatorMetrics(
                new UnregisteredMetricsGroup(), () -> new DescriptiveStatisticsHistogram(10)),
            null,
            100);
  }

  @AfterEach
  void stop() {
    subtask.close();
    server.close();
  }

  private Input input(Lane lane) {
    ByteString payload = ByteString.copyFromUtf8("\"input\"");
    return new Input(
        lane.takeRunNumber(), payload, ContentType.JSON, false, 0, watermarks.onArrived());
  }

  private Lane restored(String key, ByteString generation) {
    Lane lane = new Lane(key, 0, ByteString.EMPTY);
    Input input = input(lane);
    lane.add(input);
    Run run =
        new Run(
            input,
            runIdentity.namespace(),
            runIdentity.runId(runIdentity.namespace(), lane, input),
            generation,
            0);
    run.add(new Invocation("answer", run.takeOrdinal(), 0, null));
    lane.begin(run);
    lanes.addRestored(lane);
    return lane;
  }

  private List<String> keysOf(Peer peer) throws Exception {
    subtask.sessions.flush();
    return peer.frame().getInvokesList().stream()
        .map(Invoke::getKey)
        .map(ByteString::toStringUtf8)
        .toList();
  }

  @Test
  void a_run_that_waits_for_its_generation_keeps_no_other_waiting_and_goes_when_that_is_gone()
      throws Exception {
    WorkerEntry starting =
        WorkerEntry.newBuilder()
            .setWorker("w1")
            .setIncarnation(ByteString.copyFromUtf8("w1-incarnation-1"))
            .setGeneration(ELSEWHERE)
            .setState(WorkerEntry.State.STARTING)
            .build();
    server.announce(starting);
    subtask.welcomed();
    while (subtask.sessions.route("\"a\"", ELSEWHERE) != null) {
      assertThat(subtask.nextWithin(SessionEvent.CapacityAvailable.class, 5_000)).isNotNull();
    }
    Peer peer = worker.peer();
    runs.onRestored(restored("\"a\"", ELSEWHERE));
    Lane other = lanes.take("\"b\"");
    runs.onInput(other, input(other));
    assertThat(keysOf(peer)).containsExactly("\"b\"");

    server.announce(starting.toBuilder().setState(WorkerEntry.State.DEAD).build());
    while (subtask.sessions.route("\"a\"", ELSEWHERE) == null) {
      assertThat(subtask.nextWithin(SessionEvent.CapacityAvailable.class, 5_000)).isNotNull();
    }
    runs.invokes().onCapacity();
    assertThat(keysOf(peer)).containsExactly("\"a\"");
  }

  @Test
  void what_has_become_of_a_run_since_a_snapshot_is_in_the_next_one() throws Exception {
    Lane lane = lanes.take("\"a\"");
    runs.onInput(lane, input(lane));
    lanes.writeDirty();
    WorkerSession session = subtask.welcomed();
    runs.begin();
    lanes.writeDirty();
    runs.invokes().onGivenUp(session, true, null);
    lanes.writeDirty();
    assertThat(store.written).containsExactly("\"a\" waits", "\"a\" attempt 1", "\"a\" attempt 2");
  }

  @Test
  void an_attempt_that_was_ended_while_its_worker_was_away_is_cancelled_when_that_is_back()
      throws Exception {
    worker.welcomesWith(Welcome.newBuilder().setLingerMs(60_000));
    WorkerSession session = subtask.welcomed();
    Lane lane = lanes.take("\"a\"");
    runs.onInput(lane, input(lane));
    subtask.sessions.flush();
    Peer peer = worker.peer();
    long handle = peer.frame().getInvokes(0).getHandle();
    worker.rejects(Reject.Reason.OVERLOADED, "not now");
    peer.breakOff();
    subtask.next(SessionEvent.Interrupted.class);
    // Its limit of a millisecond, and then the grace that a worker has.
    for (long end = System.nanoTime() + 20_000_000_000L; runs.waitingForRetryCount() == 0; ) {
      assertThat(System.nanoTime()).isLessThan(end);
      Thread.sleep(100);
      clock.advance(500);
    }
    worker.welcomesAgain();
    SessionEvent.Welcomed back = subtask.next(SessionEvent.Welcomed.class);
    assertThat(back.resumes()).isSameAs(session);
    runs.invokes().resume(session, back.session());
    subtask.sessions.flush();
    assertThat(worker.lastPeer().frame().getCancelsList())
        .containsExactly(
            Cancel.newBuilder().addHandles(handle).setReason(Cancel.Reason.TIMEOUT).build());
  }
}
