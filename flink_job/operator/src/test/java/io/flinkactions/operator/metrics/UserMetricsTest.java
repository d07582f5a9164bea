package io.flinkactions.operator.metrics;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.wire.v1.MetricDelta;
import io.flinkactions.wire.v1.MetricDelta.Kind;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Gauge;
import org.apache.flink.metrics.Histogram;
import org.apache.flink.metrics.Meter;
import org.apache.flink.metrics.Metric;
import org.apache.flink.metrics.groups.UnregisteredMetricsGroup;
import org.apache.flink.runtime.metrics.DescriptiveStatisticsHistogram;
import org.junit.jupiter.api.Test;

class UserMetricsTest {

  /** Keeps what is registered, by its dotted name. */
  private static final class Registered extends UnregisteredMetricsGroup {
    private final String prefix;
    private final Map<String, Metric> byName;

    Registered(String prefix, Map<String, Metric> byName) {
      this.prefix = prefix;
      this.byName = byName;
    }

    private <M extends Metric> M add(String name, M metric) {
      assertThat(byName.put(prefix + name, metric)).as(prefix + name).isNull();
      return metric;
    }

    @Override
    public Counter counter(String name) {
      return add(name, super.counter(name));
    }

    @Override
    public <T, G extends Gauge<T>> G gauge(String name, G gauge) {
      return add(name, gauge);
    }

    @Override
    public <H extends Histogram> H histogram(String name, H histogram) {
      return add(name, histogram);
    }

    @Override
    public <M extends Meter> M meter(String name, M meter) {
      return add(name, meter);
    }

    @Override
    public Registered addGroup(String name) {
      return new Registered(prefix + name + ".", byName);
    }

    @Override
    public Registered addGroup(String key, String value) {
      return addGroup(key).addGroup(value);
    }
  }

  private final Map<String, Metric> byName = new TreeMap<>();
  private final UserMetrics metrics =
      new UserMetrics(
          new Registered("actions.", byName), () -> new DescriptiveStatisticsHistogram(10));

  private void apply(boolean ofAction, Kind kind, double value, String... path) {
    apply(ofAction, kind, value, false, path);
  }

  private void apply(
      boolean ofAction, Kind kind, double value, boolean isReplayed, String... path) {
    MetricDelta delta =
        MetricDelta.newBuilder()
            .setHandle(1)
            .addAllPath(List.of(path))
            .setIsOfAction(ofAction)
            .setKind(kind)
            .setValue(value)
            .build();
    metrics.apply("score", delta, isReplayed);
  }

  private <M> M metric(Class<M> type, String name) {
    return type.cast(byName.get(name));
  }

  @Test
  void changes_become_flinks_own_metrics_by_agent_and_action() {
    apply(true, Kind.COUNTER, 3, "tokens");
    apply(true, Kind.COUNTER, -1, "tokens");
    apply(false, Kind.COUNTER, 5, "tokens");
    apply(false, Kind.METER, 2, "model", "calls");
    apply(true, Kind.GAUGE, 0.25, "load");
    apply(true, Kind.GAUGE, 0.5, "load");
    apply(true, Kind.HISTOGRAM, 10, "millis");
    apply(true, Kind.HISTOGRAM, 20, "millis");
    assertThat(byName)
        .containsOnlyKeys(
            "actions.userMetricsDropped",
            "actions.user.tokens",
            "actions.user.model.calls",
            "actions.action.score.user.tokens",
            "actions.action.score.user.load",
            "actions.action.score.user.millis");
    assertThat(metric(Counter.class, "actions.action.score.user.tokens").getCount()).isEqualTo(2);
    assertThat(metric(Counter.class, "actions.user.tokens").getCount()).isEqualTo(5);
    assertThat(metric(Meter.class, "actions.user.model.calls").getCount()).isEqualTo(2);
    assertThat(metric(Gauge.class, "actions.action.score.user.load").getValue()).isEqualTo(0.5);
    Histogram millis = metric(Histogram.class, "actions.action.score.user.millis");
    assertThat(millis.getStatistics().getMax()).isEqualTo(20);
    assertThat(millis.getCount()).isEqualTo(2);
  }

  @Test
  void what_the_server_counts_does_not_meet_the_author_s_names() {
    MetricDelta.Builder waits =
        MetricDelta.newBuilder()
            .addAllPath(List.of("resource", "tool", "search", "permitWaits"))
            .setKind(Kind.COUNTER)
            .setValue(1);
    metrics.apply("score", waits.setIsOfServer(true).build(), false);
    metrics.apply("score", waits.setIsOfServer(false).setValue(5).build(), false);
    metrics.apply("score", waits.setIsOfServer(true).setValue(2).build(), false);
    String name = "resource.tool.search.permitWaits";
    assertThat(metric(Counter.class, "actions." + name).getCount()).isEqualTo(3);
    assertThat(metric(Counter.class, "actions.user." + name).getCount()).isEqualTo(5);
  }

  @Test
  void what_a_kept_result_had_counted_is_not_counted_again() {
    apply(true, Kind.COUNTER, 3, "tokens");
    apply(true, Kind.COUNTER, 3, true, "tokens");
    apply(true, Kind.METER, 3, true, "calls");
    apply(true, Kind.GAUGE, 7, true, "load");
    assertThat(metric(Counter.class, "actions.action.score.user.tokens").getCount()).isEqualTo(3);
    assertThat(byName).doesNotContainKey("actions.action.score.user.calls");
    assertThat(metric(Gauge.class, "actions.action.score.user.load").getValue()).isEqualTo(7.0);
  }

  @Test
  void a_name_stands_for_one_kind_of_metric() {
    apply(true, Kind.COUNTER, 3, "tokens");
    apply(true, Kind.GAUGE, 3, "tokens");
    apply(true, Kind.HISTOGRAM, 3, "tokens");
    assertThat(metric(Counter.class, "actions.action.score.user.tokens").getCount()).isEqualTo(3);
    assertThat(metric(Counter.class, "actions.userMetricsDropped").getCount()).isEqualTo(2);
  }

  @Test
  void names_made_of_data_do_not_fill_flinks_registry() {
    for (int i = 0; i < 5_000; i++) {
      apply(false, Kind.COUNTER, 1, "customer " + i);
    }
    assertThat(byName).hasSize(1_001);
    assertThat(metric(Counter.class, "actions.userMetricsDropped").getCount()).isEqualTo(4_000);
    apply(false, Kind.COUNTER, 1, "customer 7");
    assertThat(metric(Counter.class, "actions.user.customer 7").getCount()).isEqualTo(2);
  }
}
