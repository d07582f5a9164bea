package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.lane.Invocation;
import io.flinkactions.operator.lane.Lane;
import io.flinkactions.operator.session.ScriptedWorker.Peer;
import io.flinkactions.wire.v1.Bounce;
import io.flinkactions.wire.v1.Bye;
import io.flinkactions.wire.v1.Credit;
import io.flinkactions.wire.v1.Failure;
import io.flinkactions.wire.v1.Generation;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.Welcome;
import io.flinkactions.wire.v1.WorkerEntry;
import io.flinkactions.wire.v1.WorkerFrame;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** Suspects and the quarantine worker: when they go there, and when they do not. */
class SuspectsTest extends ScriptedRuns {
  private static final ByteString OLDER = ByteString.copyFromUtf8("generation-0....");

  private ScriptedWorker quarantine(String incarnation, ByteString generation) throws Exception {
    return quarantine(incarnation, generation, Welcome.newBuilder());
  }

  private ScriptedWorker quarantineOfOneCredit() throws Exception {
    return quarantine(
        "q0-incarnation-1",
        ScriptedServer.GENERATION,
        Welcome.newBuilder()
            // It acknowledges none, and how Invokes are spread over frames is anybody's guess.
            .setFrameWindow(10)
            .setCredit(Credit.newBuilder().setInvocations(1)));
  }

  private ScriptedWorker quarantine(
      String incarnation, ByteString generation, Welcome.Builder welcome) throws Exception {
    ScriptedWorker q0 = server.unannounced("q0", incarnation, generation);
    q0.welcomesWith(welcome.setPlan(PLAN));
    announce(q0, WorkerEntry.State.SERVING);
    return q0;
  }

  private void announce(ScriptedWorker q0, WorkerEntry.State state) {
    server.announce(q0.entry().setRole(WorkerEntry.Role.QUARANTINE).setState(state).build());
  }

  /** One for each key, whose runs began with the code of this session's worker. */
  private void restoreSuspects(WorkerSession regular, String... keys) {
    for (String key : keys) {
      restoreSuspect(key, regular.generation());
    }
  }

  private void restoreSuspect(String key, ByteString generation) {
    Invocation invocation = new Invocation("echo", 0, 0, null);
    runs.onRestored(restored(key, generation, invocation.restoreCounts(2, 0, 2)));
  }

  @Test
  void of_a_group_as_many_are_made_into_invokes_as_the_quarantine_worker_has_credit_for()
      throws Exception {
    WorkerSession regular = subtask.welcomed();
    ScriptedWorker q0 = quarantineOfOneCredit();
    restoreSuspects(regular, "\"a\"", "\"b\"", "\"c\"");
    runs.begin();
    assertThat(subtask.welcomed().isQuarantine()).isTrue();
    runs.invokes().onRoutesChanged();
    assertThat(runs.invokes().sentCount()).isEqualTo(1);
    assertThat(runs.invokes().suspectCount()).isEqualTo(3);
    Peer peer = q0.peer();
    assertThat(keysOf(peer, 1)).hasSize(1);

    peer.send(
        WorkerFrame.newBuilder()
            .setCredit(Credit.newBuilder().setInvocations(3).setBytes(10 << 20)));
    while (runs.invokes().sentCount() < 3) {
      assertThat(subtask.nextWithin(SessionEvent.CapacityAvailable.class, 5_000)).isNotNull();
      runs.invokes().onCapacity();
    }
    assertThat(keysOf(peer, 2)).hasSize(2);
  }

  @Test
  void who_waits_for_a_turn_keeps_no_other_from_beginning_and_goes_first_when_it_has_come()
      throws Exception {
    WorkerSession regular = routed();
    runs = runsOf(subtask, 2);
    restoreSuspects(regular, "\"a\"", "\"b\"", "\"c\"");
    runs.begin();
    assertThat(runs.invokes().suspectCount()).isEqualTo(3);
    assertThat(runs.begunCount()).isZero();
    for (String key : List.of("\"d\"", "\"e\"", "\"f\"")) {
      Lane lane = lanes.take(key);
      runs.onInput(lane, input(lane));
    }
    List<Invoke> others = invokesOf(worker.peer(), 2);
    assertThat(others)
        .extracting(invoke -> invoke.getKey().toStringUtf8())
        .containsExactly("\"d\"", "\"e\"");

    ScriptedWorker q0 = quarantineOfOneCredit();
    assertThat(subtask.welcomed().isQuarantine()).isTrue();
    runs.invokes().onRoutesChanged();
    runs.begin();
    assertThat(runs.invokes().sentCount()).as("as many as may be").isEqualTo(2);
    // They fail and make room, and wait for another attempt.
    for (Invoke other : others) {
      runs.onFailure(regular, Failure.newBuilder().setHandle(other.getHandle()).build());
    }
    assertThat(keysOf(q0.peer(), 1)).hasSize(1);
    assertThat(runs.begunCount()).isEqualTo(2);
    assertThat(runs.invokes().suspectCount()).isEqualTo(3);
  }

  @Test
  void who_was_given_back_undone_has_not_passed() throws Exception {
    WorkerSession regular = subtask.welcomed();
    ScriptedWorker q0 = quarantine("q0-incarnation-1", ScriptedServer.GENERATION);
    restoreSuspects(regular, "\"a\"", "\"b\"", "\"c\"", "\"d\"");
    runs.begin();
    WorkerSession session = subtask.welcomed();
    runs.invokes().onRoutesChanged();
    assertThat(keysOf(q0.peer(), 4)).hasSize(4);
    announce(q0, WorkerEntry.State.DEAD);
    subtask.next(SessionEvent.Ended.class);
    runs.invokes().onGivenUp(session, true, null);

    ScriptedWorker next = quarantine("q0-incarnation-2", regular.generation());
    WorkerSession again = subtask.welcomed();
    runs.invokes().onRoutesChanged();
    subtask.sessions.flush();
    Peer peer = next.peer();
    List<Invoke> half = peer.frame().getInvokesList();
    assertThat(half).hasSize(2);
    for (Invoke invoke : half) {
      assertThat(
              runs.invokes()
                  .onBounce(again, Bounce.newBuilder().setHandle(invoke.getHandle()).build()))
          .isTrue();
    }
    runs.invokes().onCapacity();
    // Else the culprit were taken to be among these, and they were halved untried.
    assertThat(keysOf(peer, 2)).hasSize(2);
    assertThat(runs.invokes().suspectCount()).isEqualTo(4);
  }

  @Test
  void who_waited_for_credit_when_the_quarantine_worker_died_is_tried_by_the_next()
      throws Exception {
    WorkerSession regular = subtask.welcomed();
    ScriptedWorker q0 = quarantineOfOneCredit();
    restoreSuspects(regular, "\"a\"", "\"b\"", "\"c\"");
    runs.begin();
    WorkerSession session = subtask.welcomed();
    runs.invokes().onRoutesChanged();
    assertThat(keysOf(q0.peer(), 1)).containsExactly("\"c\"");
    announce(q0, WorkerEntry.State.DEAD);
    SessionEvent.Ended ended = subtask.next(SessionEvent.Ended.class);
    assertThat(ended.session()).isSameAs(session);
    assertThat(runs.invokes().onGivenUp(session, true, null)).isEqualTo(1);
    assertThat(runs.invokes().suspectCount()).isEqualTo(3);

    ScriptedWorker next = quarantine("q0-incarnation-2", regular.generation());
    WorkerSession again = subtask.welcomed();
    runs.invokes().onRoutesChanged();
    Peer peer = next.peer();
    assertThat(keysOf(peer, 1)).as("who was there when it died, alone").containsExactly("\"c\"");
    runs.invokes().onGivenUp(again, false, null);
    assertThat(runs.invokes().suspectCount()).isEqualTo(3);
  }

  @Test
  void a_death_beside_another_suspect_is_no_lone_one_though_it_names_who_it_was() throws Exception {
    WorkerSession regular = subtask.welcomed();
    ScriptedWorker q0 = quarantine("q0-incarnation-1", ScriptedServer.GENERATION);
    restoreSuspects(regular, "\"a\"", "\"b\"");
    runs.begin();
    WorkerSession both = subtask.welcomed();
    runs.invokes().onRoutesChanged();
    assertThat(keysOf(q0.peer(), 2)).containsExactlyInAnyOrder("\"a\"", "\"b\"");
    Invocation named = lanes.take("\"a\"").run().current();
    announce(q0, WorkerEntry.State.DEAD);
    subtask.next(SessionEvent.Ended.class);
    runs.invokes().onGivenUp(both, true, Set.of(named.idBytes()));
    assertThat(named.loneDeaths()).isZero();

    ScriptedWorker next = quarantine("q0-incarnation-2", regular.generation());
    WorkerSession alone = subtask.welcomed();
    runs.invokes().onRoutesChanged();
    assertThat(keysOf(next.peer(), 1)).containsExactly("\"a\"");
    announce(next, WorkerEntry.State.DEAD);
    subtask.next(SessionEvent.Ended.class);
    runs.invokes().onGivenUp(alone, true, Set.of(named.idBytes()));
    assertThat(named.loneDeaths()).isEqualTo(1);
  }

  /** Keys of lanes that differ from state since this was last asked. */
  private List<String> changed() throws Exception {
    store.written.clear();
    lanes.writeDirty();
    return store.written.stream().map(written -> written.substring(0, 3)).toList();
  }

  @Test
  void state_hears_of_a_suspect_that_is_cleared_because_there_is_no_quarantine_worker()
      throws Exception {
    WorkerSession regular = routed();
    runs = runsOf(subtask, 1);
    restoreSuspects(regular, "\"a\"");
    runs.begin();
    Lane other = lanes.take("\"b\"");
    runs.onInput(other, input(other));
    assertThat(changed()).containsExactly("\"b\"");
    // As many are in flight as may be: nothing else happens to it.
    runs.invokes().onNoQuarantine();
    assertThat(changed()).containsExactly("\"a\"");
  }

  @Test
  void state_hears_of_a_suspect_that_is_cleared_because_another_was_named() throws Exception {
    WorkerSession regular = subtask.welcomed();
    ScriptedWorker q0 = quarantine("q0-incarnation-1", ScriptedServer.GENERATION);
    restoreSuspects(regular, "\"a\"", "\"b\"");
    runs.begin();
    WorkerSession both = subtask.welcomed();
    runs.invokes().onRoutesChanged();
    assertThat(keysOf(q0.peer(), 2)).hasSize(2);
    // Nobody is left to whom it could be sent, which would be a change of its own.
    server.announce(worker, WorkerEntry.State.DEAD);
    subtask.next(SessionEvent.Ended.class);
    assertThat(changed()).hasSize(2);
    Invocation named = lanes.take("\"a\"").run().current();
    runs.invokes().onGivenUp(both, true, Set.of(named.idBytes()));
    assertThat(changed()).containsExactlyInAnyOrder("\"a\"", "\"b\"");
  }

  @Test
  void a_suspect_stays_with_the_code_that_its_run_began_with_while_that_lives() throws Exception {
    ScriptedWorker old = server.unannounced("w1", "w1-incarnation-1", OLDER);
    old.welcomesWith(Welcome.newBuilder().setPlan(PLAN));
    server.generations(
        Generation.newBuilder().setId(OLDER).build(),
        Generation.newBuilder().setId(ScriptedServer.GENERATION).build());
    server.announce(old, WorkerEntry.State.SERVING);
    subtask.welcomed();
    subtask.welcomed();
    while (subtask.sessions.route("\"a\"", OLDER) == null) {
      assertThat(subtask.nextWithin(SessionEvent.CapacityAvailable.class, 5_000)).isNotNull();
    }
    quarantineOfOneCredit();
    restoreSuspect("\"a\"", OLDER);
    runs.begin();
    assertThat(subtask.welcomed().isQuarantine()).isTrue();
    runs.invokes().onRoutesChanged();
    assertThat(keysOf(old.peer(), 1)).containsExactly("\"a\"");
    assertThat(runs.invokes().suspectCount()).isZero();
  }

  @Test
  void a_farewell_that_has_crossed_the_workers_own_is_none_of_its_next_session() throws Exception {
    subtask.welcomed();
    ScriptedWorker q0 = quarantine("q0-incarnation-1", ScriptedServer.GENERATION);
    q0.welcomesWith(Welcome.newBuilder().setLingerMs(60_000));
    subtask.sessions.wantQuarantine(true);
    assertThat(subtask.welcomed().isQuarantine()).isTrue();
    Peer crossing = q0.peer();
    crossing.send(WorkerFrame.newBuilder().setBye(Bye.newBuilder().setReason(Bye.Reason.FINISHED)));
    subtask.sessions.wantQuarantine(false);
    assertThat(crossing.frame().hasBye()).isTrue();
    subtask.next(SessionEvent.Ended.class);

    subtask.sessions.wantQuarantine(true);
    assertThat(subtask.welcomed().isQuarantine()).isTrue();
    q0.peer().breakOff();
    subtask.next(SessionEvent.Interrupted.class);
    assertThat(subtask.next(SessionEvent.Welcomed.class).resumes()).isNotNull();
    subtask.sessions.wantQuarantine(false);
    assertThat(q0.peer().frame().hasBye()).as("others may wait for it").isTrue();
  }

  @Test
  void suspects_go_where_all_go_when_no_quarantine_worker_comes_in_time() throws Exception {
    SessionSettings settings =
        Subtask.settings(server.endpoint()).withReconnectTimeout(Duration.ofSeconds(1));
    try (Subtask other = new Subtask(settings, Subtask.identity().build())) {
      other.welcomed();
      other.sessions.wantQuarantine(true);
      assertThat(other.next(SessionEvent.NoQuarantine.class).cause())
          .contains("none has come in 1 s")
          .contains("w0 SERVING");
    }
  }

  @Test
  void people_are_told_of_a_long_wait_and_of_no_other() {
    QuarantineWish wish = new QuarantineWish();
    wish.isInVain(0);
    assertThat(wish.isNoticeDue(TimeUnit.SECONDS.toNanos(2))).isFalse();
    assertThat(wish.isNoticeDue(TimeUnit.SECONDS.toNanos(8))).isTrue();
    assertThat(wish.isNoticeDue(TimeUnit.SECONDS.toNanos(9))).isFalse();
    wish.isNotInVain();
    assertThat(wish.isNoticeDue(TimeUnit.SECONDS.toNanos(90))).isFalse();
    assertThat(wish.vainFor(TimeUnit.SECONDS.toNanos(90))).isZero();
  }
}
