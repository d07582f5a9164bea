package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;

/** An agent with a call that is rate limited twice, and one before it that goes well. */
final class RateLimited {

  private RateLimited() {}

  /**
   * Its source.
   *
   * @param options of its action, beside its attempts
   */
  static String agent(String options) {
    return """
    from flink_actions import Agent, OutputEvent, RetryableError, action

    calls = {"fine": 0, "limited": 0}

    async def fine(k):
        calls["fine"] += 1
        return k

    async def limited(k):
        calls["limited"] += 1
        if calls["limited"] < 3:
            raise RetryableError("429", after=0.05)
        return k

    class Limited(Agent):
        @action("_input_event", max_attempts=5, backoff=0.01%s)
        async def work(self, event, ctx):
            await ctx.durable_execute_async(fine, 1)
            await ctx.durable_execute_async(limited, 1)
            ctx.send_event(OutputEvent(output={"k": 0, "i": 0, **calls}))

    agent = Limited()
    """
        .formatted(options);
  }

  /** What ended an attempt was called again, and what went well was not. */
  static void assertCalledAsOften(List<String> outputs) {
    assertThat(outputs).hasSize(1);
    assertThat(OrderTest.number(outputs.get(0), "\"fine\":")).isEqualTo(1);
    assertThat(OrderTest.number(outputs.get(0), "\"limited\":")).isEqualTo(3);
  }
}
