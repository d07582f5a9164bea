package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.failure.DeadLetter;
import java.util.List;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.junit.jupiter.api.Test;

class HopLimitTest {

  private static String endless(String onFailure) {
    return """
    from flink_actions import Agent, Event, OutputEvent, action

    class Endless(Agent):
        hop_limit = 5

        @action("_input_event", "again", on_failure="%s", max_attempts=3)
        async def act(self, event, ctx):
            hops = event.attributes.get("hops", 0)
            ctx.send_event(OutputEvent(output=hops))
            ctx.send_event(Event(type="again", attributes={"hops": hops + 1}))

    agent = Endless()
    """
        .formatted(onFailure);
  }

  @Test
  void an_endless_chain_fails_the_job_at_the_agent_s_limit_and_says_where_that_is_set()
      throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(endless("fail"))) {
      TestJob job = TestJob.at(server, "endless").inputs(1, 1).start();
      assertThat(job.awaitFailure())
          .hasStackTraceContaining("has chained 5 events, and event 'again' would chain another")
          .hasStackTraceContaining("raise hop_limit of agent 'agent'")
          .hasStackTraceContaining("agent.hop-limit");
      assertThat(job.outputs()).containsExactly("0", "1", "2", "3", "4");
    }
  }

  @Test
  void an_endless_chain_is_dead_lettered_where_its_action_says_so_and_the_key_goes_on()
      throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(endless("dead_letter"))) {
      List<String> outputs =
          TestJob.at(server, "endless-dead-letters")
              .inputs(2, 1)
              .afterwards(
                  stream ->
                      stream.union(
                          ((SingleOutputStreamOperator<String>) stream)
                              .getSideOutput(DeadLetter.TAG)))
              .start()
              .awaitFinished();
      List<String> letters =
          outputs.stream().filter(output -> output.contains("HopLimitExceeded")).toList();
      assertThat(letters).hasSize(2).allMatch(letter -> letter.contains("\"attempts\":1"));
      assertThat(outputs).hasSize(12);
    }
  }
}
