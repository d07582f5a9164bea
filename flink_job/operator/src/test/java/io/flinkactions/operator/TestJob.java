package io.flinkactions.operator;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.codec.InputCodec;
import io.flinkactions.operator.codec.OutputCodec;
import io.flinkactions.wire.v1.ContentType;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.UnaryOperator;
import java.util.stream.StreamSupport;
import org.apache.flink.api.common.JobID;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.api.connector.source.lib.NumberSequenceSource;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ExecutionOptions;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.metrics.Metric;
import org.apache.flink.runtime.checkpoint.AbstractCheckpointStats;
import org.apache.flink.runtime.checkpoint.CheckpointStatsSnapshot;
import org.apache.flink.runtime.checkpoint.CompletedCheckpointStats;
import org.apache.flink.runtime.execution.ExecutionState;
import org.apache.flink.runtime.executiongraph.AccessExecutionGraph;
import org.apache.flink.runtime.executiongraph.AccessExecutionVertex;
import org.apache.flink.runtime.jobgraph.JobGraph;
import org.apache.flink.runtime.jobgraph.SavepointRestoreSettings;
import org.apache.flink.runtime.jobmaster.JobResult;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.runtime.testutils.InMemoryReporter;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * A job on a MiniCluster: numbers, made JSON texts, keyed, through the operator, into a sink that
 * collects without transactions. One cluster serves all tests of the JVM.
 */
final class TestJob {

  static final String OPERATOR_UID = "agent";
  private static final int SLOTS = 8;
  private static final long DEADLINE_SECONDS = 60;
  // Sinks live in the cluster's threads, in this JVM; a job finds its collection by name.
  private static final Map<String, Queue<String>> COLLECTED = new ConcurrentHashMap<>();
  private static final InMemoryReporter METRICS = InMemoryReporter.create();
  private static MiniCluster cluster;
  // Counts those that were ended.
  private static int taskManager;

  private final JobID id;
  private final Queue<String> outputs;
  private final CompletableFuture<JobResult> result;

  private TestJob(JobID id, Queue<String> outputs, CompletableFuture<JobResult> result) {
    this.id = id;
    this.outputs = outputs;
    this.result = result;
  }

  static synchronized MiniCluster cluster() throws Exception {
    if (cluster == null) {
      Configuration configuration = new Configuration();
      METRICS.addToConfiguration(configuration);
      configuration.set(RestOptions.BIND_PORT, "0");
      configuration.set(TaskManagerOptions.MANAGED_MEMORY_SIZE, MemorySize.ofMebiBytes(128));
      cluster =
          new MiniCluster(
              new MiniClusterConfiguration.Builder()
                  .setConfiguration(configuration)
                  .setNumTaskManagers(1)
                  .setNumSlotsPerTaskManager(SLOTS)
                  .build());
      cluster.start();
    }
    return cluster;
  }

  /** Ends the cluster's task manager, with all that runs there, and starts another. */
  static synchronized void replaceTaskManager() throws Exception {
    cluster().terminateTaskManager(taskManager++).get(DEADLINE_SECONDS, TimeUnit.SECONDS);
    cluster().startTaskManager();
  }

  // ---- what a job is made of ----

  /** Text in, text out: both are JSON already. */
  static final class JsonText implements InputCodec<String>, OutputCodec<String> {
    private static final long serialVersionUID = 1L;

    @Override
    public ByteString encode(String value) {
      return ByteString.copyFromUtf8(value);
    }

    @Override
    public ContentType contentType() {
      return ContentType.JSON;
    }

    @Override
    public String decode(ByteString payload, ContentType type) {
      return payload.toStringUtf8();
    }
  }

  /** Collects at once what it gets: what a job emits twice is there twice. */
  private static final class CollectingSink implements Sink<String> {
    private static final long serialVersionUID = 1L;
    private final String name;
    private final long pauseMillis;

    CollectingSink(String name, long pauseMillis) {
      this.name = name;
      this.pauseMillis = pauseMillis;
    }

    @Override
    public SinkWriter<String> createWriter(WriterInitContext context) {
      return new SinkWriter<>() {
        @Override
        public void write(String element, Context sinkContext) throws InterruptedException {
          if (pauseMillis > 0) {
            Thread.sleep(pauseMillis);
          }
          COLLECTED.get(name).add(element);
        }

        @Override
        public void flush(boolean endOfInput) {}

        @Override
        public void close() {}
      };
    }
  }

  /** A job that is to be built. */
  static final class Builder {
    private final String endpoint;
    private final Configuration configuration = new Configuration();
    private final String collection;
    private long count = 1_000;
    private int keys = 10;
    private int parallelism = 1;
    private WatermarkStrategy<Long> watermarks = WatermarkStrategy.noWatermarks();
    private UnaryOperator<ActionSettings.Builder> settings = UnaryOperator.identity();
    private UnaryOperator<DataStream<String>> before = UnaryOperator.identity();
    private UnaryOperator<DataStream<String>> afterwards = UnaryOperator.identity();
    private long pauseBefore = -1;
    private long pauseMillis;
    private long sinkPauseMillis;
    private boolean isSinkChained = true;
    private String savepoint;

    private Builder(String endpoint, String collection) {
      this.endpoint = endpoint;
      this.collection = collection;
      configuration.set(RestartStrategyOptions.RESTART_STRATEGY, "disable");
    }

    /** Numbers 0 to count - 1: number n is the (n / keys)-th input of key n % keys. */
    Builder inputs(long inputCount, int keyCount) {
      count = inputCount;
      keys = keyCount;
      return this;
    }

    Builder parallelism(int value) {
      parallelism = value;
      return this;
    }

    Builder watermarks(WatermarkStrategy<Long> strategy) {
      watermarks = strategy;
      return this;
    }

    /** The source stands still before this number. */
    Builder pausesBefore(long number, Duration pause) {
      pauseBefore = number;
      pauseMillis = pause.toMillis();
      return this;
    }

    Builder settings(UnaryOperator<ActionSettings.Builder> change) {
      settings = change;
      return this;
    }

    /** Changes the inputs before they are keyed. */
    Builder before(UnaryOperator<DataStream<String>> change) {
      before = change;
      return this;
    }

    Builder afterwards(UnaryOperator<DataStream<String>> change) {
      afterwards = change;
      return this;
    }

    Builder sinkPauses(long millis) {
      sinkPauseMillis = millis;
      isSinkChained = false;
      return this;
    }

    Builder batch() {
      configuration.set(ExecutionOptions.RUNTIME_MODE, RuntimeExecutionMode.BATCH);
      return this;
    }

    Builder rocksDb() {
      configuration.set(StateBackendOptions.STATE_BACKEND, "rocksdb");
      configuration.set(CheckpointingOptions.INCREMENTAL_CHECKPOINTS, true);
      return this;
    }

    Builder checkpoints(Path folder, long intervalMillis, boolean isUnaligned) {
      configuration.set(
          CheckpointingOptions.CHECKPOINTING_INTERVAL, Duration.ofMillis(intervalMillis));
      configuration.set(CheckpointingOptions.ENABLE_UNALIGNED, isUnaligned);
      configuration.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, folder.toUri().toString());
      return this;
    }

    Builder restarts(int attempts) {
      configuration.set(RestartStrategyOptions.RESTART_STRATEGY, "fixed-delay");
      configuration.set(RestartStrategyOptions.RESTART_STRATEGY_FIXED_DELAY_ATTEMPTS, attempts);
      configuration.set(
          RestartStrategyOptions.RESTART_STRATEGY_FIXED_DELAY_DELAY, Duration.ofMillis(50));
      return this;
    }

    Builder from(String savepointPath) {
      savepoint = savepointPath;
      return this;
    }

    TestJob start() throws Exception {
      StreamExecutionEnvironment environment =
          StreamExecutionEnvironment.getExecutionEnvironment(configuration);
      environment.setParallelism(parallelism);
      environment.setMaxParallelism(128);
      int keyCount = keys;
      long pausedNumber = pauseBefore;
      long millis = pauseMillis;
      DataStream<String> inputs =
          environment
              .fromSource(new NumberSequenceSource(0, count - 1), watermarks, "numbers")
              .uid("numbers")
              .setParallelism(1)
              .map(
                  n -> {
                    if (n == pausedNumber) {
                      Thread.sleep(millis);
                    }
                    return "{\"k\":" + n % keyCount + ",\"i\":" + n / keyCount + "}";
                  })
              .returns(Types.STRING)
              .setParallelism(1);
      KeyedStream<String, String> keyed =
          before.apply(inputs).keyBy(text -> text.substring(5, text.indexOf(',')), Types.STRING);
      ActionSettings actionSettings =
          settings.apply(ActionSettings.builder("agent", List.of(endpoint))).build();
      DataStream<String> acted =
          keyed
              .transform(
                  "agent",
                  Types.STRING,
                  new ActionOperatorFactory<>(actionSettings, new JsonText(), new JsonText()))
              .uid(OPERATOR_UID);
      var sink =
          afterwards
              .apply(acted)
              .sinkTo(new CollectingSink(collection, sinkPauseMillis))
              .uid("sink");
      if (!isSinkChained) {
        sink.disableChaining();
      }
      JobGraph graph = environment.getStreamGraph().getJobGraph();
      if (savepoint != null) {
        graph.setSavepointRestoreSettings(SavepointRestoreSettings.forPath(savepoint));
      }
      Queue<String> outputs =
          COLLECTED.computeIfAbsent(collection, c -> new LinkedBlockingQueue<>());
      cluster().submitJob(graph).get(DEADLINE_SECONDS, TimeUnit.SECONDS);
      return new TestJob(graph.getJobID(), outputs, cluster().requestJobResult(graph.getJobID()));
    }
  }

  /**
   * A job whose actions run at this server.
   *
   * @param collection jobs of the same name collect into the same queue, as a job does that was
   *     started again
   */
  static Builder at(ActionServerProcess server, String collection) {
    return new Builder(server.endpoint(), collection);
  }

  /** A job whose server may not be there. */
  static Builder at(String endpoint, String collection) {
    return new Builder(endpoint, collection);
  }

  // ---- a job that runs ----

  /** Everything that was emitted so far, in order. */
  List<String> outputs() {
    return new ArrayList<>(outputs);
  }

  int outputCount() {
    return outputs.size();
  }

  /** Waits for the end; throws what the job failed with. */
  List<String> awaitFinished() throws Exception {
    result
        .get(DEADLINE_SECONDS, TimeUnit.SECONDS)
        .toJobExecutionResult(getClass().getClassLoader());
    return outputs();
  }

  /** Waits for the job to fail, and says with what. */
  Throwable awaitFailure() throws Exception {
    JobResult ended = result.get(DEADLINE_SECONDS, TimeUnit.SECONDS);
    return ended
        .getSerializedThrowable()
        .orElseThrow(
            () -> new AssertionError("the job did not fail: " + ended.getApplicationStatus()))
        .deserializeError(getClass().getClassLoader());
  }

  void awaitOutputs(int atLeast) throws Exception {
    await(
        Duration.ofSeconds(DEADLINE_SECONDS),
        () -> outputs.size() >= atLeast,
        atLeast + " outputs");
  }

  void await(Duration limit, BooleanSupplier condition, String what) throws Exception {
    long deadline = System.nanoTime() + limit.toNanos();
    while (!condition.getAsBoolean()) {
      if (result.isDone()) {
        result.get().toJobExecutionResult(getClass().getClassLoader());
        if (!condition.getAsBoolean()) {
          throw new AssertionError(
              "the job ended before: " + what + "; outputs: " + outputs.size());
        }
      }
      if (System.nanoTime() > deadline) {
        throw new AssertionError(
            "not within " + limit + ": " + what + "; outputs: " + outputs.size());
      }
      Thread.sleep(5);
    }
  }

  JobStatus status() throws Exception {
    return cluster().getJobStatus(id).get(DEADLINE_SECONDS, TimeUnit.SECONDS);
  }

  JobID id() {
    return id;
  }

  /** Metrics of its tasks that run, by their full names. */
  Map<String, Metric> metrics() {
    return METRICS.getMetricsByIdentifiers(id);
  }

  boolean hasEnded() {
    return result.isDone();
  }

  /** How often the job was restarted. */
  long restarts() throws Exception {
    return executionGraph()
        .getAllExecutionVertices()
        .iterator()
        .next()
        .getCurrentExecutionAttempt()
        .getAttemptNumber();
  }

  /** Flink takes no savepoint while a task still restores its state, though others have outputs. */
  private void awaitAllTasksStarted() throws Exception {
    await(
        Duration.ofSeconds(DEADLINE_SECONDS),
        () -> {
          try {
            return StreamSupport.stream(
                    executionGraph().getAllExecutionVertices().spliterator(), false)
                .map(AccessExecutionVertex::getExecutionState)
                .allMatch(state -> state == ExecutionState.RUNNING || state.isTerminal());
          } catch (Exception e) {
            throw new IllegalStateException(e);
          }
        },
        "all tasks run");
  }

  private AccessExecutionGraph executionGraph() throws Exception {
    return cluster().getExecutionGraph(id).get(DEADLINE_SECONDS, TimeUnit.SECONDS);
  }

  String savepoint(Path folder) throws Exception {
    awaitAllTasksStarted();
    return cluster()
        .triggerSavepoint(id, folder.toUri().toString(), false, SavepointFormatType.CANONICAL)
        .get(DEADLINE_SECONDS, TimeUnit.SECONDS);
  }

  String stopWithSavepoint(Path folder, boolean drain) throws Exception {
    awaitAllTasksStarted();
    String path =
        cluster()
            .stopWithSavepoint(id, folder.toUri().toString(), drain, SavepointFormatType.CANONICAL)
            .get(DEADLINE_SECONDS, TimeUnit.SECONDS);
    result.get(DEADLINE_SECONDS, TimeUnit.SECONDS);
    return path;
  }

  /**
   * Durations of the last completed checkpoints in ms, savepoints included; Flink remembers ten.
   */
  List<Long> checkpointDurations() throws Exception {
    return checkpoints().getHistory().getCheckpoints().stream()
        .filter(checkpoint -> checkpoint.getStatus().isCompleted())
        .map(AbstractCheckpointStats::getEndToEndDuration)
        .toList();
  }

  /** How long it took from its trigger until it was complete, in ms; the job may have ended. */
  long savepointDuration(String path) throws Exception {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(DEADLINE_SECONDS);
    while (true) {
      for (AbstractCheckpointStats checkpoint : checkpoints().getHistory().getCheckpoints()) {
        if (checkpoint instanceof CompletedCheckpointStats completed
            && path.equals(completed.getExternalPath())) {
          return completed.getEndToEndDuration();
        }
      }
      // Flink may say that it is complete before its statistics do.
      if (System.nanoTime() > deadline) {
        throw new AssertionError("no statistics of " + path);
      }
      Thread.sleep(10);
    }
  }

  /** How many checkpoints were completed, savepoints included. */
  long checkpointCount() throws Exception {
    return checkpoints().getCounts().getNumberOfCompletedCheckpoints();
  }

  /** Waits until so many were completed since the job was submitted. */
  void awaitCheckpoints(long atLeast, Duration limit) throws Exception {
    await(
        limit,
        () -> {
          try {
            return checkpointCount() >= atLeast;
          } catch (Exception e) {
            throw new IllegalStateException(e);
          }
        },
        atLeast + " checkpoints");
  }

  private CheckpointStatsSnapshot checkpoints() throws Exception {
    return executionGraph().getCheckpointStatsSnapshot();
  }

  void cancel() throws Exception {
    if (!result.isDone()) {
      cluster().cancelJob(id).get(DEADLINE_SECONDS, TimeUnit.SECONDS);
      result.get(DEADLINE_SECONDS, TimeUnit.SECONDS);
    }
  }
}
