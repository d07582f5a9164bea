package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.Drain;
import io.flinkactions.wire.v1.Holdings;
import io.flinkactions.wire.v1.WorkerEntry;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Which session a key's next invocation goes to. Belongs to the mailbox thread and changes only
 * with the events that it has seen, so that the operator is never routed to a session it has not
 * heard of, or has heard the end of.
 */
final class Routing {
  private final Map<WorkerSession, Drain.Reason> drainReasons = new HashMap<>();
  private final List<WorkerSession> open = new ArrayList<>();
  // Generations that new runs have gone to; the operator never goes back behind one of them while
  // it lives.
  private final Set<ByteString> used = new HashSet<>();

  // Generations whose workers have all had their chance to be connected. A restored operator that
  // took the first session for the only one would send keys past the worker that has kept their
  // work (CORRECTNESS.md 13).
  private final Set<ByteString> gathered = new HashSet<>();

  private final Holders holders = new Holders();

  private DirectoryView directory = DirectoryView.EMPTY;
  private Map<ByteString, List<WorkerSession>> byGeneration = Map.of();
  private ByteString currentGeneration = ByteString.EMPTY;
  private List<WorkerSession> current = List.of();

  void opened(WorkerSession session) {
    open.add(session);
    holders.opened(session);
    rebuild();
  }

  void tells(WorkerSession session, Holdings page) {
    holders.tells(session, page);
  }

  Holders holders() {
    return holders;
  }

  /** Whether a worker that may hold something has not told yet, and has time left. */
  boolean awaitsHoldings(DirectoryView latest) {
    follow(latest);
    return isUnread() || !holders.haveTold(directory.awaited());
  }

  void draining(WorkerSession session, Drain.Reason reason) {
    drainReasons.put(session, reason);
    rebuild();
  }

  void closed(WorkerSession session) {
    session.notOpenAnyMore();
    drainReasons.remove(session);
    if (open.remove(session)) {
      rebuild();
    }
  }

  boolean isArchive(WorkerSession session) {
    return directory.states().get(session.incarnation()) == WorkerEntry.State.ARCHIVE;
  }

  /**
   * A worker may have welcomed this start before what the directory said of all of them has come
   * here: it is not the only one for that.
   */
  private boolean isUnread() {
    return directory == DirectoryView.EMPTY;
  }

  private void follow(DirectoryView latest) {
    if (latest != directory) {
      directory = latest;
      rebuild();
    }
  }

  WorkerSession quarantine() {
    for (WorkerSession session : open) {
      if (session.isQuarantine() && !drainReasons.containsKey(session)) {
        return session;
      }
    }
    return null;
  }

  Collection<WorkerSession> open() {
    return Collections.unmodifiableList(open);
  }

  WorkerSession route(String key, ByteString generation, DirectoryView latest) {
    follow(latest);
    if (isUnread()) {
      return null;
    }
    if (generation.isEmpty() || generation.equals(currentGeneration)) {
      return Rendezvous.choose(key, current);
    }
    List<WorkerSession> pinned = byGeneration.get(generation);
    if (pinned != null) {
      return gathered.contains(generation) ? Rendezvous.choose(key, pinned) : null;
    }
    return directory.reachableSoon().contains(generation) ? null : Rendezvous.choose(key, current);
  }

  boolean isAlive(ByteString generation, DirectoryView latest) {
    follow(latest);
    return byGeneration.containsKey(generation) || directory.reachableSoon().contains(generation);
  }

  private void rebuild() {
    byGeneration = new HashMap<>();
    for (WorkerSession session : open) {
      if (takesPinnedRuns(session)) {
        byGeneration.computeIfAbsent(session.generation(), id -> new ArrayList<>()).add(session);
      }
    }
    gathered.retainAll(byGeneration.keySet());
    byGeneration.forEach(this::noteIfGathered);
    chooseCurrent();
  }

  private void noteIfGathered(ByteString generation, List<WorkerSession> sessions) {
    // Unknown if what was last read of the directory is older than the session.
    Set<ByteString> expected = directory.firstSessions().get(generation);
    if (expected != null
        && sessions.stream().map(WorkerSession::incarnation).toList().containsAll(expected)) {
      gathered.add(generation);
    }
  }

  private void chooseCurrent() {
    List<ByteString> generations = directory.generations();
    for (int i = generations.size() - 1; i >= 0; i--) {
      ByteString generation = generations.get(i);
      if (byGeneration.containsKey(generation) && !gathered.contains(generation)) {
        if (used.isEmpty()) {
          setCurrent(generation, List.of());
          return;
        }
        // The generation before it goes on, if it still does.
        continue;
      }
      List<WorkerSession> sessions =
          byGeneration.getOrDefault(generation, List.of()).stream()
              .filter(this::takesNewRuns)
              .toList();
      if (!sessions.isEmpty()) {
        used.retainAll(generations);
        used.add(generation);
        setCurrent(generation, sessions);
        return;
      }
      if (used.contains(generation) && directory.reachableSoon().contains(generation)) {
        setCurrent(generation, List.of());
        return;
      }
    }
    // Workers of a supervisor that is gone serve until they have drained.
    List<WorkerSession> orphans = open.stream().filter(this::takesNewRuns).toList();
    ByteString generation = generationOf(orphans);
    setCurrent(
        generation,
        orphans.stream().filter(session -> session.generation().equals(generation)).toList());
  }

  /** Nobody says which one is newer: the one that new runs have gone to, if it is among them. */
  private ByteString generationOf(List<WorkerSession> orphans) {
    if (orphans.stream().anyMatch(session -> session.generation().equals(currentGeneration))) {
      return currentGeneration;
    }
    return orphans.isEmpty() ? ByteString.EMPTY : orphans.get(0).generation();
  }

  private void setCurrent(ByteString generation, List<WorkerSession> sessions) {
    currentGeneration = generation;
    current = sessions;
  }

  private boolean takesNewRuns(WorkerSession session) {
    WorkerEntry.State state = directory.states().get(session.incarnation());
    return !session.isQuarantine()
        && !drainReasons.containsKey(session)
        && (state == null
            || state == WorkerEntry.State.SERVING
            || state == WorkerEntry.State.STARTING);
  }

  /**
   * A worker that drains for a reload goes on with what began in its generation; one that shuts
   * down takes nothing.
   */
  private boolean takesPinnedRuns(WorkerSession session) {
    Drain.Reason reason = drainReasons.get(session);
    WorkerEntry.State state = directory.states().get(session.incarnation());
    return !session.isQuarantine()
        && (reason == null || reason == Drain.Reason.RELOAD)
        && state != WorkerEntry.State.DEAD
        && state != WorkerEntry.State.ARCHIVE;
  }
}
