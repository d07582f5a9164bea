package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.failure.DeadLetter;
import java.util.List;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PoisonTest {

  private static final String POISON =
      """
      import asyncio, os
      from flink_actions import Agent, OutputEvent, action

      class Poison(Agent):
          @action("_input_event")
          async def work(self, event, ctx):
              await asyncio.sleep(0.3)
              if event.input["k"] == 500:
                  os.abort()
              await asyncio.sleep(0.7)
              ctx.send_event(OutputEvent(output=event.input))

      agent = Poison()
      """;

  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void of_a_thousand_only_the_one_that_kills_its_worker_is_dead_lettered(int parallelism)
      throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(POISON)) {
      TestJob job =
          TestJob.at(server, "poison-" + parallelism)
              .inputs(1_000, 1_000)
              .parallelism(parallelism)
              .afterwards(
                  outputs ->
                      outputs.union(
                          ((SingleOutputStreamOperator<String>) outputs)
                              .getSideOutput(DeadLetter.TAG)))
              .start();
      List<String> all = job.awaitFinished();
      assertThat(job.restarts()).isZero();
      List<String> letters = all.stream().filter(text -> text.startsWith("{\"agent\"")).toList();
      assertThat(letters).hasSize(1);
      assertThat(letters.get(0))
          .contains("\"input\":{\"k\":500,", "\"class\":\"WorkerDied\"", "\"worker_deaths\":3");
      List<String> answers = all.stream().filter(text -> !text.startsWith("{\"agent\"")).toList();
      assertThat(OrderTest.indicesByKey(answers)).hasSize(999);
      assertThat(answers).hasSize(999);
    }
  }
}
