package io.flinkactions.operator.bench;

import java.util.Collection;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.connector.source.Boundedness;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.connector.source.Source;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.api.connector.source.lib.NumberSequenceSource;
import org.apache.flink.api.connector.source.lib.NumberSequenceSource.NumberSequenceSplit;
import org.apache.flink.core.io.InputStatus;
import org.apache.flink.core.io.SimpleVersionedSerializer;

/**
 * Numbered JSON inputs of one size over a number of keys, in turn, without end.
 *
 * <p>Never restored, so its splits say nothing: they are there because Flink wants some. A record
 * is glued from parts made beforehand, so that the source costs next to nothing beside what is
 * measured.
 */
final class PacedSource
    implements Source<String, NumberSequenceSplit, Collection<NumberSequenceSplit>> {

  private static final long serialVersionUID = 1L;

  /**
   * Of the job that runs now; the benchmark's JVM runs one at a time, source and main thread in one
   * class loader.
   */
  static volatile Pace pace = Pace.unlimited();

  private final int keys;
  private final int payloadBytes;
  private final NumberSequenceSource splits = new NumberSequenceSource(0, Long.MAX_VALUE / 2);

  PacedSource(int keys, int payloadBytes) {
    this.keys = keys;
    this.payloadBytes = payloadBytes;
  }

  /** The key of an input of this source, as canonical JSON text. */
  static String keyOf(String input) {
    return input.substring(KEY_FROM, KEY_TO);
  }

  private static final String HEAD = "{\"key\":";
  private static final int KEY_FROM = HEAD.length();
  private static final int KEY_TO = KEY_FROM + "\"k0000000\"".length();

  @Override
  public Boundedness getBoundedness() {
    return Boundedness.CONTINUOUS_UNBOUNDED;
  }

  @Override
  public SplitEnumerator<NumberSequenceSplit, Collection<NumberSequenceSplit>> createEnumerator(
      SplitEnumeratorContext<NumberSequenceSplit> context) {
    return splits.createEnumerator(context);
  }

  @Override
  public SplitEnumerator<NumberSequenceSplit, Collection<NumberSequenceSplit>> restoreEnumerator(
      SplitEnumeratorContext<NumberSequenceSplit> context,
      Collection<NumberSequenceSplit> checkpoint) {
    return splits.restoreEnumerator(context, checkpoint);
  }

  @Override
  public SimpleVersionedSerializer<NumberSequenceSplit> getSplitSerializer() {
    return splits.getSplitSerializer();
  }

  @Override
  public SimpleVersionedSerializer<Collection<NumberSequenceSplit>>
      getEnumeratorCheckpointSerializer() {
    return splits.getEnumeratorCheckpointSerializer();
  }

  @Override
  public SourceReader<String, NumberSequenceSplit> createReader(SourceReaderContext context) {
    return new Reader(
        keys, payloadBytes, context.getIndexOfSubtask(), context.currentParallelism());
  }

  private static final class Reader implements SourceReader<String, NumberSequenceSplit> {
    private final String[] heads;
    private final String tail;
    private final int subtask;
    private final int stride;
    private final ScheduledExecutorService timer =
        Executors.newSingleThreadScheduledExecutor(
            task -> {
              Thread thread = new Thread(task, "bench-source-timer");
              thread.setDaemon(true);
              return thread;
            });
    private long emitted;
    private CompletableFuture<Void> available = CompletableFuture.completedFuture(null);

    Reader(int keys, int payloadBytes, int subtask, int stride) {
      heads = new String[keys];
      for (int key = 0; key < keys; key++) {
        heads[key] = HEAD + "\"k%07d\",\"seq\":".formatted(key);
      }
      String afterSequence = ",\"score\":0.25,\"tags\":[\"a\",\"b\"],\"text\":\"";
      int sequenceDigits = 7;
      int filler = payloadBytes - heads[0].length() - sequenceDigits - afterSequence.length() - 2;
      tail = afterSequence + "lorem ipsum ".repeat(filler / 12 + 1).substring(0, filler) + "\"}";
      this.subtask = subtask;
      this.stride = stride;
    }

    @Override
    public void start() {}

    @Override
    public InputStatus pollNext(ReaderOutput<String> output) {
      long now = System.nanoTime();
      Pace current = pace;
      long index = emitted * stride + subtask;
      if (index < current.allowed(now)) {
        emitted++;
        OutputProbe.onEmit(index, now);
        output.collect(heads[(int) (index % heads.length)] + index + tail);
        return InputStatus.MORE_AVAILABLE;
      }
      CompletableFuture<Void> later = new CompletableFuture<>();
      available = later;
      timer.schedule(
          () -> later.complete(null), current.nanosUntilMore(index, now), TimeUnit.NANOSECONDS);
      return InputStatus.NOTHING_AVAILABLE;
    }

    @Override
    public CompletableFuture<Void> isAvailable() {
      return available;
    }

    @Override
    public List<NumberSequenceSplit> snapshotState(long checkpointId) {
      return List.of();
    }

    @Override
    public void addSplits(List<NumberSequenceSplit> added) {}

    @Override
    public void notifyNoMoreSplits() {}

    @Override
    public void close() {
      timer.shutdownNow();
    }
  }
}
