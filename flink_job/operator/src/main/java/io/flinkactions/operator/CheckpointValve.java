package io.flinkactions.operator;

import io.flinkactions.operator.lane.WaitingInputs;
import io.flinkactions.operator.time.Deadlines;
import io.flinkactions.operator.time.Deadlines.Deadline;

/**
 * Lets records in without limit but the hard one, while a checkpoint is on its way and its barrier
 * is late.
 *
 * <p>Late, because an unaligned barrier overtakes the records and needs no help. Mailbox thread
 * only.
 */
final class CheckpointValve {

  private final WaitingInputs waiting;
  private final Deadlines deadlines;
  private final long delayMillis;
  private long announced = Long.MIN_VALUE;
  private long over = Long.MIN_VALUE;
  private Deadline opening;

  CheckpointValve(WaitingInputs waiting, Deadlines deadlines, long delayMillis) {
    this.waiting = waiting;
    this.deadlines = deadlines;
    this.delayMillis = delayMillis;
  }

  void onAnnounced(long checkpointId) {
    // An announcement may come behind an unaligned barrier.
    if (checkpointId <= over || checkpointId <= announced) {
      return;
    }
    announced = checkpointId;
    if (opening == null || !opening.isPending()) {
      opening = deadlines.in(delayMillis, this::onLate);
    }
  }

  private void onLate() {
    waiting.setValveOpen(announced > over);
  }

  /** The snapshot is taken, or there will be none. */
  void onOver(long checkpointId) {
    over = Math.max(over, checkpointId);
    if (announced <= over) {
      if (opening != null) {
        opening.cancel();
      }
      waiting.setValveOpen(false);
    }
  }
}
