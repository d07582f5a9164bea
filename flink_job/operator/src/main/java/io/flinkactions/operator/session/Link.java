package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.WorkerEntry;
import java.util.concurrent.ScheduledFuture;

/** What this side has with one incarnation of one worker. Of the fleet, and on its thread. */
final class Link {

  enum Phase {
    IDLE,
    CONNECTING,
    OPEN,
    WAITING, // for the next attempt
    REFUSED // the worker wants no session until the directory says something else of it
  }

  final ByteString incarnation;
  // Its parent, whose word about its death counts, and nobody else's.
  ByteString supervisor;
  // Where that one answers.
  String endpoint;
  WorkerEntry entry;
  String address;
  boolean isListed = true;
  Phase phase = Phase.IDLE;
  WorkerStream stream;
  ScheduledFuture<?> timer;
  final Backoff backoff = new Backoff();
  WorkerEntry.State refusedIn;
  boolean wasWelcomed;
  boolean hasFailed;

  // Of a restarted job: until then its worker is waited for to tell what it holds of earlier
  // starts.
  boolean mayTellHoldings;
  long holdingsDueAt;

  WorkerSession interrupted;
  long giveUpAt;

  // This side has said Bye, and waits for the end of the stream.
  boolean isLeaving;

  // Set once the worker is known to be dead, while its last frames are waited for.
  Death death;

  Link(ByteString incarnation) {
    this.incarnation = incarnation;
  }

  /** Whether it has a session, or is about to have one. */
  boolean isReachableSoon() {
    return phase == Phase.CONNECTING || phase == Phase.WAITING || phase == Phase.OPEN;
  }

  /** Whether its worker is for suspects only. */
  boolean isQuarantine() {
    return entry.getRole() == WorkerEntry.Role.QUARANTINE;
  }

  /** Whether it has a session, or whether it will have one is still open. */
  boolean isOpenOrFirstTried() {
    return phase == Phase.OPEN || phase == Phase.CONNECTING && !wasWelcomed && !hasFailed;
  }

  void cancelTimer() {
    if (timer != null) {
      timer.cancel(false);
      timer = null;
    }
  }
}
