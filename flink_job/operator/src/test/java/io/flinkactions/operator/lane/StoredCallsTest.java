package io.flinkactions.operator.lane;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.OldestFlinkOnly;
import io.flinkactions.operator.lane.StoredCalls.PendingCall;
import io.flinkactions.operator.metrics.OperatorMetrics;
import io.flinkactions.operator.session.UnconnectedSession;
import io.flinkactions.operator.session.WorkerSession;
import io.flinkactions.operator.store.ActionStateStore;
import io.flinkactions.operator.store.KafkaBroker;
import io.flinkactions.operator.store.StoreOwner;
import io.flinkactions.operator.store.StoreSettings;
import io.flinkactions.wire.v1.CallPlace;
import io.flinkactions.wire.v1.CallRecord;
import io.flinkactions.wire.v1.ContentType;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.apache.flink.metrics.groups.UnregisteredMetricsGroup;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What lanes do with the store, against a real broker. No worker is there to be told. */
@OldestFlinkOnly
class StoredCallsTest {

  private static final CallPlace PLACE = CallPlace.newBuilder().setIndex(0).build();
  private static final int LIMIT = 10_000;
  private static final long HANDLE = 1;

  private final Lane lane = new Lane("\"k\"", 0, ByteString.EMPTY);
  private final Invocation invocation = new Invocation("act", 0, 0, null);
  private final WorkerSession session = UnconnectedSession.open();
  private final Semaphore wakes = new Semaphore(0);
  private StoreSettings settings;
  private ActionStateStore<PendingCall> store;
  private StoredCalls calls;

  @BeforeEach
  void start() throws Exception {
    settings =
        StoreSettings.kafka(KafkaBroker.shared().address(), "calls-" + UUID.randomUUID())
            .withPartitions(1, 1)
            .withLimits(LIMIT, 1 << 20);
    store = open(1);
    Lanes lanes = new Lanes(new OneRunEach(), 1, false);
    calls =
        new StoredCalls(
            store,
            lanes,
            new OperatorMetrics(new UnregisteredMetricsGroup(), () -> null),
            key -> 5);
    lane.add(new Input(0, ByteString.EMPTY, ContentType.JSON, false, 0, null));
    invocation.identify(new byte[] {1, 2, 3, 4});
    Run run = new Run(lane.firstInput(), "job", new byte[16], ByteString.EMPTY, 1);
    run.add(invocation);
    lane.begin(run);
    invocation.onSent(session, HANDLE, 0);
  }

  /** State in which every key has had one run, and it is over. */
  private static final class OneRunEach implements LaneStore {
    @Override
    public Lane load(String key) {
      return new Lane(key, 1, ByteString.EMPTY);
    }

    @Override
    public void write(Lane lane) {}

    @Override
    public void onDropped(Lane lane) {}
  }

  @AfterEach
  void stop() {
    store.close();
  }

  private ActionStateStore<PendingCall> open(long epoch) throws Exception {
    return ActionStateStore.open(
        settings,
        new StoreOwner("job", "uid", 0, 128, 0, 127, epoch),
        List.of(),
        true,
        wakes::release);
  }

  private static CallRecord completed(String value) {
    return CallRecord.newBuilder()
        .setPlace(PLACE)
        .setFunctionId("pay")
        .setValue(ByteString.copyFromUtf8(value))
        .build();
  }

  private static CallRecord started(String function) {
    return CallRecord.newBuilder()
        .setPlace(PLACE)
        .setFunctionId(function)
        .setStartedOnly(true)
        .build();
  }

  private void write(CallRecord record) {
    assertThat(calls.write(lane, session, HANDLE, record)).isTrue();
  }

  /** Waits until all that was sent has arrived and was looked at; the run is over by then. */
  private void settle() throws Exception {
    lane.run().removeCurrent();
    calls.applyWritten();
    while (store.bytesInFlight() > 0) {
      assertThat(wakes.tryAcquire(30, TimeUnit.SECONDS)).isTrue();
      calls.applyWritten();
    }
  }

  private List<CallRecord> foundByTheNextStart() throws Exception {
    try (ActionStateStore<PendingCall> next = open(2)) {
      return next.take(invocation.idBytes()).stream()
          .map(ActionStateStore.RecordedCall::call)
          .toList();
    }
  }

  @Test
  void a_call_dropped_on_its_way_does_not_end_the_record_of_the_next_attempt() throws Exception {
    write(completed("the failure"));
    calls.drop(lane, List.of(PLACE));
    write(completed("of the next attempt"));
    settle();
    assertThat(foundByTheNextStart()).containsExactly(completed("of the next attempt"));
  }

  @Test
  void a_call_dropped_while_there_is_little_room_ends_before_the_next_attempt_records_it()
      throws Exception {
    write(completed("the failure"));
    while (store.poll() == null) {
      assertThat(wakes.tryAcquire(30, TimeUnit.SECONDS)).isTrue();
    }
    invocation.restoreCalls(
        List.of(completed("the failure").toByteString()), List.of(store.epoch()));
    CallPlace other = CallPlace.newBuilder().setIndex(1).build();
    write(completed("x".repeat(LIMIT)).toBuilder().setPlace(other).build());
    calls.drop(lane, List.of(PLACE));
    write(completed("of the next attempt"));
    settle();
    assertThat(foundByTheNextStart()).contains(completed("of the next attempt"));
  }

  @Test
  void a_call_dropped_on_its_way_is_not_found_by_the_next_start() throws Exception {
    write(completed("the failure"));
    calls.drop(lane, List.of(PLACE));
    settle();
    assertThat(foundByTheNextStart()).isEmpty();
  }

  @Test
  void a_start_that_is_sent_again_on_its_way_is_acknowledged_once() throws Exception {
    write(started("pay"));
    long once = store.bytesInFlight();
    // With the acknowledgement of the first.
    write(started("pay"));
    assertThat(store.bytesInFlight()).isEqualTo(once);
    write(started("another"));
    assertThat(store.bytesInFlight()).isGreaterThan(once);
    settle();
  }

  @Test
  void a_start_that_is_sent_again_and_is_stored_is_acknowledged_at_once() throws Exception {
    invocation.restoreCalls(List.of(started("pay").toByteString()), List.of(store.epoch()));
    assertThat(calls.write(lane, session, HANDLE, started("pay"))).isFalse();
    assertThat(store.bytesInFlight()).isZero();
    write(started("another"));
    settle();
  }

  @Test
  void what_was_recorded_of_runs_that_are_over_in_state_does_not_hold_the_marker()
      throws Exception {
    write(completed("of run 0"));
    ByteString openRun = ByteString.copyFrom(new byte[] {9});
    store.write(lane.keyBytes(), 5, 1, openRun, completed("of run 1"), null);
    settle();
    try (ActionStateStore<PendingCall> next = open(2)) {
      Lanes lanes = new Lanes(new OneRunEach(), 1, false);
      OperatorMetrics metrics = new OperatorMetrics(new UnregisteredMetricsGroup(), () -> null);
      long before = next.onSnapshot(1).getMarkers(0).getOffset();
      new StoredCalls(next, lanes, metrics, key -> 5).onRestored();
      assertThat(next.take(invocation.idBytes())).isEmpty();
      assertThat(next.onSnapshot(2).getMarkers(0).getOffset()).isGreaterThan(before);
      assertThat(next.take(openRun)).hasSize(1);
    }
  }
}
