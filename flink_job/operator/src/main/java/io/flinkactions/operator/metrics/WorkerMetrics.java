package io.flinkactions.operator.metrics;

import io.flinkactions.operator.session.SessionCounters;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Gauge;
import org.apache.flink.metrics.MeterView;
import org.apache.flink.metrics.MetricGroup;

/** A group for each worker: {@code actions.worker.NAME.…}. Mailbox thread only, but for gauges. */
final class WorkerMetrics {

  // Servers give the names; more than a server has would be a leak: Flink unregisters nothing.
  private static final int LIMIT = 256;

  private final MetricGroup group;
  private final Map<String, Counts> byName = new HashMap<>();

  private record Counts(Counter answers, Counter deaths) {}

  WorkerMetrics(MetricGroup group) {
    this.group = group;
  }

  void onWorker(String name, SessionCounters sessions) {
    if (byName.containsKey(name) || byName.size() >= LIMIT) {
      return;
    }
    MetricGroup own = group.addGroup("worker", name);
    SessionCounters.WorkerCounters worker = sessions.ofWorker(name);
    own.gauge("open", (Gauge<Integer>) worker::openSessions);
    own.gauge("invocations", (Gauge<Long>) worker::openInvocations);
    own.gauge("freeCredit", (Gauge<Long>) worker::freeCredit);
    own.gauge("unacknowledgedFrames", (Gauge<Integer>) worker::unacknowledgedFrames);
    own.gauge("loopLagMicros", (Gauge<Long>) worker::loopLagMicros);
    own.gauge("keptBytes", (Gauge<Long>) worker::keptBytes);
    Counter answers = own.counter("answers");
    own.meter("answersPerSecond", new MeterView(answers));
    byName.put(name, new Counts(answers, own.counter("deaths")));
  }

  void onAnswers(String name, int count) {
    Counts counts = byName.get(name);
    if (count > 0 && counts != null) {
      counts.answers.inc(count);
    }
  }

  void onDeath(String name) {
    Counts counts = byName.get(name);
    if (counts != null) {
      counts.deaths.inc();
    }
  }
}
