package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.Credit;
import io.flinkactions.wire.v1.Holdings;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

class RoutingTest {
  private static final ByteString GENERATION = ByteString.copyFromUtf8("g");

  private static WorkerSession session(String worker, String incarnation) {
    return session(worker, incarnation, false);
  }

  private static WorkerSession session(String worker, String incarnation, boolean tellsHoldings) {
    return session(worker, incarnation, GENERATION, tellsHoldings);
  }

  private static WorkerSession session(
      String worker, String incarnation, ByteString generation, boolean tellsHoldings) {
    return new WorkerSession(
        null,
        new WorkerSession.Welcomed(
            worker,
            ByteString.copyFromUtf8(incarnation),
            generation,
            ScriptedWorker.PLAN,
            0,
            false,
            tellsHoldings),
        new Outbox(1 << 20, 2, Credit.getDefaultInstance()),
        null);
  }

  private static final DirectoryView ONE_GENERATION =
      new DirectoryView(
          List.of(GENERATION), Map.of(), Set.of(), Map.of(GENERATION, Set.of()), Set.of());

  private static Map<String, String> assignment(Routing routing, int keys) {
    Map<String, String> workers = new HashMap<>();
    for (int i = 0; i < keys; i++) {
      String key = "\"key-" + i + "\"";
      workers.put(key, routing.route(key, ByteString.EMPTY, ONE_GENERATION).worker());
    }
    return workers;
  }

  @Test
  void keys_are_spread_evenly_over_the_workers() {
    Routing routing = new Routing();
    for (int i = 0; i < 4; i++) {
      routing.opened(session("w" + i, "a"));
    }
    Map<String, Long> counts = new HashMap<>();
    assignment(routing, 10_000).values().forEach(worker -> counts.merge(worker, 1L, Long::sum));
    assertThat(counts).hasSize(4);
    assertThat(counts.values()).allSatisfy(count -> assertThat(count).isBetween(2300L, 2700L));
  }

  @Test
  void a_worker_that_goes_moves_its_own_keys_only_and_gets_them_back() {
    Routing routing = new Routing();
    WorkerSession leaving = session("w1", "first");
    routing.opened(session("w0", "a"));
    routing.opened(leaving);
    routing.opened(session("w2", "c"));
    Map<String, String> before = assignment(routing, 1000);
    routing.closed(leaving);
    Map<String, String> without = assignment(routing, 1000);
    before.forEach(
        (key, worker) -> {
          if (worker.equals("w1")) {
            assertThat(without.get(key)).isNotEqualTo("w1");
          } else {
            assertThat(without).containsEntry(key, worker);
          }
        });
    // Another process under the same name takes exactly its place.
    routing.opened(session("w1", "second"));
    assertThat(assignment(routing, 1000)).isEqualTo(before);
  }

  @Test
  void a_run_waits_for_its_generation_as_long_as_that_may_come_back() {
    Routing routing = new Routing();
    WorkerSession current = session("w0", "a");
    routing.opened(current);
    ByteString old = ByteString.copyFromUtf8("old");
    DirectoryView mayComeBack =
        new DirectoryView(
            List.of(old, GENERATION),
            Map.of(),
            Set.of(old),
            Map.of(GENERATION, Set.of()),
            Set.of());
    assertThat(routing.route("\"k\"", old, mayComeBack)).isNull();
    DirectoryView gone =
        new DirectoryView(
            List.of(GENERATION), Map.of(), Set.of(), Map.of(GENERATION, Set.of()), Set.of());
    assertThat(routing.route("\"k\"", old, gone)).isSameAs(current);
  }

  @Test
  void orphans_of_two_generations_go_on_with_their_own_runs_and_new_ones_stay_with_the_newer() {
    Routing routing = new Routing();
    ByteString newer = ByteString.copyFromUtf8("newer");
    routing.opened(session("w1", "b", newer, false));
    routing.opened(session("w0", "a"));
    DirectoryView both =
        new DirectoryView(
            List.of(GENERATION, newer),
            Map.of(),
            Set.of(),
            Map.of(GENERATION, Set.of(), newer, Set.of()),
            Set.of());
    assertThat(routing.route("\"k\"", ByteString.EMPTY, both).generation()).isEqualTo(newer);
    // Another supervisor, who has no worker yet.
    DirectoryView none = new DirectoryView(List.of(), Map.of(), Set.of(), Map.of(), Set.of());
    for (int i = 0; i < 100; i++) {
      String key = "\"key-" + i + "\"";
      assertThat(routing.route(key, GENERATION, none).generation()).isEqualTo(GENERATION);
      assertThat(routing.route(key, newer, none).generation()).isEqualTo(newer);
      assertThat(routing.route(key, ByteString.EMPTY, none).generation()).isEqualTo(newer);
    }
  }

  private static DirectoryView expecting(String... incarnations) {
    Set<ByteString> expected = new HashSet<>();
    for (String incarnation : incarnations) {
      expected.add(ByteString.copyFromUtf8(incarnation));
    }
    return new DirectoryView(
        List.of(GENERATION), Map.of(), Set.of(GENERATION), Map.of(GENERATION, expected), Set.of());
  }

  private static DirectoryView awaiting(String... incarnations) {
    DirectoryView view = expecting(incarnations);
    return new DirectoryView(
        view.generations(),
        view.states(),
        view.reachableSoon(),
        view.firstSessions(),
        view.firstSessions().get(GENERATION));
  }

  private static Holdings page(boolean isLast, String... ids) {
    Holdings.Builder page = Holdings.newBuilder().setIsLast(isLast);
    for (String id : ids) {
      page.addEpoch(1).addAttempt(1);
      page.setInvocations(page.getInvocations().concat(ByteString.copyFromUtf8(id)));
    }
    return page.build();
  }

  @Test
  void a_start_waits_for_all_pages_of_those_that_may_hold_something_and_for_no_others() {
    Routing routing = new Routing();
    WorkerSession holder = session("w0", "a", true);
    assertThat(routing.awaitsHoldings(awaiting("a", "b"))).isTrue();
    routing.opened(holder);
    routing.opened(session("w1", "b"));
    assertThat(routing.awaitsHoldings(awaiting("a", "b"))).isTrue();
    routing.tells(holder, page(false, "12345678"));
    assertThat(routing.awaitsHoldings(awaiting("a", "b"))).isTrue();
    // Its time is over: what it has told so far is used.
    assertThat(routing.awaitsHoldings(awaiting("b"))).isFalse();
    assertThat(routing.holders().all()).containsExactly(holder);
    routing.tells(holder, page(true, "23456789"));
    assertThat(routing.awaitsHoldings(awaiting("a", "b"))).isFalse();
    // What was interrupted still holds it, also before it has told once more.
    routing.closed(holder);
    assertThat(routing.awaitsHoldings(awaiting("a", "b"))).isFalse();
    assertThat(routing.holders().all()).containsExactly(holder);
    WorkerSession again = session("w0", "a", true);
    routing.opened(again);
    assertThat(routing.holders().all()).containsExactly(again);
    assertThat(routing.awaitsHoldings(awaiting("a", "b"))).isFalse();
    byte[] id = "23456789........".getBytes(StandardCharsets.UTF_8);
    assertThat(routing.holders().rank(again, id)).isPositive();
    routing.holders().asked(again, id);
    assertThat(routing.holders().rank(again, id)).isZero();
    routing.closed(again);
    routing.opened(session("w0", "a", false));
    assertThat(routing.holders().all()).isEmpty();
  }

  @Test
  void what_a_worker_held_that_is_given_up_is_looked_for_no_more() {
    Routing routing = new Routing();
    WorkerSession holder = session("w0", "a", true);
    WorkerSession other = session("w1", "b", true);
    routing.opened(holder);
    routing.opened(other);
    routing.tells(holder, page(true, "12345678", "23456789"));
    routing.tells(other, page(true, "12345678"));
    routing.closed(holder);
    routing.holders().ended(holder);
    assertThat(routing.holders().all()).containsExactly(other);
    routing.holders().answered("12345678........".getBytes(StandardCharsets.UTF_8));
    assertThat(routing.holders().all()).isEmpty();
  }

  @Test
  void a_start_waits_for_the_first_sessions_with_all_workers_because_each_has_kept_its_own_keys() {
    Routing routing = new Routing();
    routing.opened(session("w0", "a"));
    DirectoryView both = expecting("a", "b");
    for (int i = 0; i < 100; i++) {
      assertThat(routing.route("\"key-" + i + "\"", ByteString.EMPTY, both)).isNull();
      // A restored run that began there waits as well.
      assertThat(routing.route("\"key-" + i + "\"", GENERATION, both)).isNull();
    }
    WorkerSession second = session("w1", "b");
    routing.opened(second);
    assertThat(assignment(routing, 100).values()).contains("w0", "w1");
    // From then on one that is away holds nobody up.
    routing.closed(second);
    assertThat(routing.route("\"key-1\"", ByteString.EMPTY, expecting("a", "c"))).isNotNull();
  }

  @Test
  void a_worker_that_could_not_be_connected_at_the_start_holds_nobody_up() {
    Routing routing = new Routing();
    WorkerSession only = session("w0", "a");
    routing.opened(only);
    assertThat(routing.route("\"k\"", ByteString.EMPTY, expecting("a", "b"))).isNull();
    assertThat(routing.route("\"k\"", ByteString.EMPTY, expecting("a"))).isSameAs(only);
  }
}
