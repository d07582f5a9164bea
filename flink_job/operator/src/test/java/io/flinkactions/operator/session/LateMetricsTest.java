package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.lane.Lane;
import io.flinkactions.operator.lane.ReportedMetrics;
import io.flinkactions.operator.metrics.OperatorMetrics;
import io.flinkactions.operator.session.ScriptedWorker.Peer;
import io.flinkactions.wire.v1.Failure;
import io.flinkactions.wire.v1.MetricDelta;
import io.flinkactions.wire.v1.Welcome;
import io.flinkactions.wire.v1.WorkerFrame;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.SimpleCounter;
import org.apache.flink.metrics.groups.UnregisteredMetricsGroup;
import org.apache.flink.runtime.metrics.DescriptiveStatisticsHistogram;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What an attempt has measured that this side has ended: its worker's answer comes too late. */
class LateMetricsTest extends ScriptedRuns {
  private final Counter tokens = new SimpleCounter();
  private ReportedMetrics reported;
  private WorkerSession session;
  private Peer peer;
  private long handle;

  private final class Group extends UnregisteredMetricsGroup {
    @Override
    public Counter counter(String name) {
      return name.equals("tokens") ? tokens : super.counter(name);
    }

    @Override
    public MetricGroup addGroup(String name) {
      return this;
    }

    @Override
    public MetricGroup addGroup(String key, String value) {
      return this;
    }
  }

  @BeforeEach
  void endAnAttempt() throws Exception {
    reported =
        new ReportedMetrics(
            runs.invokes(),
            new OperatorMetrics(new Group(), () -> new DescriptiveStatisticsHistogram(10)).user());
    worker.welcomesWith(Welcome.newBuilder().setLingerMs(60_000));
    session = routed();
    Lane lane = lanes.take("\"a\"");
    runs.onInput(lane, input(lane));
    subtask.sessions.flush();
    peer = worker.peer();
    handle = peer.frame().getInvokes(0).getHandle();
    awaitOverdue(1);
  }

  private WorkerFrame.Builder frameWithTokens(long of) {
    return WorkerFrame.newBuilder()
        .addMetrics(
            MetricDelta.newBuilder()
                .setHandle(of)
                .setKind(MetricDelta.Kind.COUNTER)
                .addPath("tokens")
                .setIsOfAction(true)
                .setValue(10));
  }

  private Failure cancelled() {
    return Failure.newBuilder().setHandle(handle).setKind(Failure.Kind.CANCELLED).build();
  }

  /** What the session that resumes this one says of ended attempts. */
  private int cancelledAgain() throws Exception {
    subtask.sessions.flush();
    peer.breakOff();
    subtask.next(SessionEvent.Interrupted.class);
    WorkerSession next = subtask.welcomed();
    runs.invokes().resume(session, next);
    subtask.sessions.flush();
    return worker.peer().frame().getCancelsCount();
  }

  @Test
  void what_it_has_paid_counts_whether_it_failed_or_not() {
    reported.onFrame(session, frameWithTokens(handle).addFailures(cancelled()).build());
    assertThat(tokens.getCount()).isEqualTo(10);
    reported.onFrame(
        session, frameWithTokens(handle).setResults(ScriptedWorker.results(handle)).build());
    assertThat(tokens.getCount()).isEqualTo(20);
  }

  @Test
  void of_a_handle_that_was_never_given_out_nothing_counts() {
    reported.onFrame(session, frameWithTokens(handle + 1).build());
    assertThat(tokens.getCount()).isZero();
  }

  @Test
  void a_worker_that_has_answered_the_cancellation_is_not_told_again() throws Exception {
    runs.onFailure(session, cancelled());
    assertThat(cancelledAgain()).isZero();
  }

  @Test
  void a_worker_whose_answer_has_only_crossed_it_is_told_again() throws Exception {
    runs.onFailure(session, cancelled().toBuilder().setKind(Failure.Kind.BUG).build());
    assertThat(cancelledAgain()).isEqualTo(1);
  }
}
