package io.flinkactions.operator;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import org.apache.flink.runtime.jobgraph.OperatorID;
import org.apache.flink.runtime.operators.coordination.OperatorCoordinator;
import org.apache.flink.runtime.operators.coordination.OperatorEvent;
import org.apache.flink.util.FlinkRuntimeException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs beside the JobManager and tells every subtask that a checkpoint is on its way, before its
 * barrier is.
 *
 * <p>A barrier stands behind the records in the network buffers, and savepoints never overtake
 * them. A subtask that holds back records would wait for its actions before the barrier reaches it;
 * told in time, it lets the records in.
 *
 * <p>Methods run on Flink's coordinator thread.
 */
final class CheckpointAnnouncer implements OperatorCoordinator {

  private static final Logger LOG = LoggerFactory.getLogger(CheckpointAnnouncer.class);

  /** To a subtask: a checkpoint is on its way. */
  record Announced(long checkpointId) implements OperatorEvent {

    private static final long serialVersionUID = 1L;

    /**
     * An announcement that is lost costs time, and must not cost the task. No override in Flink
     * 2.0, whose interface has no such method yet; there a lost one does cost the task, see {@link
     * InputEnded}.
     */
    public boolean isLossTolerant() {
      return true;
    }
  }

  /**
   * From a subtask: its input has ended, so it holds back no record any more. It does not finish
   * before it has been told {@link NothingFollows}, because an event to a finished task is a lost
   * event, and fails the job.
   */
  record InputEnded() implements OperatorEvent {
    private static final long serialVersionUID = 1L;
  }

  /** To a subtask: the last event that it gets. */
  record NothingFollows() implements OperatorEvent {
    private static final long serialVersionUID = 1L;
  }

  /** Travels in the job graph. */
  record Provider(OperatorID operatorId) implements OperatorCoordinator.Provider {

    private static final long serialVersionUID = 1L;

    @Override
    public OperatorID getOperatorId() {
      return operatorId;
    }

    @Override
    public OperatorCoordinator create(Context context) {
      return new CheckpointAnnouncer();
    }
  }

  private final ConcurrentMap<Integer, SubtaskGateway> subtasks = new ConcurrentHashMap<>();

  @Override
  public void checkpointCoordinator(long checkpointId, CompletableFuture<byte[]> result) {
    Announced announced = new Announced(checkpointId);
    for (SubtaskGateway subtask : subtasks.values()) {
      try {
        subtask.sendEvent(announced);
      } catch (FlinkRuntimeException e) {
        // It is not running any more: nothing waits there, and its checkpoint is going to be
        // declined.
        LOG.debug(
            "Checkpoint {} not announced to subtask {}", checkpointId, subtask.getSubtask(), e);
      }
    }
    // Nothing of its own to keep.
    result.complete(new byte[0]);
  }

  @Override
  public void executionAttemptReady(int subtask, int attemptNumber, SubtaskGateway gateway) {
    subtasks.put(subtask, gateway);
  }

  @Override
  public void executionAttemptFailed(int subtask, int attemptNumber, Throwable reason) {
    SubtaskGateway gateway = subtasks.get(subtask);
    if (gateway != null && gateway.getExecution().getAttemptNumber() == attemptNumber) {
      subtasks.remove(subtask, gateway);
    }
  }

  @Override
  public void subtaskReset(int subtask, long checkpointId) {
    subtasks.remove(subtask);
  }

  @Override
  public void start() {}

  @Override
  public void close() {}

  @Override
  public void handleEventFromOperator(int subtask, int attemptNumber, OperatorEvent event) {
    SubtaskGateway gateway = subtasks.get(subtask);
    if (event instanceof InputEnded
        && gateway != null
        && gateway.getExecution().getAttemptNumber() == attemptNumber) {
      subtasks.remove(subtask);
      gateway.sendEvent(new NothingFollows());
    }
  }

  @Override
  public void notifyCheckpointComplete(long checkpointId) {}

  @Override
  public void resetToCheckpoint(long checkpointId, byte[] checkpointData) {}
}
