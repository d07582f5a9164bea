package io.flinkactions.operator.metrics;

import io.flinkactions.operator.session.SessionCounters;
import io.flinkactions.wire.v1.Failure;
import java.util.HashMap;
import java.util.Map;
import java.util.function.IntSupplier;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Gauge;
import org.apache.flink.metrics.Histogram;
import org.apache.flink.metrics.MetricGroup;

/**
 * The operator in Flink's metric system: group "actions" for all, and groups per action and worker
 * below it. The table of docs/operations.md names them. Mailbox thread only, but for gauges, which
 * Flink's reporters read as they please.
 */
public final class OperatorMetrics {

  // An action's name in a metric's name; more actions than a plan has would be a leak: Flink
  // unregisters nothing.
  private static final int ACTIONS_LIMIT = 1_000;

  private final MetricGroup group;
  private final Supplier<Histogram> histograms;
  private final Map<String, OutcomeMetrics> byAction = new HashMap<>();
  private final OutcomeMetrics ofAll;
  private final Counter inputs;
  private final Counter unmatched;
  private final Counter events;
  private final Counter outputs;
  private final Counter callsRecorded;
  private final Counter callsRebuilt;
  private final Counter callsUnclaimed;
  private final Counter handedBack;
  private final Counter staleReplies;
  private final Counter needMemory;
  private final Counter bounces;
  private final Counter resent;
  private final UserMetrics user;
  private final WorkerMetrics workers;
  private volatile long snapshotBytes;
  private volatile long snapshotMicros;

  public OperatorMetrics(MetricGroup operatorGroup, Supplier<Histogram> histograms) {
    this.group = operatorGroup.addGroup("actions");
    this.histograms = histograms;
    inputs = group.counter("inputs");
    unmatched = group.counter("unmatchedInputs");
    events = group.counter("events");
    outputs = group.counter("outputs");
    callsRecorded = group.counter("callsRecorded");
    callsRebuilt = group.counter("callsRebuilt");
    callsUnclaimed = group.counter("callsUnclaimed");
    handedBack = group.counter("handedBackResults");
    staleReplies = group.counter("staleReplies");
    needMemory = group.counter("needMemory");
    bounces = group.counter("bounces");
    resent = group.counter("resentInvocations");
    ofAll = new OutcomeMetrics(group, histograms);
    workers = new WorkerMetrics(group);
    user = new UserMetrics(group, histograms);
  }

  /** What actions count themselves. */
  public UserMetrics user() {
    return user;
  }

  /** Where things stand in the lanes. */
  public void showLanes(
      IntSupplier runsInFlight,
      IntSupplier atWorkers,
      IntSupplier ready,
      IntSupplier suspects,
      IntSupplier waitingForRetry,
      IntSupplier waiting,
      LongSupplier waitingBytes,
      IntSupplier activeLanes,
      IntSupplier residentLanes) {
    gauge("runsInFlight", runsInFlight::getAsInt);
    gauge("invocationsAtWorkers", atWorkers::getAsInt);
    gauge("invocationsWaitingForWorkers", ready::getAsInt);
    gauge("invocationsSuspected", suspects::getAsInt);
    gauge("invocationsWaitingForRetry", waitingForRetry::getAsInt);
    gauge("inputsWaiting", waiting::getAsInt);
    gauge("inputsWaitingBytes", waitingBytes::getAsLong);
    gauge("lanesActive", activeLanes::getAsInt);
    gauge("lanesResident", residentLanes::getAsInt);
  }

  /** What the sessions have done. */
  public void showSessions(SessionCounters counters) {
    SessionMetrics.register(group, counters, histograms);
  }

  /**
   * What checkpoints have to take.
   *
   * @param writtenBytes put into keyed state since the start
   */
  public void showState(LongSupplier writtenBytes) {
    gauge("stateWrittenBytes", writtenBytes::getAsLong);
    gauge("snapshotBytes", () -> snapshotBytes);
    gauge("snapshotMicros", () -> snapshotMicros);
  }

  /** A snapshot has put this much into keyed state, and the mailbox has stood still for it. */
  public void onSnapshot(long bytes, long nanos) {
    snapshotBytes = bytes;
    snapshotMicros = nanos / 1_000;
  }

  /** There is a session with this worker. */
  public void onWorker(String name, SessionCounters counters) {
    workers.onWorker(name, counters);
  }

  /** So many Results and failures came from this worker. */
  public void onAnswers(String worker, int count) {
    workers.onAnswers(worker, count);
  }

  /** A process of this worker is dead. */
  public void onDeath(String worker) {
    workers.onDeath(worker);
  }

  private <T> void gauge(String name, Gauge<T> gauge) {
    gauge(group, name, gauge);
  }

  private static <T> void gauge(MetricGroup in, String name, Gauge<T> gauge) {
    in.gauge(name, gauge);
  }

  public void onInput() {
    inputs.inc();
  }

  /** An input triggered nothing. */
  public void onUnmatched() {
    unmatched.inc();
  }

  /** An action sent an event that is not an output. */
  public void onEvent() {
    events.inc();
  }

  public void onOutputs(int count) {
    outputs.inc(count);
  }

  /** A Result of this action was applied. */
  public void onResult(String action, long latencyNanos) {
    long micros = latencyNanos / 1_000;
    ofAll.onResult(micros);
    of(action).onResult(micros);
  }

  /** An attempt failed. */
  public void onFailure(String action, Failure.Kind kind) {
    boolean isTimeout = kind == Failure.Kind.TIMEOUT;
    ofAll.onFailure(isTimeout);
    of(action).onFailure(isTimeout);
  }

  /** A failed invocation waits for another attempt. */
  public void onRetry(String action) {
    ofAll.onRetry();
    of(action).onRetry();
  }

  /** An invocation was given up and kept as a dead letter. */
  public void onDeadLetter(String action) {
    ofAll.onDeadLetter();
    of(action).onDeadLetter();
  }

  /** An invocation was given up and dropped. */
  public void onIgnored(String action) {
    ofAll.onIgnored();
    of(action).onIgnored();
  }

  /** The record of a durable call is in its lane. */
  public void onCallRecorded() {
    callsRecorded.inc();
  }

  /** A call that an earlier start recorded in the action state store is in its lane. */
  public void onCallRebuilt() {
    callsRebuilt.inc();
  }

  /** Calls of an earlier start that no invocation of their runs has asked for. */
  public void onCallsUnclaimed(int count) {
    if (count > 0) {
      callsUnclaimed.inc(count);
    }
  }

  /** Where things stand in the action state store. */
  public void showStore(LongSupplier bytesInFlight, IntSupplier unmatchedCalls) {
    MetricGroup store = group.addGroup("store");
    gauge(store, "bytesInFlight", bytesInFlight::getAsLong);
    gauge(store, "callsToAnswerFrom", unmatchedCalls::getAsInt);
  }

  /** Results that workers had kept, and did not compute again. */
  public void onHandedBack(int count) {
    handedBack.inc(count);
  }

  /** A reply came to an attempt that nobody waits for. */
  public void onStaleReply() {
    staleReplies.inc();
  }

  public void onNeedMemory() {
    needMemory.inc();
  }

  public void onBounce() {
    bounces.inc();
  }

  /** Invocations went to a worker again because the first had gone. */
  public void onResent(int count) {
    resent.inc(count);
  }

  private OutcomeMetrics of(String action) {
    OutcomeMetrics metrics = byAction.get(action);
    if (metrics == null) {
      String name = byAction.size() < ACTIONS_LIMIT ? action : "other";
      metrics =
          byAction.computeIfAbsent(
              name, own -> new OutcomeMetrics(group.addGroup("action", own), histograms));
    }
    return metrics;
  }
}
