package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.Credit;
import io.flinkactions.wire.v1.WorkerEntry;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

class RoutingTest {
  private static final ByteString GENERATION = ByteString.copyFromUtf8("g");

  private static WorkerSession session(String worker, String incarnation) {
    return new WorkerSession(
        null,
        new WorkerSession.Welcomed(
            worker,
            ByteString.copyFromUtf8(incarnation),
            GENERATION,
            ScriptedWorker.PLAN,
            0,
            false),
        new Outbox(1 << 20, 2, Credit.getDefaultInstance()),
        null);
  }

  private static final DirectoryView ONE_GENERATION =
      new DirectoryView(
          List.of(GENERATION), Map.of(), Set.of(), Map.of(GENERATION, Set.of()), Map.of());

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
            Map.of());
    assertThat(routing.route("\"k\"", old, mayComeBack)).isNull();
    DirectoryView gone =
        new DirectoryView(
            List.of(GENERATION), Map.of(), Set.of(), Map.of(GENERATION, Set.of()), Map.of());
    assertThat(routing.route("\"k\"", old, gone)).isSameAs(current);
  }

  private static DirectoryView expecting(String... incarnations) {
    Set<ByteString> expected = new HashSet<>();
    for (String incarnation : incarnations) {
      expected.add(ByteString.copyFromUtf8(incarnation));
    }
    return new DirectoryView(
        List.of(GENERATION), Map.of(), Set.of(GENERATION), Map.of(GENERATION, expected), Map.of());
  }

  @Test
  void kept_work_is_asked_for_in_the_oldest_archive_first_and_never_in_one_that_had_nothing() {
    ByteString older = ByteString.copyFromUtf8("older");
    ByteString old = ByteString.copyFromUtf8("old");
    Routing routing = new Routing();
    WorkerSession serving = session("w0", "a");
    WorkerSession oldest = session("w0", "o");
    routing.opened(serving);
    routing.opened(oldest);
    DirectoryView view =
        new DirectoryView(
            List.of(older, old, GENERATION),
            Map.of(oldest.incarnation(), WorkerEntry.State.ARCHIVE),
            Set.of(GENERATION),
            Map.of(GENERATION, Set.of(serving.incarnation())),
            Map.of(
                older,
                Set.of(oldest.incarnation()),
                old,
                Set.of(ByteString.copyFromUtf8("not welcomed yet"))));
    assertThat(routing.archive("k", ByteString.EMPTY, ByteString.EMPTY, view).session())
        .isSameAs(oldest);
    assertThat(routing.isArchive(oldest)).isTrue();
    assertThat(routing.archive("k", ByteString.EMPTY, older, view).mustWait()).isTrue();
    assertThat(routing.archive("k", ByteString.EMPTY, old, view)).isEqualTo(ArchiveRoute.NONE);
    // A run that began elsewhere has nothing there.
    assertThat(routing.archive("k", GENERATION, ByteString.EMPTY, view))
        .isEqualTo(ArchiveRoute.NONE);
    assertThat(routing.route("k", ByteString.EMPTY, view)).isSameAs(serving);
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
