package io.flinkactions.operator.lane;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.CallPlace;
import io.flinkactions.wire.v1.CallRecord;
import io.flinkactions.wire.v1.CallStarted;
import io.flinkactions.wire.v1.ContentType;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class CallRecordsTest {

  private final CallRecords records = new CallRecords();

  private static CallPlace place(int index) {
    return CallPlace.newBuilder().setTask("0.1").setIndex(index).build();
  }

  private static CallStarted started(int index) {
    return CallStarted.newBuilder()
        .setHandle(7)
        .setPlace(place(index))
        .setFunctionId("m:f")
        .build();
  }

  private static CallRecord completed(int index, String value) {
    return CallRecord.newBuilder()
        .setHandle(7)
        .setPlace(place(index))
        .setFunctionId("m:f")
        .setValue(ByteString.copyFromUtf8(value))
        .setIsLast(true)
        .build();
  }

  private List<String> values() {
    return records.all().stream()
        .map(record -> record.getStartedOnly() ? "started" : record.getValue().toStringUtf8())
        .toList();
  }

  @Test
  void an_end_follows_its_start_in_the_same_place_and_order_stays() {
    records.onStarted(CallRecords.ofStarted(started(0)));
    records.onStarted(CallRecords.ofStarted(started(1)));
    records.onCompleted(completed(1, "b"), true);
    records.onCompleted(completed(0, "a"), true);
    assertThat(values()).containsExactly("a", "b");
    assertThat(records.all()).allMatch(record -> record.getHandle() == 0 && !record.getIsLast());
  }

  @Test
  void what_comes_twice_is_there_once_and_a_late_start_does_not_undo_an_end() {
    records.onCompleted(completed(0, "a"), true);
    records.onStarted(CallRecords.ofStarted(started(0)));
    records.onCompleted(completed(0, "a"), true);
    assertThat(values()).containsExactly("a");
  }

  @Test
  void a_superseded_attempt_fills_gaps_and_changes_nothing() {
    records.onCompleted(completed(0, "second attempt"), true);
    records.onStarted(CallRecords.ofStarted(started(1)));
    records.onCompleted(completed(0, "first attempt"), false);
    records.onCompleted(completed(1, "first attempt"), false);
    records.onCompleted(completed(2, "first attempt"), false);
    assertThat(values()).containsExactly("second attempt", "first attempt", "first attempt");
  }

  @Test
  void what_is_dropped_is_gone_and_bytes_say_what_is_left() throws Exception {
    records.onCompleted(completed(0, "a".repeat(1_000)), true);
    long one = records.bytes();
    assertThat(one).isGreaterThan(1_000);
    records.onCompleted(completed(1, "b"), true);
    records.drop(place(0));
    records.drop(place(5));
    assertThat(values()).containsExactly("b");
    assertThat(records.bytes()).isLessThan(100);
    records.drop(place(1));
    assertThat(records.bytes()).isZero();
    assertThat(records.isEmpty()).isTrue();
  }

  @Test
  void state_brings_them_back() throws Exception {
    records.onCompleted(completed(1, "b"), true);
    records.onStarted(CallRecords.ofStarted(started(0)));
    assertThat(records.onStored(place(0), 7)).isZero();
    CallRecords restored =
        CallRecords.restore(
            records.all().stream().map(CallRecord::toByteString).toList(), List.of(0L, 7L));
    assertThat(restored.storedEpochs()).isEqualTo(Map.of(place(0), 7L));
    assertThat(restored.onStored(place(0), 8)).isEqualTo(7);
    assertThat(restored.drop(place(0))).isEqualTo(8);
    assertThat(restored.drop(place(1))).isZero();
    restored =
        CallRecords.restore(
            records.all().stream().map(CallRecord::toByteString).toList(), List.of());
    assertThat(restored.storedEpochs()).isEmpty();
    assertThat(restored.all()).containsExactlyElementsOf(records.all());
    assertThat(restored.bytes()).isEqualTo(records.bytes());
  }

  /** The worker goes by it when it reads the value. */
  @Test
  void a_value_keeps_its_content_type_in_its_lane_and_in_state() throws Exception {
    byte[] pickle = {(byte) 0x80, 5, 'N', '.'};
    records.onCompleted(
        completed(0, "").toBuilder()
            .setContentType(ContentType.PICKLE)
            .setValue(ByteString.copyFrom(pickle))
            .build(),
        true);
    // Of a worker that is younger than this operator.
    records.onCompleted(completed(1, "b").toBuilder().setContentTypeValue(99).build(), true);
    CallRecords restored =
        CallRecords.restore(
            records.all().stream().map(CallRecord::toByteString).toList(), List.of());
    assertThat(List.of(records, restored))
        .allSatisfy(
            kept -> {
              assertThat(kept.all())
                  .extracting(CallRecord::getContentTypeValue)
                  .containsExactly(ContentType.PICKLE_VALUE, 99);
              assertThat(kept.at(place(0)).getValue().toByteArray()).isEqualTo(pickle);
            });
  }
}
