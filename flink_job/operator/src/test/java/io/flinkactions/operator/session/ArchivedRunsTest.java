package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.lane.Input;
import io.flinkactions.operator.lane.Invokes;
import io.flinkactions.operator.lane.Lane;
import io.flinkactions.operator.lane.Runs;
import io.flinkactions.operator.session.ScriptedWorker.Peer;
import io.flinkactions.wire.v1.Action;
import io.flinkactions.wire.v1.Bounce;
import io.flinkactions.wire.v1.Generation;
import io.flinkactions.wire.v1.Holdings;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.KeptWork;
import io.flinkactions.wire.v1.OperatorFrame;
import io.flinkactions.wire.v1.Plan;
import io.flinkactions.wire.v1.Trigger;
import io.flinkactions.wire.v1.Welcome;
import io.flinkactions.wire.v1.WorkerEntry;
import io.flinkactions.wire.v1.WorkerFrame;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * A restarted operator asks for kept work where it is, and does what is not kept by the new code.
 */
class ArchivedRunsTest extends ScriptedRuns {
  private static final ByteString OLD = ByteString.copyFromUtf8("generation-0....");

  private ScriptedWorker serving;
  private ScriptedWorker archive;

  private static Plan.Builder plan(String digest, String... actions) {
    Plan.Builder plan = Plan.newBuilder().setDigest(ByteString.copyFromUtf8(digest));
    for (String action : actions) {
      plan.addActions(
          Action.newBuilder()
              .setName(action)
              .addTriggers(Trigger.newBuilder().setEventType("_input_event")));
    }
    return plan;
  }

  private static Welcome.Builder offering(Plan.Builder plan) {
    return Welcome.newBuilder().setPlan(plan).setPlanDigest(plan.getDigest());
  }

  @BeforeEach
  @Override
  void start() throws Exception {
    server = new ScriptedServer();
    server.generations(
        Generation.newBuilder().setId(OLD).setIsDraining(true).build(),
        Generation.newBuilder().setId(ScriptedServer.GENERATION).build());
    serving = server.worker("w0", "serving");
    serving.welcomesWith(offering(plan("new", "unasked", "answer")));
    archive = new ScriptedWorker("w0", "archive", OLD);
    archive.welcomesWith(offering(plan("old", "forgotten")).setTellsHoldings(true));
  }

  /** The archive tells that it holds the first invocation of key a, by its own plan. */
  private void archiveTells(Peer peer) throws Exception {
    Lane lane = new Lane("\"a\"", 0, ByteString.EMPTY);
    Input input = input(lane);
    byte[] runId = runIdentity.runId("namespace-1", lane, input);
    byte[] digest = Invokes.inputDigest(runIdentity.identities(), input);
    byte[] id = runIdentity.identities().invocationId(runId, "forgotten", 0, digest);
    peer.send(
        WorkerFrame.newBuilder()
            .setHoldings(
                Holdings.newBuilder()
                    .setInvocations(ByteString.copyFrom(id, 0, 8))
                    .addEpoch(1)
                    .addAttempt(1)
                    .setIsLast(true)));
  }

  @AfterEach
  @Override
  void stop() {
    archive.close();
    server.close();
  }

  private void announceArchive(String namespace) {
    server.announce(
        archive
            .entry()
            .setState(WorkerEntry.State.ARCHIVE)
            .addKept(KeptWork.newBuilder().setNamespace(namespace).setOperatorUid("operator-1"))
            .build());
  }

  /** An input comes, and goes as soon as it is known where to. */
  private Lane comes(Subtask subtask, Runs runs) throws Exception {
    Lane lane = lanes.take("\"a\"");
    runs.onInput(lane, input(lane));
    while (runs.begunCount() == 0) {
      assertThat(subtask.nextWithin(SessionEvent.CapacityAvailable.class, 5_000)).isNotNull();
      runs.invokes().onCapacity();
      runs.begin();
    }
    subtask.sessions.flush();
    return lane;
  }

  private static Subtask subtask(ScriptedServer server, boolean isRestart) {
    return new Subtask(
        Subtask.settings(server.endpoint()), Subtask.identity().isRestart(isRestart).build());
  }

  @Test
  void what_an_archive_has_not_kept_begins_anew_by_the_plan_of_those_that_serve() throws Exception {
    announceArchive("namespace-1");
    try (Subtask subtask = subtask(server, true)) {
      Runs runs = runsOf(subtask);
      WorkerSession one = subtask.welcomed();
      WorkerSession other = subtask.welcomed();
      WorkerSession archived = one.generation().equals(OLD) ? one : other;
      Peer archivePeer = archive.peer();
      archiveTells(archivePeer);
      subtask.next(SessionEvent.HoldingsTold.class);
      Lane lane = comes(subtask, runs);
      assertThat(lane.run().generation()).isEqualTo(OLD);
      Invoke asked = archivePeer.frame().getInvokes(0);
      assertThat(lane.run().current().action()).isEqualTo("forgotten");

      Bounce bounce = Bounce.newBuilder().setHandle(asked.getHandle()).build();
      assertThat(runs.invokes().onBounce(archived, bounce)).isTrue();
      subtask.sessions.flush();
      Invoke anew = serving.peer().frame().getInvokes(0);
      assertThat(anew.getKey()).isEqualTo(asked.getKey());
      assertThat(anew.getRunNumber()).isEqualTo(asked.getRunNumber());
      assertThat(anew.getInvocationId()).isNotEqualTo(asked.getInvocationId());
      assertThat(lane.run().generation()).isEqualTo(ScriptedServer.GENERATION);
      assertThat(lane.run().current().action()).isEqualTo("unasked");
      assertThat(runs.begunCount()).isOne();
      OperatorFrame more = archivePeer.frameWithin(200);
      assertThat(more == null ? 0 : more.getInvokesCount()).isZero();
    }
  }

  @Test
  void an_archive_that_leaves_while_it_is_asked_holds_nobody_up() throws Exception {
    announceArchive("namespace-1");
    try (Subtask subtask = subtask(server, true)) {
      Runs runs = runsOf(subtask);
      WorkerSession one = subtask.welcomed();
      WorkerSession other = subtask.welcomed();
      WorkerSession archived = one.generation().equals(OLD) ? one : other;
      Peer archivePeer = archive.peer();
      archiveTells(archivePeer);
      subtask.next(SessionEvent.HoldingsTold.class);
      comes(subtask, runs);
      archivePeer.frame();
      // Its stream stays: which of the two is heard of first would be anybody's guess.
      server.drop(archive);
      assertThat(subtask.next(SessionEvent.Ended.class).session()).isSameAs(archived);
      runs.invokes().onGivenUp(archived, true, null);
      subtask.sessions.flush();
      assertThat(serving.peer().frame().getInvokesList()).hasSize(1);
    }
  }

  @Test
  void an_archive_is_not_asked_for_what_it_does_not_hold() throws Exception {
    archive.close();
    archive = new ScriptedWorker("w0", "archive", OLD);
    archive.welcomesWith(offering(plan("old", "forgotten")));
    announceArchive("namespace-1");
    try (Subtask subtask = subtask(server, true)) {
      Runs runs = runsOf(subtask);
      subtask.welcomed();
      subtask.welcomed();
      comes(subtask, runs);
      assertThat(serving.peer().frame().getInvokesList()).hasSize(1);
      assertThat(archive.peer().frameWithin(200)).isNull();
    }
  }

  @ParameterizedTest
  @CsvSource({"false, namespace-1", "true, namespace-2"})
  void no_archive_is_asked_by_a_job_that_never_failed_or_for_the_work_of_another(
      boolean isRestart, String namespace) throws Exception {
    announceArchive(namespace);
    try (Subtask subtask = subtask(server, isRestart)) {
      Runs runs = runsOf(subtask);
      assertThat(subtask.welcomed().generation()).isEqualTo(ScriptedServer.GENERATION);
      comes(subtask, runs);
      assertThat(serving.peer().frame().getInvokesList()).hasSize(1);
    }
  }
}
