package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.apache.flink.api.common.JobStatus;
import org.junit.jupiter.api.Test;

class WorkerLossTest {

  private static String answering(String version) {
    return """
    import asyncio
    from flink_actions import Agent, Event, OutputEvent, action

    class Answering(Agent):
        @action("_input_event")
        async def first(self, event, ctx):
            await asyncio.sleep(0.01)
            memory = ctx.short_term_memory
            memory.set("n", memory.get("n", default=0) + 1)
            ctx.send_event(Event(type="second", attributes={"input": event.input, "n": memory["n"]}))

        @action("second")
        async def answer(self, event, ctx):
            await asyncio.sleep(0.01)
            ctx.send_event(OutputEvent(output={
                "k": event.attributes["input"]["k"], "i": event.attributes["input"]["i"],
                "n": event.attributes["n"], "version": "%s"}))

    agent = Answering()
    """
        .formatted(version);
  }

  private static TestJob.Builder job(ActionServerProcess server, String name) {
    return TestJob.at(server, name)
        .inputs(20_000, 100)
        .settings(settings -> settings.waitingBytes(20_000, 100_000_000));
  }

  private static void assertMemoryAgrees(List<String> outputs) {
    for (String output : outputs) {
      assertThat(OrderTest.number(output, "\"n\":"))
          .as(output)
          .isEqualTo(OrderTest.number(output, "\"i\":") + 1);
    }
  }

  @Test
  void a_server_stopped_and_started_with_other_code_restarts_no_job_and_the_new_code_answers()
      throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(answering("one"))) {
      TestJob job = job(server, "new-code").start();
      job.awaitOutputs(2_000);
      server.stop();
      server.start(answering("two"));
      List<String> outputs = job.awaitFinished();
      assertThat(job.restarts()).isZero();
      OrderTest.assertComplete(outputs, 100, 200);
      assertMemoryAgrees(outputs);
      assertThat(outputs.get(0)).contains("\"one\"");
      assertThat(outputs.get(outputs.size() - 1)).contains("\"two\"");
    }
  }

  @Test
  void a_server_that_is_killed_and_started_again_loses_and_doubles_nothing() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(answering("one"))) {
      TestJob job = job(server, "killed").start();
      job.awaitOutputs(2_000);
      server.kill();
      server.start(answering("two"));
      List<String> outputs = job.awaitFinished();
      assertThat(job.restarts()).isZero();
      OrderTest.assertComplete(outputs, 100, 200);
      assertMemoryAgrees(outputs);
    }
  }

  @Test
  void an_action_that_aborts_its_process_restarts_no_job_and_loses_nothing() throws Exception {
    String aborting =
        """
        import asyncio, os, pathlib
        from flink_actions import Agent, OutputEvent, action

        class Aborting(Agent):
            @action("_input_event")
            async def work(self, event, ctx):
                await asyncio.sleep(0.01)
                poison = pathlib.Path(f"aborted-{event.input['k']}")
                if event.input["i"] == 50 and event.input["k"] in (3, 7) and not poison.exists():
                    poison.touch()
                    os.abort()
                ctx.send_event(OutputEvent(output=event.input))

        agent = Aborting()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(aborting, "--workers", "2")) {
      TestJob job = job(server, "abort").start();
      List<String> outputs = job.awaitFinished();
      assertThat(server.fileCount("aborted-")).isEqualTo(2);
      assertThat(job.restarts()).isZero();
      assertThat(job.status()).isEqualTo(JobStatus.FINISHED);
      OrderTest.assertComplete(outputs, 100, 200);
    }
  }

  @Test
  void an_action_that_raises_fails_the_job_and_says_where() throws Exception {
    String raising =
        """
        from flink_actions import Agent, OutputEvent, action

        class Raising(Agent):
            @action("_input_event")
            async def divide(self, event, ctx):
                ctx.send_event(OutputEvent(output=1 // (event.input["i"] - 3)))

        agent = Raising()
        """;
    try (ActionServerProcess server = ActionServerProcess.serving(raising)) {
      Throwable failure = TestJob.at(server, "raises").inputs(10, 1).start().awaitFailure();
      assertThat(failure)
          .hasStackTraceContaining("action 'divide'")
          .hasStackTraceContaining("ZeroDivisionError")
          .hasStackTraceContaining("key 0, run 3, attempt 1, worker w0")
          .hasStackTraceContaining("agent.py\", line 6, in divide");
    }
  }
}
