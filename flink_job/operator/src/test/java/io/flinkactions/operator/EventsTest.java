package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.ByteString;
import io.flinkactions.operator.failure.DeadLetter;
import io.flinkactions.wire.v1.ContentType;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a job that asks for events gets beside its outputs. */
class EventsTest {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Pattern EVENT_ID =
      Pattern.compile("\\{\"type\":\"[^\"]+\",\"id\":\"([^\"]+)\"");

  // The first try of every other input fails after it has sent something.
  private static final String CHAIN =
      """
      import asyncio
      from flink_actions import Agent, Event, OutputEvent, action

      tried = set()

      class Chain(Agent):
          @action("_input_event", max_attempts=2, backoff=0.01)
          async def begin(self, event, ctx):
              await asyncio.sleep(0.01)
              k, i = event.input["k"], event.input["i"]
              ctx.send_event(Event(type="begun", attributes={"i": i, "from": str(event.id)}))
              if i % 2 and (k, i) not in tried:
                  tried.add((k, i))
                  raise ValueError("once")

          @action("begun")
          async def end(self, event, ctx):
              ctx.send_event(Event(type="unheard"))
              ctx.send_event(OutputEvent(output={"from": str(event.id)}))

      agent = Chain()
      """;

  private static DataStream<String> withEvents(DataStream<String> outputs) {
    return outputs.union(
        ((SingleOutputStreamOperator<String>) outputs).getSideOutput(EventRecord.TAG));
  }

  private static TestJob.Builder job(ActionServerProcess server, String name) {
    return TestJob.at(server, name)
        .afterwards(EventsTest::withEvents)
        .settings(settings -> settings.events(true));
  }

  private static List<JsonNode> events(List<String> emitted) throws Exception {
    List<JsonNode> events = new ArrayList<>();
    for (String text : emitted) {
      JsonNode json = JSON.readTree(text);
      if (json.has("type")) {
        events.add(json);
      }
    }
    return events;
  }

  private static List<JsonNode> ofRun(List<JsonNode> events, int key, int run) {
    return events.stream()
        .filter(event -> event.get("key").asInt() == key && event.get("run").asInt() == run)
        .toList();
  }

  @Test
  void every_event_of_a_run_comes_once_in_order_and_names_what_it_came_from() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(CHAIN)) {
      List<JsonNode> events = events(job(server, "events").start().awaitFinished());
      assertThat(events).hasSize(4 * 1_000);
      int firstRun = events.get(0).get("run").asInt();
      for (int key = 0; key < 10; key++) {
        for (int i = 0; i < 100; i++) {
          List<JsonNode> run = ofRun(events, key, firstRun + i);
          assertThat(run)
              .extracting(event -> event.get("type").asText())
              .containsExactly("_input_event", "begun", "unheard", "_output_event");
          JsonNode input = run.get(0);
          JsonNode begun = run.get(1);
          JsonNode output = run.get(3);
          assertThat(input.at("/attributes/input/i").asInt()).isEqualTo(i);
          assertThat(input.get("upstream_action").isNull()).isTrue();
          assertThat(begun.at("/attributes/i").asInt()).isEqualTo(i);
          assertThat(begun.get("upstream_action").asText()).isEqualTo("begin");
          assertThat(output.get("upstream_action").asText()).isEqualTo("end");
          // The ids are those that the actions have seen.
          assertThat(begun.at("/attributes/from"))
              .isEqualTo(input.get("id"))
              .isEqualTo(begun.get("upstream_event_id"));
          assertThat(output.at("/attributes/output/from"))
              .isEqualTo(begun.get("id"))
              .isEqualTo(output.get("upstream_event_id"));
        }
      }
    }
  }

  @Test
  void events_go_on_exactly_once_after_a_stop_with_savepoint(@TempDir Path folder)
      throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(CHAIN)) {
      // Little may wait, so that the source is far from its end when the job is stopped.
      TestJob.Builder job =
          job(server, "events-stopped")
              .inputs(20_000, 200)
              .checkpoints(folder, 500, false)
              .settings(settings -> settings.events(true).waitingBytes(20_000, 100_000_000));
      TestJob first = job.start();
      first.awaitOutputs(2_000);
      String savepoint = first.stopWithSavepoint(folder, false);
      assertThat(first.outputCount()).isLessThan(4 * 20_000);
      List<String> emitted = job.from(savepoint).start().awaitFinished();
      List<String> ids =
          emitted.stream().map(EventsTest::eventId).filter(id -> id != null).toList();
      assertThat(Set.copyOf(ids)).hasSameSizeAs(ids).hasSize(4 * 20_000);
    }
  }

  /** Null for an output. */
  private static String eventId(String emitted) {
    Matcher found = EVENT_ID.matcher(emitted);
    return found.lookingAt() ? found.group(1) : null;
  }

  @Test
  void a_job_that_does_not_ask_gets_none() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(CHAIN)) {
      TestJob job = TestJob.at(server, "no-events").afterwards(EventsTest::withEvents).start();
      assertThat(events(job.awaitFinished())).isEmpty();
    }
  }

  @Test
  void a_value_that_is_not_json_comes_as_base64_with_its_type() throws Exception {
    ByteString bytes = ByteString.copyFrom(new byte[] {0, -1});
    EventRecord input =
        new EventRecord(
            "id", "_input_event", "input", bytes, ContentType.BYTES, "\"k\"", 7, null, null);
    assertThat(JSON.readTree(input.toJson(9L)))
        .isEqualTo(
            JSON.readTree(
                """
                {"type": "_input_event", "id": "id", "key": "k", "run": 7,
                 "attributes": {"input_base64": "AP8=", "input_content_type": "BYTES"},
                 "upstream_action": null, "upstream_event_id": null, "timestamp": 9}
                """));
  }

  // Every run ends with a dead letter, of an input that is bytes.
  private static final String FORWARD =
      """
      from flink_actions import Agent, InputEvent, TerminalError, action

      class Forward(Agent):
          @action("_input_event", on_failure="dead_letter")
          async def forward(self, event, ctx):
              if isinstance(event.input, dict):
                  ctx.send_event(InputEvent(input="bare"))
              elif event.input == "bare":
                  ctx.send_event(InputEvent(input=b"\\x00}"))
              else:
                  raise TerminalError("enough")

      agent = Forward()
      """;

  @Test
  void an_input_that_an_action_has_sent_reads_like_one_that_arrived() throws Exception {
    try (ActionServerProcess server = ActionServerProcess.serving(FORWARD)) {
      TestJob.Builder job =
          job(server, "forwarded-inputs")
              .inputs(1, 1)
              .afterwards(
                  outputs ->
                      withEvents(outputs)
                          .union(
                              ((SingleOutputStreamOperator<String>) outputs)
                                  .getSideOutput(DeadLetter.TAG)));
      List<String> emitted = job.start().awaitFinished();
      assertThat(events(emitted))
          .extracting(event -> event.get("attributes").toString())
          .satisfiesExactly(
              arrived -> assertThat(arrived).startsWith("{\"input\":{"),
              sent -> assertThat(sent).isEqualTo("{\"input\":\"bare\"}"),
              sent ->
                  assertThat(sent)
                      .isEqualTo("{\"input_base64\":\"AH0=\",\"input_content_type\":\"BYTES\"}"));
      assertThat(emitted)
          .filteredOn(text -> text.contains("\"invocation_id\""))
          .singleElement()
          .satisfies(
              letter ->
                  assertThat(JSON.readTree(letter).at("/event/attributes/input_base64").asText())
                      .isEqualTo("AH0="));
    }
  }
}
