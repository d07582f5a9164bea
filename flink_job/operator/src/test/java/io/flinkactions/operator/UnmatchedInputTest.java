package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.List;
import java.util.stream.LongStream;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.util.Collector;
import org.junit.jupiter.api.Test;

class UnmatchedInputTest {

  /** Says after each record how far event time has come behind the operator. */
  private static final class ShowWatermark extends ProcessFunction<String, String> {
    private static final long serialVersionUID = 1L;

    @Override
    public void processElement(String value, Context context, Collector<String> out) {
      out.collect(
          value + "@" + context.timestamp() + "/" + context.timerService().currentWatermark());
    }
  }

  private static final class AfterEachRecord implements WatermarkGenerator<Long> {
    @Override
    public void onEvent(Long event, long timestamp, WatermarkOutput output) {
      output.emitWatermark(new Watermark(timestamp));
    }

    @Override
    public void onPeriodicEmit(WatermarkOutput output) {}
  }

  static WatermarkStrategy<Long> watermarkAfterEachRecord() {
    return WatermarkStrategy.<Long>forGenerator(context -> new AfterEachRecord())
        .withTimestampAssigner((n, previous) -> n);
  }

  static DataStream<String> showWatermark(DataStream<String> outputs) {
    return outputs.process(new ShowWatermark());
  }

  @Test
  void inputs_that_trigger_nothing_hold_up_neither_their_key_nor_the_watermark() throws Exception {
    String nothing =
        """
        from flink_actions import Agent, OutputEvent, action

        class Deaf(Agent):
            @action("never_sent")
            async def never(self, event, ctx):
                ctx.send_event(OutputEvent(output="no"))

        agent = Deaf()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(nothing)) {
      List<String> outputs =
          TestJob.at(server, "deaf")
              .inputs(50_000, 3)
              .watermarks(watermarkAfterEachRecord())
              .start()
              .awaitFinished();
      assertThat(outputs).isEmpty();
    }
  }

  @Test
  void an_action_that_sends_nothing_lets_the_next_input_of_its_key_start() throws Exception {
    String everyThird =
        """
        import asyncio
        from flink_actions import Agent, OutputEvent, action

        class EveryThird(Agent):
            @action("_input_event")
            async def maybe(self, event, ctx):
                await asyncio.sleep(0.001)
                if event.input["i"] % 3 == 0:
                    ctx.send_event(OutputEvent(output=event.input))

        agent = EveryThird()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(everyThird)) {
      List<String> outputs = TestJob.at(server, "third").inputs(90, 2).start().awaitFinished();
      assertThat(OrderTest.indicesByKey(outputs))
          .hasSize(2)
          .allSatisfy(
              (key, indices) ->
                  assertThat(indices)
                      .isEqualTo(LongStream.range(0, 15).mapToObj(i -> i * 3).toList()));
    }
  }

  @Test
  void an_output_carries_its_input_s_time_and_no_watermark_overtakes_it() throws Exception {
    String delays =
        """
        import asyncio, random
        from flink_actions import Agent, OutputEvent, action

        class Delays(Agent):
            @action("_input_event")
            async def work(self, event, ctx):
                await asyncio.sleep(random.random() * 0.01)
                ctx.send_event(OutputEvent(output=event.input))

        agent = Delays()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(delays)) {
      List<String> outputs =
          TestJob.at(server, "time")
              .inputs(2_000, 50)
              .watermarks(watermarkAfterEachRecord())
              .afterwards(UnmatchedInputTest::showWatermark)
              .start()
              .awaitFinished();
      assertThat(outputs).hasSize(2_000);
      long latest = Long.MIN_VALUE;
      for (String output : outputs) {
        long timestamp = OrderTest.number(output, "@");
        long watermark = OrderTest.number(output, "/");
        assertThat(timestamp)
            .isEqualTo(
                OrderTest.number(output, "\"i\":") * 50 + OrderTest.number(output, "\"k\":"));
        assertThat(watermark).as(output).isLessThan(timestamp);
        latest = Math.max(latest, watermark);
      }
      assertThat(latest).as("watermarks do leave while inputs come").isGreaterThan(0);
    }
  }

  @Test
  void without_a_server_the_job_waits_and_fails_with_the_address() throws Exception {
    TestJob job =
        TestJob.at("127.0.0.1:1", "nobody")
            .inputs(10, 2)
            .settings(settings -> settings.reconnectTimeout(Duration.ofSeconds(2)))
            .start();
    Throwable failure = job.awaitFailure();
    assertThat(failure)
        .hasStackTraceContaining("127.0.0.1:1")
        .hasStackTraceContaining("reconnect-timeout");
  }
}
