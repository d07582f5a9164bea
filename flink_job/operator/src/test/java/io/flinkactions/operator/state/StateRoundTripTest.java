package io.flinkactions.operator.state;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.lane.Input;
import io.flinkactions.operator.lane.Invocation;
import io.flinkactions.operator.lane.Invocation.SentEvent;
import io.flinkactions.operator.lane.Lane;
import io.flinkactions.operator.lane.Run;
import io.flinkactions.operator.state.v1.OperatorState;
import io.flinkactions.operator.state.v1.PartitionMarker;
import io.flinkactions.operator.state.v1.StoreState;
import io.flinkactions.operator.time.SegmentedWatermarks;
import io.flinkactions.wire.v1.CallRecord;
import io.flinkactions.wire.v1.ContentType;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.common.typeutils.base.array.BytePrimitiveArraySerializer;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.runtime.state.KeyedStateBackend;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.runtime.state.VoidNamespace;
import org.apache.flink.runtime.state.hashmap.HashMapStateBackend;
import org.apache.flink.state.rocksdb.EmbeddedRocksDBStateBackend;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@SuppressWarnings("try") // The harness's own close() throws Exception.
class StateRoundTripTest {

  private static final String KEY = "\"k\"";

  /** Has the operator's states, and nothing else of it. */
  private static final class StateCarrier extends AbstractStreamOperator<String>
      implements OneInputStreamOperator<String, String> {
    private static final long serialVersionUID = 1L;
    transient KeyedStates states;
    transient StartStore start;
    transient KeyedStateBackend<String> backend;
    long nowMillis;
    String jobIdentifier = "";
    boolean isIgnoringStore;
    StoreState store;
    byte[] foreignOperatorState;

    @Override
    public void initializeState(StateInitializationContext context) throws Exception {
      backend = getKeyedStateBackend();
      states = KeyedStates.of(backend, context.getKeyedStateStore(), MemoryTtl.NONE);
      start =
          StartStore.restore(
              context.getOperatorStateStore(),
              "test",
              jobIdentifier,
              "minted",
              isIgnoringStore,
              nowMillis);
    }

    @Override
    public void snapshotState(StateSnapshotContext context) throws Exception {
      states.memory().writeChanges();
      if (foreignOperatorState == null) {
        start.snapshot(start.epoch(), store);
      } else {
        ListState<byte[]> state =
            getOperatorStateBackend()
                .getUnionListState(
                    new ListStateDescriptor<>("operator", BytePrimitiveArraySerializer.INSTANCE));
        state.update(List.of(foreignOperatorState));
      }
    }

    @Override
    public void processElement(StreamRecord<String> element) {}
  }

  private final SegmentedWatermarks watermarks =
      new SegmentedWatermarks(
          new SegmentedWatermarks.Downstream() {
            @Override
            public void emitWatermark(long timestamp) {}

            @Override
            public void emitStatus(boolean isIdle) {}
          });

  private StateCarrier carrier = new StateCarrier();

  private KeyedOneInputStreamOperatorTestHarness<String, String, String> harness(
      boolean rocksDb, OperatorSubtaskState restored) throws Exception {
    KeyedOneInputStreamOperatorTestHarness<String, String, String> harness =
        new KeyedOneInputStreamOperatorTestHarness<>(carrier, text -> text, Types.STRING);
    harness.setStateBackend(
        rocksDb ? new EmbeddedRocksDBStateBackend() : new HashMapStateBackend());
    harness.setup();
    if (restored == null) {
      harness.initializeEmptyState();
    } else {
      harness.initializeState(restored);
    }
    harness.open();
    return harness;
  }

  private OperatorSubtaskState snapshotAndClose(
      KeyedOneInputStreamOperatorTestHarness<String, String, String> harness) throws Exception {
    OperatorSubtaskState snapshot = harness.snapshot(1, 1);
    harness.close();
    long now = carrier.nowMillis;
    carrier = new StateCarrier();
    carrier.nowMillis = now;
    return snapshot;
  }

  private Input input(Lane lane, String text, Long timestamp) {
    return new Input(
        lane.takeRunNumber(),
        ByteString.copyFromUtf8(text),
        ContentType.JSON,
        timestamp != null,
        timestamp == null ? 0 : timestamp,
        watermarks.onArrived());
  }

  private static byte[] runId(String namespace, Lane lane, Input input) {
    return (namespace + lane.key() + input.runNumber())
        .getBytes(java.nio.charset.StandardCharsets.UTF_8);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void a_lane_in_the_middle_of_a_run_comes_back_as_it_was(boolean rocksDb) throws Exception {
    try (var harness = harness(rocksDb, null)) {
      Lane lane = carrier.states.lanes().load(KEY);
      lane.setMemoryVersion(ByteString.copyFromUtf8("version1"));
      Input first = input(lane, "one", -5L);
      lane.add(first);
      lane.add(input(lane, "two", null));
      Run run =
          new Run(
              first,
              "space",
              runId("space", lane, first),
              ByteString.copyFromUtf8("generation"),
              3);
      SentEvent event =
          new SentEvent(
              "second",
              ByteString.copyFromUtf8("{}"),
              ContentType.JSON,
              ByteString.copyFromUtf8("source"),
              4,
              "sender",
              ByteString.copyFromUtf8("upstream"));
      // Cleared, though two workers have died of nobody knows whom; and named by the first.
      run.add(new Invocation("now", 1, 0, null).restoreCounts(2, 1, 3).restoreSuspicion(false));
      run.add(new Invocation("next", 2, 1, event).restoreCounts(1, 0, 1).restoreSuspicion(true));
      run.writeSensory(List.of("s"), List.of(ByteString.copyFromUtf8("1")), 0, 1);
      lane.begin(run);
      carrier.states.lanes().write(lane);
      carrier
          .states
          .memory()
          .write(KEY, List.of("m.x"), List.of(ByteString.copyFromUtf8("7")), 0, 1);
      OperatorSubtaskState snapshot = snapshotAndClose(harness);

      try (var restored = harness(rocksDb, snapshot)) {
        assertThat(restored).isNotNull();
        assertThat(keysWithLanes()).containsExactly(KEY);
        Lane back = carrier.states.lanes().restore(KEY, watermarks, StateRoundTripTest::runId);
        assertThat(back.nextRunNumber()).isEqualTo(2);
        assertThat(back.memoryVersion().toStringUtf8()).isEqualTo("version1");
        Input one = back.firstInput();
        assertThat(one.payload().toStringUtf8()).isEqualTo("one");
        assertThat(one.hasTimestamp()).isTrue();
        assertThat(one.timestamp()).isEqualTo(-5);
        Input two = back.after(one);
        assertThat(two.payload().toStringUtf8()).isEqualTo("two");
        assertThat(two.hasTimestamp()).isFalse();
        assertThat(two.runNumber()).isEqualTo(1);
        assertThat(back.after(two)).isNull();

        Run run2 = back.run();
        assertThat(run2.namespace()).isEqualTo("space");
        assertThat(run2.id()).isEqualTo(run.id());
        assertThat(run2.generation().toStringUtf8()).isEqualTo("generation");
        assertThat(run2.nextOrdinal()).isEqualTo(3);
        assertThat(run2.sensory()).isEqualTo(Map.of("s", ByteString.copyFromUtf8("1")));
        Invocation now = run2.current();
        assertThat(now.action()).isEqualTo("now");
        assertThat(now.event()).isNull();
        assertThat(List.of(now.attempt(), now.failures(), now.deaths())).containsExactly(2, 1, 3);
        assertThat(now.isSent()).isFalse();
        assertThat(now.isSuspect()).isFalse();
        Invocation next = run2.after(now);
        assertThat(next.event()).isEqualTo(event);
        assertThat(next.isSuspect()).isTrue();
        assertThat(List.of(next.ordinal(), next.hops())).containsExactly(2, 1);
        assertThat(run2.after(next)).isNull();

        Map<String, String> memory = new HashMap<>();
        carrier.states.memory().read(KEY, (path, value) -> memory.put(path, value.toStringUtf8()));
        assertThat(memory).isEqualTo(Map.of("m.x", "7"));
      }
    }
  }

  @Test
  void a_run_that_only_asks_what_an_archive_has_kept_comes_back_as_an_input_that_waits()
      throws Exception {
    try (var harness = harness(false, null)) {
      Lane lane = carrier.states.lanes().load(KEY);
      Input first = input(lane, "one", 5L);
      lane.add(first);
      lane.add(input(lane, "two", null));
      ByteString old = ByteString.copyFromUtf8("generation");
      Run run = new Run(first, "space", runId("space", lane, first), old, 1);
      run.add(new Invocation("forgotten", 0, 0, null));
      run.beginTentatively();
      lane.begin(run);
      carrier.states.lanes().write(lane);
      OperatorSubtaskState snapshot = snapshotAndClose(harness);
      try (var restored = harness(false, snapshot)) {
        assertThat(restored).isNotNull();
        assertThat(keysWithLanes()).containsExactly(KEY);
        Lane back = carrier.states.lanes().restore(KEY, watermarks, StateRoundTripTest::runId);
        assertThat(back.run()).isNull();
        assertThat(back.firstInput().payload().toStringUtf8()).isEqualTo("one");
        assertThat(back.firstInput().runNumber()).isZero();
        assertThat(back.after(back.firstInput()).payload().toStringUtf8()).isEqualTo("two");
        assertThat(back.nextRunNumber()).isEqualTo(2);
      }
    }
  }

  @Test
  void a_run_of_which_an_archive_has_kept_calls_comes_back_as_a_run() throws Exception {
    try (var harness = harness(false, null)) {
      Lane lane = carrier.states.lanes().load(KEY);
      Input first = input(lane, "one", null);
      lane.add(first);
      ByteString old = ByteString.copyFromUtf8("generation");
      Run run = new Run(first, "space", runId("space", lane, first), old, 1);
      CallRecord call = CallRecord.newBuilder().setFunctionId("pay").build();
      run.add(
          new Invocation("forgotten", 0, 0, null)
              .restoreCalls(List.of(call.toByteString()), List.of()));
      run.beginTentatively();
      lane.begin(run);
      carrier.states.lanes().write(lane);
      OperatorSubtaskState snapshot = snapshotAndClose(harness);
      try (var restored = harness(false, snapshot)) {
        assertThat(restored).isNotNull();
        Lane back = carrier.states.lanes().restore(KEY, watermarks, StateRoundTripTest::runId);
        assertThat(back.run().current().callRecords()).containsExactly(call);
      }
    }
  }

  private List<String> keysWithLanes() {
    return carrier.backend.getKeys(KeyedStates.LANE, VoidNamespace.INSTANCE).toList();
  }

  @Test
  void a_finished_lane_leaves_its_run_number_and_nothing_else() throws Exception {
    try (var harness = harness(false, null)) {
      Lane lane = carrier.states.lanes().load(KEY);
      for (int i = 0; i < 5; i++) {
        lane.add(input(lane, "x" + i, null));
      }
      carrier.states.lanes().write(lane);
      lane.removeFirstInput();
      lane.removeFirstInput();
      carrier.states.lanes().write(lane);
      assertThat(inputEntries(lane)).containsExactly(2L, 3L, 4L);
      while (lane.isActive()) {
        lane.removeFirstInput();
      }
      carrier.states.lanes().write(lane);
      assertThat(inputEntries(lane)).isEmpty();
      OperatorSubtaskState snapshot = snapshotAndClose(harness);
      try (var restored = harness(false, snapshot)) {
        assertThat(restored).isNotNull();
        assertThat(keysWithLanes()).isEmpty();
        assertThat(carrier.states.lanes().load(KEY).nextRunNumber()).isEqualTo(5);
      }
    }
  }

  private List<Long> inputEntries(Lane lane) throws Exception {
    List<Long> numbers = new ArrayList<>();
    carrier.states.lanes().inputNumbers(lane.key()).forEach(numbers::add);
    return numbers;
  }

  @Test
  void inputs_that_came_and_went_between_two_snapshots_were_never_in_state() throws Exception {
    try (var harness = harness(false, null)) {
      assertThat(harness).isNotNull();
      Lane lane = carrier.states.lanes().load(KEY);
      lane.add(input(lane, "a", null));
      carrier.states.lanes().write(lane);
      for (int i = 0; i < 10; i++) {
        lane.add(input(lane, "b", null));
        lane.removeFirstInput();
      }
      carrier.states.lanes().write(lane);
      assertThat(inputEntries(lane)).containsExactly(10L);
    }
  }

  @Test
  void an_epoch_is_above_every_one_before_it_though_the_clock_went_back() throws Exception {
    carrier.nowMillis = 1_000;
    OperatorSubtaskState snapshot = snapshotAndClose(harness(false, null));
    carrier.nowMillis = 500;
    try (var restored = harness(false, snapshot)) {
      assertThat(restored).isNotNull();
      assertThat(carrier.start.epoch()).isEqualTo(1_001);
    }
  }

  @Test
  void a_restored_namespace_beats_a_minted_one_and_job_identifier_beats_both() throws Exception {
    carrier.jobIdentifier = "first";
    OperatorSubtaskState snapshot = snapshotAndClose(harness(false, null));
    try (var restored = harness(false, snapshot)) {
      assertThat(restored).isNotNull();
      assertThat(carrier.start.namespace()).isEqualTo("first");
    }
    carrier = new StateCarrier();
    carrier.jobIdentifier = "set";
    try (var restored = harness(false, snapshot)) {
      assertThat(restored).isNotNull();
      assertThat(carrier.start.namespace()).isEqualTo("set");
    }
    carrier = new StateCarrier();
    try (var fresh = harness(false, null)) {
      assertThat(fresh).isNotNull();
      assertThat(carrier.start.namespace()).isEqualTo("minted");
    }
  }

  @Test
  void a_job_that_ignores_the_store_has_a_namespace_that_nobody_had_before() throws Exception {
    carrier.jobIdentifier = "first";
    OperatorSubtaskState snapshot = snapshotAndClose(harness(false, null));
    carrier.isIgnoringStore = true;
    try (var restored = harness(false, snapshot)) {
      assertThat(restored).isNotNull();
      assertThat(carrier.start.namespace()).isEqualTo("minted");
    }
    carrier = new StateCarrier();
    carrier.isIgnoringStore = true;
    carrier.jobIdentifier = "first";
    try (var restored = harness(false, snapshot)) {
      assertThat(restored).isNotNull();
      assertThat(carrier.start.namespace()).isEqualTo("first/minted");
    }
  }

  @Test
  void how_far_the_store_is_known_comes_back() throws Exception {
    carrier.store =
        StoreState.newBuilder()
            .setTopicId("topic")
            .addMarkers(PartitionMarker.newBuilder().setPartition(3).setOffset(77))
            .build();
    StoreState store = carrier.store;
    OperatorSubtaskState snapshot = snapshotAndClose(harness(false, null));
    try (var restored = harness(false, snapshot)) {
      assertThat(restored).isNotNull();
      assertThat(carrier.start.restoredStores()).containsExactly(store);
    }
    snapshot = snapshotAndClose(harness(false, null));
    try (var restored = harness(false, snapshot)) {
      assertThat(restored).isNotNull();
      assertThat(carrier.start.restoredStores()).isEmpty();
    }
  }

  @Test
  void a_format_that_this_operator_cannot_read_is_refused_with_the_versions_and_the_way_out()
      throws Exception {
    carrier.foreignOperatorState =
        OperatorState.newBuilder()
            .setFormatVersion(9)
            .setMinReaderVersion(8)
            .setWrittenBy("7.0.0")
            .build()
            .toByteArray();
    OperatorSubtaskState snapshot = snapshotAndClose(harness(false, null));
    assertThatThrownBy(() -> harness(false, snapshot))
        .hasStackTraceContaining("StateFormatException")
        .hasStackTraceContaining("state format 9")
        .hasStackTraceContaining("7.0.0")
        .hasStackTraceContaining("reads format 8")
        .hasStackTraceContaining("or a newer one");
  }
}
