package io.flinkactions.operator.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.flinkactions.operator.Bridge;
import io.flinkactions.operator.codec.KeyedInput;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.flink.api.common.JobID;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ExecutionOptions;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.configuration.WebOptions;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.runtime.checkpoint.AbstractCheckpointStats;
import org.apache.flink.runtime.jobgraph.JobGraph;
import org.apache.flink.runtime.jobmaster.JobResult;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * A MiniCluster and the one job on it: source, what a PyFlink job puts behind it, counting sink.
 */
final class BenchJob implements AutoCloseable {

  private static final long DEADLINE_SECONDS = 60;
  private static final int CHECKPOINT_HISTORY = 2_000;

  private final BenchCase benchCase;
  private final MiniCluster cluster;
  private final JobID jobId;
  private final CompletableFuture<JobResult> result;

  private BenchJob(BenchCase benchCase, MiniCluster cluster, JobID jobId) {
    this.benchCase = benchCase;
    this.cluster = cluster;
    this.jobId = jobId;
    this.result = cluster.requestJobResult(jobId);
  }

  static BenchJob start(BenchCase benchCase) throws Exception {
    Configuration configuration = configuration(benchCase);
    MiniCluster cluster =
        new MiniCluster(
            new MiniClusterConfiguration.Builder()
                .setConfiguration(configuration)
                .setNumTaskManagers(1)
                .setNumSlotsPerTaskManager(benchCase.parallelism())
                .build());
    cluster.start();
    JobGraph graph = graph(benchCase, configuration);
    cluster.submitJob(graph).get(DEADLINE_SECONDS, TimeUnit.SECONDS);
    return new BenchJob(benchCase, cluster, graph.getJobID());
  }

  private static Configuration configuration(BenchCase benchCase) {
    Configuration configuration = new Configuration();
    configuration.set(RestOptions.BIND_PORT, "0");
    configuration.set(TaskManagerOptions.MANAGED_MEMORY_SIZE, MemorySize.ofMebiBytes(256));
    configuration.set(WebOptions.CHECKPOINTS_HISTORY_SIZE, CHECKPOINT_HISTORY);
    configuration.set(StateBackendOptions.STATE_BACKEND, benchCase.stateBackend());
    if (benchCase.checkpointMillis() > 0) {
      configuration.set(
          CheckpointingOptions.CHECKPOINTING_INTERVAL,
          Duration.ofMillis(benchCase.checkpointMillis()));
      configuration.set(CheckpointingOptions.ENABLE_UNALIGNED, benchCase.unaligned());
      configuration.set(
          CheckpointingOptions.CHECKPOINTS_DIRECTORY,
          "file://" + benchCase.checkpointFolder() + "/checkpoints");
      configuration.set(CheckpointingOptions.INCREMENTAL_CHECKPOINTS, true);
    }
    if (benchCase.bufferTimeoutMillis() >= 0) {
      long micros = (long) (benchCase.bufferTimeoutMillis() * 1_000);
      configuration.set(ExecutionOptions.BUFFER_TIMEOUT, Duration.ofNanos(micros * 1_000));
    }
    return configuration;
  }

  private static JobGraph graph(BenchCase benchCase, Configuration configuration) throws Exception {
    StreamExecutionEnvironment environment =
        StreamExecutionEnvironment.getExecutionEnvironment(configuration);
    environment.setParallelism(benchCase.parallelism());
    DataStream<String> inputs =
        environment.fromSource(
            new PacedSource(benchCase.keys(), benchCase.payloadBytes()),
            WatermarkStrategy.noWatermarks(),
            "inputs",
            Types.STRING);
    boolean measuresLatency = benchCase.measure() == BenchCase.Measure.LATENCY;
    boolean measuresGaps = benchCase.measure() == BenchCase.Measure.RECONNECT;
    outputs(benchCase, inputs)
        .sinkTo(new OutputProbe(measuresLatency, measuresGaps))
        .name("outputs");
    return environment.getStreamGraph().getJobGraph();
  }

  private static DataStream<String> outputs(BenchCase benchCase, DataStream<String> inputs)
      throws Exception {
    if (benchCase.measure() == BenchCase.Measure.BASELINE) {
      KeyedInput<String> input = KeyedInput.byFields(Types.STRING, "json", List.of("key"));
      return inputs.keyBy(input.key(), Types.STRING).map(text -> text).returns(Types.STRING);
    }
    Map<String, String> options =
        benchCase.maxRuns() > 0
            ? Map.of("max-runs-in-flight", Integer.toString(benchCase.maxRuns()))
            : Map.of();
    Map<String, Object> call =
        Map.of(
            "agent",
            benchCase.agent(),
            "endpoints",
            List.of(benchCase.endpoint()),
            "key_by",
            List.of("key"),
            "input_type",
            "json",
            "output_type",
            "json",
            "options",
            options);
    return strings(
        Bridge.apply(inputs, new ObjectMapper().writeValueAsString(call), null)
            .streams()
            .outputs());
  }

  @SuppressWarnings("unchecked") // Outputs of type "json" are strings.
  private static DataStream<String> strings(DataStream<?> outputs) {
    return (DataStream<String>) outputs;
  }

  /** Throws if the job has ended: a benchmark's job ends only by failing. */
  void failIfEnded() throws Exception {
    if (result.isDone()) {
      JobResult ended = result.get();
      throw new IllegalStateException(
          "the job ended while it was measured", ended.getSerializedThrowable().orElse(null));
    }
  }

  /**
   * Milliseconds from trigger to completion of each checkpoint that was triggered and completed
   * since then.
   */
  List<Long> checkpointMillisSince(long wallClockMillis) throws Exception {
    List<Long> durations = new ArrayList<>();
    var statistics =
        cluster
            .getExecutionGraph(jobId)
            .get(DEADLINE_SECONDS, TimeUnit.SECONDS)
            .getCheckpointStatsSnapshot();
    for (AbstractCheckpointStats checkpoint : statistics.getHistory().getCheckpoints()) {
      boolean completed = checkpoint.getStatus().isCompleted();
      if (completed
          && checkpoint.getTriggerTimestamp() >= wallClockMillis
          && !checkpoint.getProperties().isSavepoint()) {
        durations.add(checkpoint.getEndToEndDuration());
      }
    }
    return durations;
  }

  /** How long a savepoint takes, in milliseconds, beginning now. */
  long savepointMillis() throws Exception {
    long started = System.nanoTime();
    cluster
        .triggerSavepoint(
            jobId,
            "file://" + benchCase.checkpointFolder() + "/savepoints",
            false,
            SavepointFormatType.CANONICAL)
        .get(DEADLINE_SECONDS, TimeUnit.SECONDS);
    return TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - started);
  }

  @Override
  public void close() throws ExecutionException, TimeoutException {
    try {
      if (!result.isDone()) {
        cluster.cancelJob(jobId).get(DEADLINE_SECONDS, TimeUnit.SECONDS);
        result.get(DEADLINE_SECONDS, TimeUnit.SECONDS);
      }
      cluster.closeAsync().get(DEADLINE_SECONDS, TimeUnit.SECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
