package io.flinkactions.operator;

import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.GlobalConfiguration;
import org.apache.flink.metrics.Histogram;
import org.apache.flink.runtime.checkpoint.CheckpointOptions;
import org.apache.flink.runtime.checkpoint.SavepointType;
import org.apache.flink.runtime.checkpoint.SnapshotType;
import org.apache.flink.runtime.io.network.api.writer.ResultPartitionWriter;
import org.apache.flink.runtime.metrics.DescriptiveStatisticsHistogram;
import org.apache.flink.runtime.state.KeyGroupRange;
import org.apache.flink.runtime.state.KeyGroupRangeAssignment;
import org.apache.flink.runtime.state.KeyedStateBackend;
import org.apache.flink.runtime.state.VoidNamespace;
import org.apache.flink.streaming.api.graph.StreamConfig;
import org.apache.flink.streaming.api.operators.OperatorAttributes;
import org.apache.flink.streaming.api.operators.OperatorAttributesBuilder;
import org.apache.flink.streaming.api.operators.sorted.state.BatchExecutionKeyedStateBackend;
import org.apache.flink.streaming.runtime.tasks.StreamTask;

/**
 * What the operator uses of Flink that is not public, in one place: each member here has a test of
 * its own, which runs on every version of Flink that the jar is for.
 */
final class FlinkInternals {

  // Below every operator's own: the priority of the task's own mails, checkpoint triggers among
  // them.
  private static final int PRIORITY_OF_THE_TASK = -1;

  private static final int HISTOGRAM_SIZE = 1_024;

  private FlinkInternals() {}

  /**
   * An executor whose {@code yield} runs the task's own mails too, so that a checkpoint is taken
   * while a record waits for room. An operator's own executor runs only its mails and those of the
   * operators behind it. Sound at the head of a chain only.
   */
  static MailboxExecutor yieldingToCheckpoints(StreamTask<?, ?> task) {
    return task.getMailboxExecutorFactory().createExecutor(PRIORITY_OF_THE_TASK);
  }

  /**
   * Whether the job is configured to take checkpoints; in BATCH it takes none all the same.
   * StreamConfig said so in 2.0 and does not in 2.3.
   */
  static boolean takesCheckpoints(StreamTask<?, ?> task) {
    return task.getEnvironment()
        .getJobConfiguration()
        .getOptional(CheckpointingOptions.CHECKPOINTING_INTERVAL)
        .isPresent();
  }

  /** Whether no operator of the task hands records to this one. */
  static boolean isHeadOfChain(StreamConfig config) {
    return config.isChainStart();
  }

  /** The task's network outputs, those of operators chained behind this one included. */
  static ResultPartitionWriter[] writers(StreamTask<?, ?> task) {
    return task.getEnvironment().getAllWriters();
  }

  /** The first output that would block a record written to it, or null. */
  static CompletableFuture<?> firstUnavailable(ResultPartitionWriter[] writers) {
    for (ResultPartitionWriter writer : writers) {
      if (!writer.isAvailable()) {
        return writer.getAvailableFuture();
      }
    }
    return null;
  }

  /**
   * Flink's state backend of BATCH mode: it holds one key, and wipes it whenever the key changes.
   */
  static boolean holdsOneKeyOnly(KeyedStateBackend<?> backend) {
    return backend instanceof BatchExecutionKeyedStateBackend;
  }

  /** Key groups that a subtask owns. */
  static KeyGroupRange keyGroups(int maxParallelism, int parallelism, int subtask) {
    return KeyGroupRangeAssignment.computeKeyGroupRangeForOperatorIndex(
        maxParallelism, parallelism, subtask);
  }

  /** Key group of a key. */
  static int keyGroup(String key, int maxParallelism) {
    return KeyGroupRangeAssignment.assignToKeyGroup(key, maxParallelism);
  }

  /** Stop-with-savepoint: the job ends when this snapshot is confirmed. */
  static boolean isSynchronousSavepoint(CheckpointOptions options) {
    SnapshotType type = options.getCheckpointType();
    return type.isSavepoint() && ((SavepointType) type).isSynchronous();
  }

  /** All keys that have a value in the named state. Collect them before reading any. */
  static Stream<String> keys(KeyedStateBackend<String> backend, String stateName) {
    return backend.getKeys(stateName, VoidNamespace.INSTANCE);
  }

  /** Of the last values, as Flink's own latencies have it. */
  static Histogram histogram() {
    return new DescriptiveStatisticsHistogram(HISTOGRAM_SIZE);
  }

  /** Keeps BATCH mode from sorting this operator's input. */
  static OperatorAttributes attributes(boolean leavesInputUnsorted) {
    return new OperatorAttributesBuilder().setInternalSorterSupported(leavesInputUnsorted).build();
  }

  /** Flink's {@code config.yaml} in a folder, as flat keys and texts. */
  static Map<String, String> configurationFile(String folder) {
    return GlobalConfiguration.loadConfiguration(folder).toMap();
  }
}
