package io.flinkactions.operator.lane;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.ContentType;
import io.flinkactions.wire.v1.Results;
import org.junit.jupiter.api.Test;

class ResultsCursorTest {

  private static ByteString text(String value) {
    return ByteString.copyFromUtf8(value);
  }

  @Test
  void columns_that_are_left_out_are_zeros() {
    ResultsCursor cursor =
        new ResultsCursor(Results.newBuilder().addHandle(7).addHandle(9).build());
    assertThat(cursor.next()).isTrue();
    assertThat(cursor.handle()).isEqualTo(7);
    assertThat(cursor.eventCount()).isZero();
    assertThat(cursor.changesMemory()).isFalse();
    assertThat(cursor.ranMillis()).isZero();
    assertThat(cursor.next()).isTrue();
    assertThat(cursor.handle()).isEqualTo(9);
    assertThat(cursor.next()).isFalse();
  }

  @Test
  void each_result_finds_its_own_events_changes_and_versions() {
    Results results =
        Results.newBuilder()
            // The first has two events and no change, the second one of each sort, the third two
            // short-term changes.
            .addHandle(1)
            .addHandle(2)
            .addHandle(3)
            .addEventCount(2)
            .addEventCount(1)
            .addEventCount(0)
            .addSensoryCount(0)
            .addSensoryCount(1)
            .addSensoryCount(0)
            .addShortTermCount(0)
            .addShortTermCount(1)
            .addShortTermCount(2)
            .addEventType("a")
            .addEventType("b")
            .addEventType("c")
            .addEventPayload(text("pa"))
            .addEventPayload(text("pb"))
            .addEventPayload(text("pc"))
            .addMemoryBase(text("base2"))
            .addMemoryBase(text("base3"))
            .addMemoryVersion(text("new2"))
            .addMemoryVersion(text("new3"))
            .addMemoryPath("s")
            .addMemoryPath("t")
            .addMemoryPath("u")
            .addMemoryPath("v")
            .addMemoryValue(text("1"))
            .addMemoryValue(text("2"))
            .addMemoryValue(text("3"))
            .addMemoryValue(text("4"))
            .build();
    ResultsCursor cursor = new ResultsCursor(results);

    cursor.next();
    assertThat(cursor.changesMemory()).isFalse();
    assertThat(cursor.eventType(1)).isEqualTo("b");
    assertThat(cursor.eventContentType(1)).isEqualTo(ContentType.JSON);

    cursor.next();
    assertThat(cursor.eventType(0)).isEqualTo("c");
    assertThat(cursor.eventPayload(0)).isEqualTo(text("pc"));
    assertThat(cursor.memoryBase()).isEqualTo(text("base2"));
    assertThat(cursor.memoryVersion()).isEqualTo(text("new2"));
    assertThat(cursor.paths().subList(cursor.sensoryFrom(), cursor.shortTermFrom()))
        .containsExactly("s");
    assertThat(cursor.paths().subList(cursor.shortTermFrom(), cursor.changesTo()))
        .containsExactly("t");

    cursor.next();
    assertThat(cursor.eventCount()).isZero();
    assertThat(cursor.memoryBase()).isEqualTo(text("base3"));
    assertThat(cursor.paths().subList(cursor.shortTermFrom(), cursor.changesTo()))
        .containsExactly("u", "v");
    assertThat(cursor.next()).isFalse();
  }
}
