package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class OrderTest {

  private static final String RANDOM_DELAYS =
      """
      import asyncio, random
      from flink_actions import Agent, OutputEvent, action

      class Delays(Agent):
          @action("_input_event")
          async def work(self, event, ctx):
              await asyncio.sleep(random.random() * 0.02)
              ctx.send_event(OutputEvent(output=event.input))

      agent = Delays()
      """;

  /** Index of each output of each key, in the order they came out. */
  static Map<Long, List<Long>> indicesByKey(List<String> outputs) {
    Map<Long, List<Long>> byKey = new HashMap<>();
    for (String output : outputs) {
      long key = number(output, "\"k\":");
      byKey.computeIfAbsent(key, k -> new ArrayList<>()).add(number(output, "\"i\":"));
    }
    return byKey;
  }

  static long number(String json, String field) {
    int from = json.indexOf(field) + field.length();
    int to = from;
    while (to < json.length() && (Character.isDigit(json.charAt(to)) || json.charAt(to) == '-')) {
      to++;
    }
    return Long.parseLong(json.substring(from, to));
  }

  /** Every key has every index once, in order. */
  static void assertComplete(List<String> outputs, int keys, int perKey) {
    Map<Long, List<Long>> byKey = indicesByKey(outputs);
    assertThat(byKey).hasSize(keys);
    List<Long> expected = new ArrayList<>();
    for (long i = 0; i < perKey; i++) {
      expected.add(i);
    }
    byKey.forEach((key, indices) -> assertThat(indices).as("key %d", key).isEqualTo(expected));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 4})
  void each_key_s_inputs_come_out_in_order_whatever_their_actions_take(int parallelism)
      throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(RANDOM_DELAYS)) {
      List<String> outputs =
          TestJob.at(server, "order-" + parallelism)
              .inputs(100_000, 1_000)
              .parallelism(parallelism)
              .start()
              .awaitFinished();
      assertComplete(outputs, 1_000, 100);
    }
  }
}
