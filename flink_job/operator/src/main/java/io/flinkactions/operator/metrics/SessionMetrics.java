package io.flinkactions.operator.metrics;

import io.flinkactions.operator.session.SessionCounters;
import java.util.function.Supplier;
import org.apache.flink.metrics.Gauge;
import org.apache.flink.metrics.Histogram;
import org.apache.flink.metrics.MetricGroup;

/** What the sessions have done, all workers together: {@code actions.session.…}. */
final class SessionMetrics {

  private SessionMetrics() {}

  static void register(
      MetricGroup actions, SessionCounters sessions, Supplier<Histogram> histograms) {
    MetricGroup group = actions.addGroup("session");
    group.gauge("state", (Gauge<String>) sessions::state);
    // Prometheus takes numbers only.
    group.gauge("connected", (Gauge<Integer>) () -> sessions.isConnected() ? 1 : 0);
    group.gauge("open", (Gauge<Integer>) sessions::openSessions);
    group.gauge("reconnects", (Gauge<Long>) sessions::reconnects);
    group.gauge("interruptions", (Gauge<Long>) sessions::interruptions);
    group.gauge("framesSent", (Gauge<Long>) sessions::framesSent);
    group.gauge("framesReceived", (Gauge<Long>) sessions::framesReceived);
    group.gauge("bytesSent", (Gauge<Long>) sessions::bytesSent);
    group.gauge("bytesReceived", (Gauge<Long>) sessions::bytesReceived);
    group.gauge("invokesSent", (Gauge<Long>) sessions::invokesSent);
    group.gauge("unacknowledgedFrames", (Gauge<Integer>) sessions::unacknowledgedFrames);
    group.gauge("queuedInvokes", (Gauge<Integer>) sessions::queuedInvokes);
    group.gauge("freeCredit", (Gauge<Long>) sessions::freeCredit);
    group.gauge("roundTripMicros", (Gauge<Long>) sessions::roundTripMicros);
    group.gauge("loopLagMicros", (Gauge<Long>) sessions::loopLagMicros);
    group.gauge("keptBytes", (Gauge<Long>) sessions::keptBytes);
    group.gauge("keptDropped", (Gauge<Long>) sessions::keptDropped);
    group.gauge("keptMissed", (Gauge<Long>) sessions::keptMissed);
    // Flink's histograms may be updated by several threads.
    Histogram bytes = group.histogram("invokeFrameBytes", histograms.get());
    Histogram invokes = group.histogram("invokesPerFrame", histograms.get());
    sessions.tellInvokeFrames(
        (frameBytes, frameInvokes) -> {
          bytes.update(frameBytes);
          invokes.update(frameInvokes);
        });
  }
}
