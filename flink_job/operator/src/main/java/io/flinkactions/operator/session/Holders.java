package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.Holdings;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Which workers hold work of earlier starts, as they have told after Welcome (CORRECTNESS.md 13).
 *
 * <p>Whose a key is now says nothing of that: since the checkpoint workers may have died, and
 * others stood in for them until they had successors. So each worker tells for itself, exactly, by
 * invocation, and whoever was the last to work on one is asked for it first. What is asked for, and
 * what is answered, is out of here; so is all that a worker held when it is given up. While its
 * stream is interrupted it holds what it held: it is waited for, like by those that are open there.
 * Mailbox thread only.
 */
final class Holders {
  // By incarnation, and with the last session that each of them had.
  private final Map<ByteString, HeldIds> held = new HashMap<>();
  private final Map<ByteString, WorkerSession> sessions = new HashMap<>();
  private final Set<ByteString> told = new HashSet<>();

  void opened(WorkerSession session) {
    if (session.isQuarantine()) {
      return;
    }
    sessions.put(session.incarnation(), session);
    if (!session.tellsHoldings()) {
      held.remove(session.incarnation());
      told.add(session.incarnation());
    }
    // Else it tells from the beginning. What it has told before holds until then, and what of that
    // is told again although it was asked for is asked for twice, if at all.
  }

  void tells(WorkerSession session, Holdings page) {
    if (sessions.get(session.incarnation()) != session) {
      return;
    }
    if (!page.getInvocations().isEmpty()) {
      held.computeIfAbsent(session.incarnation(), id -> new HeldIds()).add(page);
    }
    if (page.getIsLast()) {
      told.add(session.incarnation());
    }
  }

  /** The worker is given up. */
  void ended(WorkerSession session) {
    if (sessions.remove(session.incarnation(), session)) {
      held.remove(session.incarnation());
      told.remove(session.incarnation());
    }
  }

  boolean haveTold(Collection<ByteString> incarnations) {
    return told.containsAll(incarnations);
  }

  /** Sessions of those that hold anything, interrupted ones among them. */
  List<WorkerSession> all() {
    if (held.isEmpty()) {
      return List.of();
    }
    List<WorkerSession> holders = new ArrayList<>(held.size());
    held.keySet().forEach(incarnation -> holders.add(sessions.get(incarnation)));
    return holders;
  }

  /** See {@link HeldIds#rankOf}. */
  long rank(WorkerSession holder, byte[] invocationId) {
    HeldIds ids = held.get(holder.incarnation());
    return ids == null ? 0 : ids.rankOf(invocationId);
  }

  /** The invocation goes there: should it come back undone, another holder may be asked. */
  void asked(WorkerSession holder, byte[] invocationId) {
    HeldIds ids = held.get(holder.incarnation());
    if (ids != null) {
      ids.remove(invocationId);
      if (ids.isEmpty()) {
        held.remove(holder.incarnation());
      }
    }
  }

  /** The invocation was answered: what others hold of it is behind that. */
  void answered(byte[] invocationId) {
    if (!held.isEmpty()) {
      held.values().forEach(ids -> ids.remove(invocationId));
      held.values().removeIf(HeldIds::isEmpty);
    }
  }
}
