package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.List;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.junit.jupiter.api.Test;

class IdleInputTest {

  /** A watermark after each record, and IDLE right behind that of the last. */
  private static final class IdleAfter implements WatermarkGenerator<Long> {
    private final long last;

    IdleAfter(long last) {
      this.last = last;
    }

    @Override
    public void onEvent(Long event, long timestamp, WatermarkOutput output) {
      output.emitWatermark(new Watermark(timestamp));
      if (event == last) {
        output.markIdle();
      }
    }

    @Override
    public void onPeriodicEmit(WatermarkOutput output) {}
  }

  @Test
  void an_input_gone_idle_loses_no_watermark_that_was_held() throws Exception {
    String slow =
        """
        import asyncio
        from flink_actions import Agent, OutputEvent, action

        class Slow(Agent):
            @action("_input_event")
            async def work(self, event, ctx):
                # The first of all holds back every watermark; then the input is idle already.
                await asyncio.sleep(1.0 if event.input["k"] == 0 and event.input["i"] == 0 else 0.01)
                ctx.send_event(OutputEvent(output=event.input))

        agent = Slow()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(slow)) {
      // The last 10 records come 1.5 s later, when the input is active again.
      WatermarkStrategy<Long> watermarks =
          WatermarkStrategy.<Long>forGenerator(context -> new IdleAfter(89))
              .withTimestampAssigner((n, previous) -> n);
      List<String> outputs =
          TestJob.at(server, "idle")
              .inputs(100, 10)
              .pausesBefore(90, Duration.ofMillis(1_500))
              .watermarks(watermarks)
              .afterwards(UnmatchedInputTest::showWatermark)
              .start()
              .awaitFinished();
      assertThat(outputs).hasSize(100);
      // Each of the last ten sees at least the watermark that was held when the input went idle.
      List<String> late =
          outputs.stream().filter(output -> OrderTest.number(output, "@") >= 90).toList();
      assertThat(late)
          .hasSize(10)
          .allSatisfy(
              output ->
                  assertThat(OrderTest.number(output, "/")).as(output).isGreaterThanOrEqualTo(89));
    }
  }
}
