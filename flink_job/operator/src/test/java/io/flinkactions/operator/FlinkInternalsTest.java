package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ExecutionOptions;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.metrics.Histogram;
import org.apache.flink.runtime.checkpoint.CheckpointOptions;
import org.apache.flink.runtime.checkpoint.CheckpointType;
import org.apache.flink.runtime.checkpoint.SavepointType;
import org.apache.flink.runtime.checkpoint.SnapshotType;
import org.apache.flink.runtime.io.network.api.writer.ResultPartitionWriter;
import org.apache.flink.runtime.state.CheckpointStorageLocationReference;
import org.apache.flink.runtime.state.CheckpointableKeyedStateBackend;
import org.apache.flink.runtime.state.KeyGroupRange;
import org.apache.flink.runtime.state.KeyGroupRangeAssignment;
import org.apache.flink.runtime.state.KeyedStateBackend;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.AbstractStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.BoundedOneInput;
import org.apache.flink.streaming.api.operators.ChainingStrategy;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.StreamOperator;
import org.apache.flink.streaming.api.operators.StreamOperatorParameters;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What {@link FlinkInternals} says in a real task of the Flink that the tests run on. */
@SuppressWarnings("try") // The close() of Flink's CloseableIterator throws Exception.
class FlinkInternalsTest {

  /** Asks every member, and emits the answers at the end of the input. */
  private static final class Asking extends AbstractStreamOperator<String>
      implements OneInputStreamOperator<String, String>, BoundedOneInput {
    private static final long serialVersionUID = 1L;
    private final transient MailboxExecutor own;
    private transient ValueState<String> seen;

    Asking(StreamOperatorParameters<String> parameters) {
      super(parameters);
      own = parameters.getMailboxExecutor();
    }

    @Override
    public void initializeState(StateInitializationContext context) throws Exception {
      super.initializeState(context);
      if (context.getKeyedStateStore() != null) {
        seen =
            context.getKeyedStateStore().getState(new ValueStateDescriptor<>("seen", Types.STRING));
      }
    }

    @Override
    public void processElement(StreamRecord<String> element) throws Exception {
      if (seen != null) {
        seen.update("yes");
      }
    }

    @Override
    public void endInput() throws Exception {
      say("head=" + FlinkInternals.isHeadOfChain(getOperatorConfig()));
      say("checkpoints=" + FlinkInternals.takesCheckpoints(getContainingTask()));
      ResultPartitionWriter[] writers = FlinkInternals.writers(getContainingTask());
      say("writers=" + writers.length);
      say("unavailable=" + FlinkInternals.firstUnavailable(writers));
      say("yields=" + whoRunsTheTasksMails());
      KeyedStateBackend<String> backend = getKeyedStateBackend();
      if (backend != null) {
        say("oneKeyOnly=" + FlinkInternals.holdsOneKeyOnly(backend));
        say("keys=" + FlinkInternals.keys(backend, "seen").sorted().toList());
        var task = getRuntimeContext().getTaskInfo();
        KeyGroupRange range =
            FlinkInternals.keyGroups(
                task.getMaxNumberOfParallelSubtasks(),
                task.getNumberOfParallelSubtasks(),
                task.getIndexOfThisSubtask());
        say(
            "keyGroups="
                + range.equals(((CheckpointableKeyedStateBackend<?>) backend).getKeyGroupRange()));
      }
    }

    /** Which executor's yield runs a mail of the task's own priority. */
    private String whoRunsTheTasksMails() throws Exception {
      MailboxExecutor waiting = FlinkInternals.yieldingToCheckpoints(getContainingTask());
      List<String> ran = new ArrayList<>();
      waiting.execute(() -> ran.add("task"), "a mail of the task's priority");
      while (own.tryYield()) {
        // Everything of this operator's own.
      }
      String byOwn = ran.toString();
      while (ran.isEmpty() && waiting.tryYield()) {
        // Whatever lies before it.
      }
      return byOwn + ran;
    }

    private void say(String answer) {
      output.collect(new StreamRecord<>(answer));
    }
  }

  private static final class AskingFactory extends AbstractStreamOperatorFactory<String>
      implements OneInputStreamOperatorFactory<String, String> {
    private static final long serialVersionUID = 1L;

    AskingFactory() {
      chainingStrategy = ChainingStrategy.ALWAYS;
    }

    @Override
    @SuppressWarnings("unchecked") // Flink's own signature.
    public <T extends StreamOperator<String>> T createStreamOperator(
        StreamOperatorParameters<String> parameters) {
      return (T) new Asking(parameters);
    }

    @Override
    @SuppressWarnings("rawtypes") // Flink's own signature.
    public Class<? extends StreamOperator> getStreamOperatorClass(ClassLoader classLoader) {
      return Asking.class;
    }
  }

  @TempDir Path folder;

  private List<String> ask(boolean isKeyed, boolean isBatch, boolean takesCheckpoints)
      throws Exception {
    Configuration configuration = new Configuration();
    configuration.set(RestOptions.BIND_PORT, "0");
    if (isBatch) {
      configuration.set(ExecutionOptions.RUNTIME_MODE, RuntimeExecutionMode.BATCH);
    }
    if (takesCheckpoints) {
      configuration.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, Duration.ofMillis(200));
      configuration.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, folder.toUri().toString());
    }
    StreamExecutionEnvironment environment =
        StreamExecutionEnvironment.getExecutionEnvironment(configuration);
    environment.setParallelism(1);
    DataStream<String> input = environment.fromData("a", "b", "c");
    DataStream<String> asked =
        isKeyed
            ? input
                .keyBy(text -> text, Types.STRING)
                .transform("asking", Types.STRING, new AskingFactory())
            : input.transform("asking", Types.STRING, new AskingFactory());
    List<String> answers = new ArrayList<>();
    try (var results = asked.rebalance().map(text -> text).executeAndCollect()) {
      results.forEachRemaining(answers::add);
    }
    return answers;
  }

  @Test
  void behind_keyBy_in_streaming() throws Exception {
    assertThat(ask(true, false, true))
        .containsExactlyInAnyOrder(
            "head=true",
            "checkpoints=true",
            "writers=1",
            "unavailable=null",
            "yields=[][task]",
            "oneKeyOnly=false",
            "keys=[a, b, c]",
            "keyGroups=true");
  }

  @Test
  void chained_behind_another_operator_and_without_checkpoints() throws Exception {
    assertThat(ask(false, false, false)).contains("head=false", "checkpoints=false");
  }

  @Test
  void in_batch_the_backend_holds_one_key_only() throws Exception {
    assertThat(ask(true, true, false)).contains("oneKeyOnly=true", "head=true");
  }

  @Test
  void a_key_is_in_the_key_group_of_the_subtask_that_gets_it() {
    for (int i = 0; i < 100; i++) {
      String key = "key " + i;
      int subtask = KeyGroupRangeAssignment.assignKeyToParallelOperator(key, 128, 3);
      assertThat(
              FlinkInternals.keyGroups(128, 3, subtask).contains(FlinkInternals.keyGroup(key, 128)))
          .isTrue();
    }
  }

  @Test
  void only_a_stop_with_savepoint_is_synchronous() {
    SavepointFormatType format = SavepointFormatType.CANONICAL;
    assertThat(isSynchronous(CheckpointType.CHECKPOINT)).isFalse();
    assertThat(isSynchronous(SavepointType.savepoint(format))).isFalse();
    assertThat(isSynchronous(SavepointType.suspend(format))).isTrue();
    assertThat(isSynchronous(SavepointType.terminate(format))).isTrue();
  }

  private static boolean isSynchronous(SnapshotType type) {
    return FlinkInternals.isSynchronousSavepoint(
        new CheckpointOptions(type, CheckpointStorageLocationReference.getDefault()));
  }

  @Test
  void a_histogram_knows_its_values() {
    Histogram histogram = FlinkInternals.histogram();
    for (int i = 1; i <= 100; i++) {
      histogram.update(i);
    }
    assertThat(histogram.getCount()).isEqualTo(100);
    assertThat(histogram.getStatistics().getMax()).isEqualTo(100);
    assertThat(histogram.getStatistics().getQuantile(0.5)).isBetween(49.0, 52.0);
  }

  @Test
  void attributes_say_whether_batch_leaves_the_input_unsorted() {
    assertThat(FlinkInternals.attributes(true).isInternalSorterSupported()).isTrue();
    assertThat(FlinkInternals.attributes(false).isInternalSorterSupported()).isFalse();
  }

  @Test
  void a_configuration_file_is_read_as_flink_reads_it() throws Exception {
    Files.writeString(folder.resolve("config.yaml"), "agent:\n  some-key: 7\n");
    assertThat(FlinkInternals.configurationFile(folder.toString()))
        .containsEntry("agent.some-key", "7");
  }
}
