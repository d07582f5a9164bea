package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import com.google.protobuf.TextFormat;
import io.flinkactions.operator.ContractCases;
import io.flinkactions.operator.OldestFlinkOnly;
import io.flinkactions.operator.session.ScriptedWorker.Peer;
import io.flinkactions.operator.session.SessionEvent.FrameReceived;
import io.flinkactions.operator.session.SessionEvent.Interrupted;
import io.flinkactions.operator.session.SessionEvent.Welcomed;
import io.flinkactions.wire.v1.Hello;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.OperatorFrame;
import io.flinkactions.wire.v1.WorkerFrame;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The conversations of tests/contract/cases/frames.json, which pytest plays too: here the worker's
 * side against the operator's real sessions.
 */
@Timeout(60)
@OldestFlinkOnly
class FrameCasesTest {

  private static final JsonNode CASES = ContractCases.read("frames.json");

  /** What may come at any time beside what a step names. */
  private static final Set<String> CHATTER = Set.of("sequence", "received", "ping", "pong");

  private ScriptedServer server;
  private ScriptedWorker worker;
  private Subtask subtask;
  private Peer peer;
  private WorkerSession session;
  private final OperatorFrame.Builder said = OperatorFrame.newBuilder();

  /** What the operator has to say and may not yet. */
  private OperatorFrame wanted;

  // The start ids of a case, as they are this time.
  private final Map<ByteString, ByteString> starts = new HashMap<>();

  static Stream<Named<JsonNode>> conversations() {
    return ContractCases.items(CASES.get("cases"))
        .filter(given -> !given.path("worker_only").asBoolean())
        .map(given -> Named.of(given.get("name").asText(), given));
  }

  @BeforeEach
  void start() throws Exception {
    server = new ScriptedServer();
    worker = server.worker("w0");
    worker.keepsSilent();
  }

  @AfterEach
  void stop() {
    if (subtask != null) {
      subtask.close();
    }
    server.close();
  }

  @ParameterizedTest
  @MethodSource("conversations")
  void an_operator_keeps_to_its_side_of_the_conversation(JsonNode given) throws Exception {
    for (JsonNode step : given.get("steps")) {
      Map.Entry<String, JsonNode> said = step.properties().iterator().next();
      play(said.getKey(), said.getValue().asText());
    }
    if (peer != null && session != null && session.isOpen()) {
      OperatorFrame more = peer.frameWithin(100);
      assertThat(more == null ? Set.of() : named(more)).isSubsetOf(CHATTER);
    }
  }

  private void play(String who, String what) throws Exception {
    switch (who) {
      case "operator" -> operatorSays(what);
      case "operator_wants" -> {
        wanted = frame(what);
        prompt(wanted);
        OperatorFrame early = peer.frameWithin(100);
        assertThat(early == null ? Set.of() : named(early)).as(what).isSubsetOf(CHATTER);
      }
      case "worker" -> workerSays(what);
      case "operator_fails" ->
          assertThat(subtask.next(SessionEvent.Fatal.class).error().getClass().getSimpleName())
              .isEqualTo(what);
      case "stream" -> {
        if (what.equals("breaks")) {
          peer.breakOff();
          subtask.next(Interrupted.class);
        } else {
          assertThat(peer.end()).isEqualTo("completed");
        }
      }
      case "other_start" -> {} // the worker's matter
      default -> throw new IllegalArgumentException("a step of " + who);
    }
  }

  private void operatorSays(String what) throws Exception {
    OperatorFrame expected = frame(what);
    if (expected.hasHello()) {
      hello(expected.getHello());
      return;
    }
    if (wanted != null && wanted.getInvokesList().equals(expected.getInvokesList())) {
      // Was said in an earlier step, and comes by itself now.
      wanted = null;
    } else {
      prompt(expected);
    }
    while (difference(expected, said.build()) != null) {
      OperatorFrame frame = peer.frameWithin(5_000);
      assertThat(frame).as("%s; so far %s", what, said).isNotNull();
      assertThat(frame.getSequence() > 0).isEqualTo(frame.getInvokesCount() > 0);
      said.mergeFrom(frame);
    }
    Set<String> unnamed = named(said.build());
    unnamed.removeAll(CHATTER);
    assertThat(named(expected)).containsAll(unnamed);
    said.clear();
  }

  private void hello(Hello expected) throws Exception {
    if (subtask == null) {
      StartIdentity identity =
          StartIdentity.of(
                  expected.getNamespace(),
                  "operator-1",
                  expected.getAgent().isEmpty() ? "contract" : expected.getAgent())
              .job("job-1", "a job")
              .epoch(1000)
              .pinnedPlan(expected.getPinnedPlanDigest())
              .build();
      subtask = new Subtask(Subtask.settings(server.endpoint()), identity);
    }
    peer = worker.peer();
    Hello actual = peer.hello().getHello();
    if (!expected.getStartId().isEmpty()) {
      ByteString known = starts.putIfAbsent(expected.getStartId(), actual.getStartId());
      assertThat(actual.getStartId()).isEqualTo(known == null ? actual.getStartId() : known);
    }
    Hello named = expected.toBuilder().clearStartId().build();
    assertThat(difference(named, actual)).isNull();
    // proto3 does not tell false from not named: what a step does not say of it has to be so too.
    assertThat(actual.getWasWelcomed()).isEqualTo(expected.getWasWelcomed());
  }

  /** Has the operator say this, by what its lanes would do. */
  private void prompt(OperatorFrame frame) {
    for (Invoke invoke : frame.getInvokesList()) {
      session.queue(invoke);
    }
    if (frame.getAllResumed()) {
      session.allResumed();
    }
    frame.getCancelsList().forEach(one -> session.cancel(one.getHandlesList(), one.getReason()));
    frame.getForgetKeysList().forEach(session::forgetKey);
    if (frame.hasCheckpointCompleted()) {
      session.checkpointCompleted(
          frame.getCheckpointCompleted().getCheckpointId(),
          frame.getCheckpointCompleted().getCut());
    }
    if (frame.hasBye()) {
      subtask.sessions.closeFinished();
    } else {
      subtask.sessions.flush();
    }
  }

  private void workerSays(String what) throws Exception {
    WorkerFrame frame = TextFormat.parse(what, WorkerFrame.class);
    if (frame.hasWelcome()) {
      worker.welcomesWith(frame.getWelcome().toBuilder());
      peer.sendAsIs(worker.welcome().build().toByteArray());
      session = subtask.next(Welcomed.class).session();
      return;
    }
    if (frame.hasReject()) {
      peer.sendAsIs(frame.toByteArray());
      return;
    }
    peer.send(frame.toBuilder());
    int answered =
        frame.getResults().getHandleCount()
            + frame.getFailuresCount()
            + frame.getBouncesCount()
            + frame.getNeedMemoryCount();
    if (answered > 0) {
      session.applied(subtask.next(FrameReceived.class).frame());
    }
    for (int i = 0; i < answered; i++) {
      session.closed();
    }
  }

  private static OperatorFrame frame(String text) throws Exception {
    OperatorFrame.Builder frame = TextFormat.parse(text, OperatorFrame.class).toBuilder();
    Invoke defaults = TextFormat.parse(CASES.get("invoke").asText(), Invoke.class);
    frame
        .getInvokesBuilderList()
        .forEach(
            invoke -> invoke.mergeFrom(defaults.toBuilder().mergeFrom(invoke.build()).build()));
    return frame.build();
  }

  private static Set<String> named(Message message) {
    return message.getAllFields().keySet().stream()
        .map(FieldDescriptor::getName)
        .collect(Collectors.toSet());
  }

  /** Where a message lacks something that another names; null if it has it all. */
  private static String difference(Message expected, Message actual) {
    for (Map.Entry<FieldDescriptor, Object> wanted : expected.getAllFields().entrySet()) {
      FieldDescriptor field = wanted.getKey();
      Object got = actual.getField(field);
      List<?> ones = field.isRepeated() ? (List<?>) wanted.getValue() : List.of(wanted.getValue());
      List<?> others = field.isRepeated() ? (List<?>) got : List.of(got);
      boolean isSame = ones.size() == others.size();
      for (int i = 0; isSame && i < ones.size(); i++) {
        isSame =
            ones.get(i) instanceof Message one
                ? difference(one, (Message) others.get(i)) == null
                : ones.get(i).equals(others.get(i));
      }
      if (!isSame) {
        return field.getName() + " is " + got + ", expected " + wanted.getValue();
      }
    }
    return null;
  }
}
