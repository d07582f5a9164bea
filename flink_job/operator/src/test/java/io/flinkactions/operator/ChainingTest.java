package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.datastream.DataStreamUtils;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.streaming.api.operators.ChainingStrategy;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;

/** A checkpoint taken while the operator waits must not cut another operator in two. */
@SuppressWarnings("try") // The harness's own close() throws Exception.
class ChainingTest {

  private final ActionOperatorFactory<String, String> factory =
      new ActionOperatorFactory<>(
          ActionSettings.builder("agent", List.of("127.0.0.1:1")).build(),
          new TestJob.JsonText(),
          new TestJob.JsonText());

  @Test
  void behind_a_stream_that_counts_as_keyed_it_begins_a_chain_whatever_is_asked() {
    factory.setChainingStrategy(ChainingStrategy.ALWAYS);
    StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment();
    environment.setParallelism(1);
    DataStreamUtils.reinterpretAsKeyedStream(
            environment.fromData("1", "2"), text -> text, Types.STRING)
        .transform("agent", Types.STRING, factory)
        .sinkTo(new DiscardingSink<>());
    // The source is one, the operator with the sink behind it is the other.
    assertThat(environment.getStreamGraph().getJobGraph().getNumberOfVertices()).isEqualTo(2);
  }

  @Test
  void it_does_not_open_behind_another_operator() throws Exception {
    try (var harness =
        new KeyedOneInputStreamOperatorTestHarness<String, String, String>(
            factory, text -> text, Types.STRING)) {
      assertThat(harness.getStreamConfig().isChainStart()).isFalse();
      assertThatThrownBy(harness::open)
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("is chained behind another")
          .hasMessageContaining("keyBy");
    }
  }
}
