package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.failure.DeadLetter;
import io.flinkactions.operator.failure.MissingAction;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A savepoint meets a server whose code has changed: each key's first run is in its second step,
 * which has paid, and all other inputs wait.
 */
class NewPlanTest {

  private static final int KEYS = 20;
  private static final int PER_KEY = 3;

  private static final String CALLS =
      """
      import asyncio, pathlib, time
      from flink_actions import Agent, Event, OutputEvent, action

      def pay(input):
          pathlib.Path(f"paid-{input['k']}-{input['i']}-{time.time_ns()}").touch()

      def note(input):
          pathlib.Path(f"noted-{input['k']}-{input['i']}").touch()

      """;

  private static final String FIRST =
      """
          @action("_input_event")
          async def first(self, event, ctx):
              ctx.send_event(Event(type="second", attributes=event.input))

      """;

  /** A second call begins when the record of the first is in the job's state. */
  private static final String SECOND =
      """
          @action("second"%s)
          async def %s(self, event, ctx):
              await ctx.durable_execute_async(pay, event.attributes)
              await ctx.durable_execute_async(note, event.attributes)
              %s
              ctx.send_event(OutputEvent(output={**event.attributes, "by": "second"}))

      """;

  private static final String ADDED =
      """
          @action("_input_event")
          async def added(self, event, ctx):
              ctx.send_event(OutputEvent(output={**event.input, "by": "added"}))

      """;

  @TempDir static Path folder;

  private static String savepoint;

  private static String agent(String... actions) {
    return CALLS + "class Steps(Agent):\n" + String.join("", actions) + "\nagent = Steps()\n";
  }

  private static String second(String options, String name, String wait) {
    return SECOND.formatted(options, name, wait);
  }

  private static TestJob.Builder job(ActionServerProcess server, String name) {
    return TestJob.at(server, name).inputs(KEYS * PER_KEY, KEYS);
  }

  @BeforeAll
  static void takeSavepointInTheSecondStep() throws Exception {
    String waiting = agent(FIRST, second("", "second", "await asyncio.sleep(3600)"));
    try (ActionServerProcess server = ActionServerProcess.serving(waiting)) {
      TestJob job = job(server, "before").start();
      job.await(Duration.ofSeconds(60), () -> server.fileCount("noted-") == KEYS, "second steps");
      savepoint = job.stopWithSavepoint(folder, false);
      assertThat(job.outputs()).isEmpty();
    }
  }

  private static TestJob restored(ActionServerProcess server, String name, MissingAction policy)
      throws Exception {
    return job(server, "new-plan-" + name)
        .from(savepoint)
        .settings(settings -> settings.missingAction(policy))
        .afterwards(NewPlanTest::withDeadLetters)
        .start();
  }

  private static DataStream<String> withDeadLetters(DataStream<String> outputs) {
    return outputs.union(
        ((SingleOutputStreamOperator<String>) outputs).getSideOutput(DeadLetter.TAG));
  }

  private static List<String> containing(String part, List<String> outputs) {
    return outputs.stream().filter(output -> output.contains(part)).toList();
  }

  @Test
  void an_added_action_takes_part_in_runs_that_begin_and_open_ones_go_on_as_they_began()
      throws Exception {
    String code = agent(ADDED, FIRST, second("", "second", "pass"));
    try (ActionServerProcess server = ActionServerProcess.serving(code)) {
      List<String> outputs = restored(server, "added", MissingAction.FAIL).awaitFinished();
      OrderTest.assertComplete(containing("\"second\"", outputs), KEYS, PER_KEY);
      assertThat(containing("\"added\"", outputs))
          .hasSize(KEYS * (PER_KEY - 1))
          .noneMatch(output -> output.contains("\"i\":0"));
    }
  }

  @Test
  void a_removed_action_fails_the_job_and_says_what_there_is_and_the_ways_out() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(agent(ADDED, FIRST))) {
      assertThat(restored(server, "removed", MissingAction.FAIL).awaitFailure())
          .hasStackTraceContaining("'second' under an earlier plan, and plan ")
          .hasStackTraceContaining(
              "of agent 'agent' has none of that name: it has 'added', 'first'")
          .hasStackTraceContaining("formerly=\"second\"")
          .hasStackTraceContaining("agent.missing-action to dead_letter or ignore");
    }
  }

  @Test
  void a_removed_action_is_dead_lettered_where_the_job_says_so_and_its_key_goes_on()
      throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(agent(ADDED))) {
      List<String> outputs =
          restored(server, "dead-lettered", MissingAction.DEAD_LETTER).awaitFinished();
      List<String> letters = containing("ActionIsGone", outputs);
      assertThat(letters)
          .hasSize(KEYS)
          .allMatch(letter -> letter.contains("\"action\":\"second\""))
          .allMatch(letter -> letter.contains("\"input\":{\"k\":"));
      assertThat(containing("\"by\"", outputs)).hasSize(KEYS * (PER_KEY - 1));
    }
  }

  @Test
  void a_removed_action_is_left_out_where_the_job_says_so() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(agent(ADDED))) {
      assertThat(restored(server, "ignored", MissingAction.IGNORE).awaitFinished())
          .hasSize(KEYS * (PER_KEY - 1))
          .allMatch(output -> output.contains("\"added\""));
    }
  }

  @Test
  void a_renamed_action_goes_on_where_the_old_one_was_and_pays_nothing_twice() throws Exception {
    String code = agent(FIRST, second(", formerly='second'", "renamed", "pass"));
    try (ActionServerProcess server = ActionServerProcess.serving(code)) {
      List<String> outputs = restored(server, "renamed", MissingAction.FAIL).awaitFinished();
      OrderTest.assertComplete(outputs, KEYS, PER_KEY);
      assertThat(server.fileCount("paid-")).isEqualTo(KEYS * (PER_KEY - 1));
    }
  }
}
