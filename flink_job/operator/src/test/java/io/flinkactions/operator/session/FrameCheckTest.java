package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.ContentType;
import io.flinkactions.wire.v1.Results;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class FrameCheckTest {
  private static final ByteString VERSION = ByteString.copyFromUtf8("version1");

  /** Two results: the first with two events, the second with one event and three changes. */
  private static Results.Builder whole() {
    return Results.newBuilder()
        .addHandle(1)
        .addHandle(2)
        .addEventCount(2)
        .addEventCount(1)
        .addSensoryCount(0)
        .addSensoryCount(1)
        .addShortTermCount(0)
        .addShortTermCount(2)
        .addMemoryBase(ByteString.EMPTY)
        .addMemoryVersion(VERSION)
        .addEventType("a")
        .addEventType("b")
        .addEventType("c")
        .addEventPayload(VERSION)
        .addEventPayload(VERSION)
        .addEventPayload(VERSION)
        .addMemoryPath("x")
        .addMemoryPath("y")
        .addMemoryPath("z")
        .addMemoryValue(VERSION)
        .addMemoryValue(VERSION)
        .addMemoryValue(ByteString.EMPTY);
  }

  @Test
  void columns_that_fit_pass() {
    assertThat(FrameCheck.complaintAbout(whole().build())).isNull();
    assertThat(FrameCheck.complaintAbout(Results.newBuilder().addHandle(7).build())).isNull();
    assertThat(FrameCheck.complaintAbout(Results.getDefaultInstance())).isNull();
  }

  static Stream<Consumer<Results.Builder>> breakages() {
    return Stream.of(
        results -> results.addHandle(3),
        results -> results.addEventCount(0),
        results -> results.setEventCount(0, 5),
        results -> results.setEventCount(0, -1),
        results -> results.addEventType("d"),
        results -> results.addEventPayload(VERSION),
        results -> results.addEventContentType(ContentType.BYTES),
        results -> results.addSensoryCount(0),
        results -> results.setSensoryCount(0, 1),
        results -> results.addShortTermCount(0),
        results -> results.setShortTermCount(1, 1),
        results -> results.addMemoryPath("w"),
        results -> results.addMemoryValue(VERSION),
        results -> results.clearMemoryBase(),
        results -> results.addMemoryVersion(VERSION),
        results -> results.clearShortTermCount(),
        results -> results.addRanMs(5));
  }

  @ParameterizedTest
  @MethodSource("breakages")
  void each_way_to_break_a_column_is_found(Consumer<Results.Builder> breakage) {
    Results.Builder results = whole();
    breakage.accept(results);
    assertThat(FrameCheck.complaintAbout(results.build())).isNotNull();
  }
}
