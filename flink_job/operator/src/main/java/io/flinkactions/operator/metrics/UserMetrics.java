package io.flinkactions.operator.metrics;

import io.flinkactions.wire.v1.MetricDelta;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Gauge;
import org.apache.flink.metrics.Histogram;
import org.apache.flink.metrics.Meter;
import org.apache.flink.metrics.MeterView;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.SimpleCounter;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What actions count and measure, as Flink's own metrics: {@code actions.user.…} of the agent,
 * {@code actions.action.NAME.user.…} of an action, {@code actions.resource.…} what workers count
 * for them. Mailbox thread only, but for gauges, which Flink's reporters read as they please.
 */
public final class UserMetrics {

  private static final Logger LOG = LoggerFactory.getLogger(UserMetrics.class);

  /** Group of the author's: their names must not meet ours. */
  private static final String GROUP = "user";

  // Names may be made of data, and Flink unregisters nothing while the task runs.
  private static final int LIMIT = 1_000;

  private final MetricGroup group;
  private final Supplier<Histogram> histograms;
  private final Counter dropped;
  // One of Flink's four kinds, by where it stands.
  private final Map<List<String>, Object> byPath = new HashMap<>();

  private static final class LastValue implements Gauge<Double> {
    private volatile double value;

    @Override
    public Double getValue() {
      return value;
    }
  }

  UserMetrics(MetricGroup group, Supplier<Histogram> histograms) {
    this.group = group;
    this.histograms = histograms;
    this.dropped = group.counter("userMetricsDropped");
  }

  /**
   * Applies one change.
   *
   * @param action whose attempt made it
   * @param isReplayed a Result that was kept carries it: it was counted when it was computed. Only
   *     a gauge is set then, which says how things stand
   */
  public void apply(String action, MetricDelta delta, boolean isReplayed) {
    if (isReplayed && delta.getKind() != MetricDelta.Kind.GAUGE) {
      return;
    }
    List<String> path = new ArrayList<>();
    if (delta.getIsOfAction()) {
      path.add("action");
      path.add(action);
    }
    if (!delta.getIsOfServer()) {
      path.add(GROUP);
    }
    path.addAll(delta.getPathList());
    Object metric = byPath.get(path);
    if (metric == null) {
      if (byPath.size() >= LIMIT || delta.getPathCount() == 0) {
        drop(path, "there are " + LIMIT + " already: do not make names of data");
        return;
      }
      metric = register(path, delta.getKind());
      if (metric == null) {
        return; // of a kind that a later version knows
      }
      byPath.put(path, metric);
    }
    if (!update(metric, delta)) {
      drop(path, "it is a " + delta.getKind() + " now, and was another kind before");
    }
  }

  private Object register(List<String> path, MetricDelta.Kind kind) {
    MetricGroup in = group;
    List<String> groups = path.subList(0, path.size() - 1);
    int begin = 0;
    if (groups.get(0).equals("action")) {
      // Key and value, as the operator's own metrics of the action have it.
      in = in.addGroup("action", groups.get(1));
      begin = 2;
    }
    for (String name : groups.subList(begin, groups.size())) {
      in = in.addGroup(name);
    }
    String name = path.get(path.size() - 1);
    return switch (kind) {
      case COUNTER -> in.counter(name);
      case METER -> in.meter(name, (Meter) new MeterView(new SimpleCounter()));
      case GAUGE -> in.gauge(name, new LastValue());
      case HISTOGRAM -> in.histogram(name, histograms.get());
      case KIND_UNSPECIFIED, UNRECOGNIZED -> null;
    };
  }

  /** False if the metric is of another kind. */
  private static boolean update(Object metric, MetricDelta delta) {
    return switch (delta.getKind()) {
      case COUNTER -> {
        if (metric instanceof Counter counter) {
          counter.inc((long) delta.getValue());
        }
        yield metric instanceof Counter;
      }
      case METER -> {
        if (metric instanceof Meter meter) {
          meter.markEvent((long) delta.getValue());
        }
        yield metric instanceof Meter;
      }
      case GAUGE -> {
        if (metric instanceof LastValue gauge) {
          gauge.value = delta.getValue();
        }
        yield metric instanceof LastValue;
      }
      case HISTOGRAM -> {
        if (metric instanceof Histogram histogram) {
          histogram.update((long) delta.getValue());
        }
        yield metric instanceof Histogram;
      }
      case KIND_UNSPECIFIED, UNRECOGNIZED -> true;
    };
  }

  private void drop(List<String> path, String why) {
    if (dropped.getCount() == 0) {
      LOG.warn("Metric {} of an action is dropped: {}", String.join(".", path), why);
    }
    dropped.inc();
  }
}
