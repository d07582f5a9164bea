package io.flinkactions.operator.metrics;

import java.util.function.Supplier;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Histogram;
import org.apache.flink.metrics.MeterView;
import org.apache.flink.metrics.MetricGroup;

/** What became of invocations: of all, or of those of one action. Mailbox thread only. */
final class OutcomeMetrics {

  private final Counter results;
  private final Counter failures;
  private final Counter timeouts;
  private final Counter retries;
  private final Counter deadLetters;
  private final Counter ignored;
  private final Histogram latency;

  OutcomeMetrics(MetricGroup group, Supplier<Histogram> histograms) {
    results = group.counter("results");
    group.meter("resultsPerSecond", new MeterView(results));
    failures = group.counter("failures");
    timeouts = group.counter("timeouts");
    retries = group.counter("retries");
    deadLetters = group.counter("deadLetters");
    ignored = group.counter("ignoredFailures");
    latency = group.histogram("latencyMicros", histograms.get());
  }

  void onResult(long latencyMicros) {
    results.inc();
    latency.update(latencyMicros);
  }

  void onFailure(boolean isTimeout) {
    failures.inc();
    if (isTimeout) {
      timeouts.inc();
    }
  }

  void onRetry() {
    retries.inc();
  }

  void onDeadLetter() {
    deadLetters.inc();
  }

  void onIgnored() {
    ignored.inc();
  }
}
