package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.lane.Input;
import io.flinkactions.operator.lane.Invocation;
import io.flinkactions.operator.lane.Invokes;
import io.flinkactions.operator.lane.Lane;
import io.flinkactions.operator.session.ScriptedWorker.Peer;
import io.flinkactions.wire.v1.Bounce;
import io.flinkactions.wire.v1.Failure;
import io.flinkactions.wire.v1.Holdings;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.KeptWork;
import io.flinkactions.wire.v1.OperatorFrame;
import io.flinkactions.wire.v1.Welcome;
import io.flinkactions.wire.v1.WorkerEntry;
import io.flinkactions.wire.v1.WorkerFrame;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * A restarted operator sends an invocation to the worker that holds something of it, whosever its
 * key is by now.
 */
class HolderRunsTest extends ScriptedRuns {

  /** Of three, so that the one that a key goes to by itself is never it by accident. */
  private static final String[] WORKERS = {"w0", "w1", "w2"};

  private final Map<String, ScriptedWorker> workers = new HashMap<>();
  private final Map<String, WorkerSession> sessions = new HashMap<>();
  private final Map<String, Peer> peers = new HashMap<>();

  @BeforeEach
  @Override
  void start() throws Exception {
    server = new ScriptedServer();
    for (String name : WORKERS) {
      ScriptedWorker one = server.unannounced(name, name + "-1", ScriptedServer.GENERATION);
      one.welcomesWith(Welcome.newBuilder().setPlan(PLAN).setTellsHoldings(true));
      workers.put(name, one);
      server.announce(
          one.entry()
              .setState(WorkerEntry.State.SERVING)
              .addKept(
                  KeptWork.newBuilder().setNamespace("namespace-1").setOperatorUid("operator-1"))
              .build());
    }
  }

  @AfterEach
  @Override
  void stop() {
    if (subtask != null) {
      subtask.close();
    }
    server.close();
  }

  private void restart(Duration connectTimeout) throws Exception {
    subtask =
        new Subtask(
            Subtask.settings(server.endpoint()).withConnectTimeout(connectTimeout),
            Subtask.identity().isRestart(true).build());
    runs = runsOf(subtask);
    for (String ignored : WORKERS) {
      WorkerSession session = subtask.welcomed();
      sessions.put(session.worker(), session);
      Peer peer = workers.get(session.worker()).peer();
      assertThat(peer.hello().getHello().getAsksForHoldings()).isTrue();
      peers.put(session.worker(), peer);
    }
  }

  private byte[] firstOf(String key) {
    Lane lane = new Lane(key, 0, ByteString.EMPTY);
    Input input = input(lane);
    byte[] digest = Invokes.inputDigest(runIdentity.identities(), input);
    byte[] runId = runIdentity.runId(runIdentity.namespace(), lane, input);
    return runIdentity.identities().invocationId(runId, "answer", 0, digest);
  }

  private static Holdings.Builder nothing() {
    return Holdings.newBuilder().setIsLast(true);
  }

  private static Holdings.Builder holding(byte[] id, long epoch, int attempt) {
    return nothing()
        .setInvocations(ByteString.copyFrom(id, 0, 8))
        .addEpoch(epoch)
        .addAttempt(attempt);
  }

  private void tells(String worker, Holdings.Builder page) throws Exception {
    peers.get(worker).send(WorkerFrame.newBuilder().setHoldings(page));
    subtask.next(SessionEvent.HoldingsTold.class);
    runs.onRoutesChanged();
    subtask.sessions.flush();
  }

  private void awaitBegun() throws Exception {
    while (runs.begunCount() == 0) {
      assertThat(subtask.nextWithin(SessionEvent.CapacityAvailable.class, 5_000)).isNotNull();
      runs.invokes().onCapacity();
      runs.begin();
    }
    subtask.sessions.flush();
  }

  private Invoke invokeAt(String worker) throws Exception {
    while (true) {
      OperatorFrame frame = peers.get(worker).frame();
      if (frame.getInvokesCount() > 0) {
        return frame.getInvokes(0);
      }
    }
  }

  /** To whom the key goes by itself. */
  private String home(String key) throws Exception {
    WorkerSession session;
    while ((session = subtask.sessions.route(key, ByteString.EMPTY)) == null) {
      subtask.next(SessionEvent.CapacityAvailable.class);
    }
    return session.worker();
  }

  /** Another one. */
  private String standIn(String key) throws Exception {
    return home(key).equals("w0") ? "w1" : "w0";
  }

  private String comes(String key) throws Exception {
    Lane lane = lanes.take(key);
    runs.onInput(lane, input(lane));
    subtask.sessions.flush();
    return key;
  }

  @Test
  void nothing_is_sent_before_all_have_told_and_then_each_where_it_is_held() throws Exception {
    restart(Duration.ofSeconds(5));
    comes("\"new\"");
    Lane restored = restored("\"restored\"", ScriptedServer.GENERATION);
    runs.onRestored(restored);
    runs.begin();
    tells("w2", nothing());
    assertThat(runs.invokes().sentCount()).isZero();
    String home = standIn("\"new\"").equals("w0") ? "w1" : "w0";
    tells(home, nothing());
    assertThat(runs.invokes().sentCount()).isZero();

    String holder = standIn("\"new\"");
    ByteString ofRestored = ByteString.copyFrom(firstOf("\"restored\""), 0, 8);
    Holdings.Builder both = holding(firstOf("\"new\""), 1, 1).addEpoch(1).addAttempt(1);
    tells(holder, both.setInvocations(both.getInvocations().concat(ofRestored)));
    awaitBegun();
    assertThat(runs.invokes().sentCount()).isEqualTo(2);
    assertThat(keysOf(peers.get(holder), 2)).containsExactlyInAnyOrder("\"new\"", "\"restored\"");
    assertThat(subtask.sessions.holders()).isEmpty();
    // What nobody holds goes where it always goes. (The holder's window may be full.)
    Set<String> homes = new HashSet<>(Set.of(holder));
    for (int i = 0; homes.size() < WORKERS.length; i++) {
      String key = "\"other-" + i + "\"";
      if (homes.add(home(key))) {
        comes(key);
        assertThat(keysOf(peers.get(home(key)), 1)).containsExactly(key);
      }
    }
  }

  @Test
  void of_several_the_last_one_to_work_on_it_is_asked_first_and_the_next_when_that_gives_it_back()
      throws Exception {
    restart(Duration.ofSeconds(5));
    byte[] id = firstOf("\"a\"");
    tells("w0", holding(id, 7, 2));
    tells("w1", holding(id, 8, 1));
    tells("w2", holding(id, 7, 3));
    comes("\"a\"");
    awaitBegun();
    Invoke first = invokeAt("w1");
    runs.invokes()
        .onBounce(sessions.get("w1"), Bounce.newBuilder().setHandle(first.getHandle()).build());
    subtask.sessions.flush();
    Invoke second = invokeAt("w2");
    assertThat(second.getAttempt()).isEqualTo(2);
    // Answered: what the third has of it is behind that.
    runs.invokes().takeAnswered(sessions.get("w2"), second.getHandle());
    assertThat(subtask.sessions.holders()).isEmpty();
  }

  @Test
  void a_holder_that_does_not_tell_is_waited_for_no_longer_than_its_time() throws Exception {
    restart(Duration.ofMillis(600));
    comes("\"a\"");
    tells("w0", nothing());
    tells("w1", nothing());
    assertThat(runs.begunCount()).isZero();
    awaitBegun();
    assertThat(runs.invokes().sentCount()).isOne();
    // Late, and not too late for what has not been sent.
    String holder = standIn("\"b\"");
    tells("w2", nothing());
    tells(holder, holding(firstOf("\"b\""), 1, 1));
    comes("\"b\"");
    awaitBegun();
    assertThat(keysOf(peers.get(holder), 1).get(0)).isIn("\"a\"", "\"b\"");
  }

  @Test
  void a_holder_whose_stream_is_interrupted_is_waited_for_until_it_is_given_up() throws Exception {
    restart(Duration.ofSeconds(5));
    byte[] id = firstOf("\"a\"");
    String holder = standIn("\"a\"");
    for (String name : WORKERS) {
      tells(name, name.equals(holder) ? holding(id, 1, 1) : nothing());
    }
    workers.get(holder).keepsSilent();
    peers.get(holder).breakOff();
    subtask.next(SessionEvent.Interrupted.class);
    Lane lane = restored("\"a\"", ScriptedServer.GENERATION, new Invocation("answer", 0, 0, null));
    runs.onRestored(lane);
    runs.begin();
    assertThat(runs.invokes().sentCount()).isZero();
    SessionEvent.Ended ended = subtask.next(SessionEvent.Ended.class);
    runs.invokes().onGivenUp(ended.session(), false, null);
    runs.invokes().onRoutesChanged();
    subtask.sessions.flush();
    assertThat(runs.invokes().sentCount()).isOne();
  }

  /** The first input of key a is held by a worker whose stream is broken off. */
  private WorkerSession holdsAndIsInterrupted(boolean comesBack) throws Exception {
    restart(Duration.ofSeconds(5));
    byte[] id = firstOf("\"a\"");
    String holder = standIn("\"a\"");
    for (String name : WORKERS) {
      tells(name, name.equals(holder) ? holding(id, 1, 1) : nothing());
    }
    if (!comesBack) {
      workers.get(holder).keepsSilent();
    }
    peers.get(holder).breakOff();
    subtask.next(SessionEvent.Interrupted.class);
    runs.onRoutesChanged();
    return sessions.get(holder);
  }

  /** A key that goes to another worker by itself. */
  private String notAt(WorkerSession holder, String prefix) throws Exception {
    for (int i = 0; ; i++) {
      String key = "\"" + prefix + i + "\"";
      if (!home(key).equals(holder.worker())) {
        return key;
      }
    }
  }

  @Test
  void a_new_input_whose_holder_is_interrupted_keeps_no_other_key_from_beginning()
      throws Exception {
    WorkerSession holder = holdsAndIsInterrupted(false);
    runs = runsOf(subtask, 1);
    comes("\"a\"");
    comes("\"a\"");
    String first = notAt(holder, "first-");
    comes(first);
    comes(notAt(holder, "second-"));
    assertThat(runs.begunCount()).isOne();
    assertThat(lanes.take(first).run()).isNotNull();
    lanes.writeDirty();
    assertThat(store.written).contains("\"a\" waits");

    SessionEvent.Ended ended = subtask.next(SessionEvent.Ended.class);
    runs.invokes().onGivenUp(ended.session(), false, null);
    runs.onRoutesChanged();
    assertThat(runs.begunCount()).as("as many as may be").isOne();
    // It makes room, and waits for another attempt. Who was held up is the first to have that.
    String home = lanes.take(first).run().current().session().worker();
    Failure failure = Failure.newBuilder().setHandle(invokeAt(home).getHandle()).build();
    runs.onFailure(sessions.get(home), failure);
    Lane lane = lanes.take("\"a\"");
    assertThat(lane.run().input().runNumber()).isZero();
    assertThat(lane.after(lane.firstInput()).runNumber()).isOne();
    assertThat(runs.begunCount()).isOne();
  }

  @Test
  void a_new_input_goes_to_its_holder_when_that_is_back() throws Exception {
    WorkerSession holder = holdsAndIsInterrupted(true);
    comes("\"a\"");
    assertThat(runs.begunCount()).isZero();
    WorkerSession back = subtask.welcomed();
    assertThat(back.incarnation()).isEqualTo(holder.incarnation());
    runs.invokes().resume(holder, back);
    runs.onRoutesChanged();
    assertThat(keysOf(workers.get(holder.worker()).peer(), 1)).containsExactly("\"a\"");
  }
}
