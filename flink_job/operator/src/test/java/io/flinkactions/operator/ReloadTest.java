package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.LongStream;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.junit.jupiter.api.Test;

class ReloadTest {

  private static final int RELOADS = 5;
  private static final int KEYS = 200;
  private static final long MORE_THAN_ENOUGH = 1_000_000;

  // Inputs come until all reloads are over, however long those take.
  private static final AtomicBoolean OVER = new AtomicBoolean();
  private static final AtomicLong INPUTS = new AtomicLong();

  /** Each output says which code its run began with, which it ended with, and when. */
  private static String agent(int version) {
    return """
    import asyncio, random, time
    from flink_actions import Agent, Event, OutputEvent, action

    VERSION = %d

    class Versioned(Agent):
        @action("_input_event")
        async def begin(self, event, ctx):
            await asyncio.sleep(random.random() * 0.06)
            ctx.send_event(Event(type="half", attributes={"input": event.input, "began": VERSION}))

        @action("half")
        async def end(self, event, ctx):
            await asyncio.sleep(random.random() * 0.06)
            attributes = event.attributes
            ctx.send_event(OutputEvent(output={
                **attributes["input"], "began": attributes["began"], "ended": VERSION,
                "at": int(time.time() * 1000)}))

    agent = Versioned()
    """
        .formatted(version);
  }

  @Test
  void code_that_is_reloaded_under_load_loses_no_input_and_no_run_meets_both_versions()
      throws Exception {
    try (ActionServerProcess server =
        ActionServerProcess.serving(agent(0), "--reload", "--workers", "2")) {
      TestJob job =
          TestJob.at(server, "reload")
              .inputs(MORE_THAN_ENOUGH, KEYS)
              .before(ReloadTest::untilAllIsOver)
              .parallelism(2)
              .settings(settings -> settings.waitingBytes(20_000, 100_000_000))
              .start();
      job.awaitOutputs(KEYS);
      for (int version = 1; version <= RELOADS; version++) {
        Files.writeString(server.folder().resolve("agent.py"), agent(version));
        String ended = "\"ended\":" + version;
        job.await(
            Duration.ofSeconds(20),
            () -> job.outputs().stream().anyMatch(output -> output.contains(ended)),
            "an output of version " + version);
      }
      OVER.set(true);
      List<String> outputs = job.awaitFinished();

      assertThat(outputs).hasSize((int) INPUTS.get());
      Map<Long, List<Long>> byKey = OrderTest.indicesByKey(outputs);
      assertThat(byKey).hasSize(KEYS);
      byKey.forEach(
          (key, indices) ->
              assertThat(indices)
                  .as("key %d", key)
                  .isEqualTo(LongStream.range(0, indices.size()).boxed().toList()));
      assertThat(job.restarts()).isZero();
      assertThat(outputs)
          .allSatisfy(
              output ->
                  assertThat(OrderTest.number(output, "\"ended\":"))
                      .as(output)
                      .isEqualTo(OrderTest.number(output, "\"began\":")));
      List<Long> gaps = gapsOfKeys(outputs);
      System.out.printf(
          "between outputs of a key over %d reloads: median %d ms, p99 %d ms, longest %d ms%n",
          RELOADS,
          gaps.get(gaps.size() / 2),
          gaps.get(gaps.size() * 99 / 100),
          gaps.get(gaps.size() - 1));
    }
  }

  private static DataStream<String> untilAllIsOver(DataStream<String> inputs) {
    return inputs.filter(text -> !OVER.get() && INPUTS.incrementAndGet() > 0).setParallelism(1);
  }

  /**
   * Time from one output of a key to the next, ascending: what a pause of the server would show in.
   */
  private static List<Long> gapsOfKeys(List<String> outputs) {
    Map<Long, Long> last = new HashMap<>();
    List<Long> gaps = new ArrayList<>();
    for (String output : outputs) {
      long at = OrderTest.number(output, "\"at\":");
      Long before = last.put(OrderTest.number(output, "\"k\":"), at);
      if (before != null) {
        gaps.add(at - before);
      }
    }
    gaps.sort(Comparator.naturalOrder());
    return gaps;
  }
}
