package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.AgentDigest;
import io.flinkactions.wire.v1.DirectoryState;
import io.flinkactions.wire.v1.Generation;
import io.flinkactions.wire.v1.WorkerEntry;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/** What the directory said last, read for the fleet. On the fleet's thread. */
final class Roster {
  private final StartIdentity identity;
  private String endpoint = "";
  private DirectoryState state = DirectoryState.getDefaultInstance();

  Roster(StartIdentity identity) {
    this.identity = identity;
  }

  void read(String from, DirectoryState latest) {
    endpoint = from;
    state = latest;
  }

  /** Where this was said. */
  String endpoint() {
    return endpoint;
  }

  /** Whose word this is; another one knows nothing of the workers of the former. */
  ByteString supervisor() {
    return state.getSupervisorId();
  }

  /** Whether new code has taken the place of this generation's. */
  boolean isDraining(ByteString generation) {
    return state.getGenerationsList().stream()
        .anyMatch(known -> known.getIsDraining() && known.getId().equals(generation));
  }

  /** Whether this worker keeps work that this start may ask for. */
  boolean isArchiveForUs(WorkerEntry entry) {
    return entry.getState() == WorkerEntry.State.ARCHIVE && keepsForUs(entry);
  }

  /** Whether it says that it has something of earlier starts of this operator, or of this one. */
  boolean keepsForUs(WorkerEntry entry) {
    return identity.isRestart()
        && entry.getKeptList().stream()
            .anyMatch(
                kept ->
                    kept.getNamespace().equals(identity.namespace())
                        && kept.getOperatorUid().equals(identity.operatorUid()));
  }

  /** Whether there is a quarantine worker that takes suspects, or will in a moment. */
  boolean hasQuarantine() {
    return state.getWorkersList().stream()
        .anyMatch(
            entry ->
                entry.getRole() == WorkerEntry.Role.QUARANTINE
                    && (entry.getState() == WorkerEntry.State.STARTING
                        || entry.getState() == WorkerEntry.State.SERVING));
  }

  /**
   * Digest of the plan that this generation offers for the agent, if this side has it; or empty.
   */
  ByteString planDigest(ByteString generation, String agent, PlanCache plans) {
    for (Generation known : state.getGenerationsList()) {
      if (known.getId().equals(generation)) {
        for (AgentDigest digest : known.getAgentsList()) {
          if (digest.getAgent().equals(agent) && plans.has(digest.getPlanDigest())) {
            return digest.getPlanDigest();
          }
        }
      }
    }
    return ByteString.EMPTY;
  }

  /** The same for routing, together with what connections there are. */
  DirectoryView view(Collection<Link> links) {
    Map<ByteString, WorkerEntry.State> states = new HashMap<>();
    Set<ByteString> reachableSoon = new HashSet<>();
    Map<ByteString, Set<ByteString>> firstSessions = new HashMap<>();
    Set<ByteString> awaited = new HashSet<>();
    for (Link link : links) {
      if (link.isQuarantine()) {
        continue;
      }
      // One that has kept something is tried more than once.
      if (link.mayTellHoldings && (link.isOpenOrFirstTried() || keepsForUs(link.entry))) {
        awaited.add(link.incarnation);
      }
      ByteString generation = link.entry.getGeneration();
      if (link.entry.getState() == WorkerEntry.State.ARCHIVE) {
        continue;
      }
      if (link.isOpenOrFirstTried()) {
        firstSessions.computeIfAbsent(generation, id -> new HashSet<>()).add(link.incarnation);
      }
      if (link.isReachableSoon()) {
        reachableSoon.add(generation);
      }
    }
    for (WorkerEntry entry : state.getWorkersList()) {
      states.put(entry.getIncarnation(), entry.getState());
      if (entry.getState() == WorkerEntry.State.STARTING
          && entry.getRole() != WorkerEntry.Role.QUARANTINE) {
        reachableSoon.add(entry.getGeneration());
      }
    }
    return new DirectoryView(
        state.getGenerationsList().stream().map(Generation::getId).toList(),
        states,
        reachableSoon,
        firstSessions,
        awaited);
  }

  /** For people. */
  String describe() {
    StringBuilder text = new StringBuilder();
    if (state.getWorkersCount() == 0) {
      text.append("no worker");
    }
    for (int i = 0; i < state.getWorkersCount(); i++) {
      WorkerEntry entry = state.getWorkers(i);
      text.append(i == 0 ? "" : ", ")
          .append(entry.getWorker())
          .append(' ')
          .append(entry.getState());
      if (!entry.getExitReason().isEmpty()) {
        text.append(" (").append(entry.getExitReason()).append(')');
      }
    }
    if (!state.getReloadError().isEmpty()) {
      text.append("; loading failed: ").append(state.getReloadError());
    }
    return text.toString();
  }
}
