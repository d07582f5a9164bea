package io.flinkactions.operator.metrics;

import io.flinkactions.operator.plan.PlannedAction;
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
import org.apache.flink.metrics.MeterView;
import org.apache.flink.metrics.MetricGroup;

/**
 * The operator in Flink's metric system: group "actions" for all, and a group per action below it.
 * Mailbox thread only, but for gauges, which Flink's reporters read as they please.
 */
public final class OperatorMetrics {

  // An action's name in a metric's name; more actions than a plan has would be a leak: Flink
  // unregisters nothing.
  private static final int ACTIONS_LIMIT = 1_000;

  // Likewise of workers' names, which servers give.
  private static final int WORKERS_LIMIT = 256;

  private final MetricGroup group;
  private final Supplier<Histogram> histograms;
  private final Map<String, ActionMetrics> byAction = new HashMap<>();
  private final Counter inputs;
  private final Counter unmatched;
  private final Counter events;
  private final Counter outputs;
  private final Counter actions;
  private final Counter failures;
  private final Counter timeouts;
  private final Counter retries;
  private final Counter deadLetters;
  private final Counter ignored;
  private final Counter callsRecorded;
  private final Counter callsRebuilt;
  private final Counter callsUnclaimed;
  private final Counter handedBack;
  private final Counter staleReplies;
  private final Counter needMemory;
  private final Counter bounces;
  private final Counter resent;
  private final Histogram latency;
  private final UserMetrics user;
  private final Map<String, WorkerMetrics> byWorker = new HashMap<>();
  private volatile long snapshotBytes;
  private volatile long snapshotMicros;
  private PlannedAction lastAction;
  private ActionMetrics lastMetrics;

  private record ActionMetrics(
      Counter count, Counter failures, Counter timeouts, Histogram latency) {}

  private record WorkerMetrics(Counter answers, Counter deaths) {}

  public OperatorMetrics(MetricGroup operatorGroup, Supplier<Histogram> histograms) {
    this.group = operatorGroup.addGroup("actions");
    this.histograms = histograms;
    inputs = group.counter("inputs");
    unmatched = group.counter("unmatchedInputs");
    events = group.counter("events");
    outputs = group.counter("outputs");
    actions = group.counter("results");
    group.meter("resultsPerSecond", new MeterView(actions));
    failures = group.counter("failures");
    timeouts = group.counter("timeouts");
    retries = group.counter("retries");
    deadLetters = group.counter("deadLetters");
    ignored = group.counter("ignoredFailures");
    callsRecorded = group.counter("callsRecorded");
    callsRebuilt = group.counter("callsRebuilt");
    callsUnclaimed = group.counter("callsUnclaimed");
    handedBack = group.counter("handedBackResults");
    staleReplies = group.counter("staleReplies");
    needMemory = group.counter("needMemory");
    bounces = group.counter("bounces");
    resent = group.counter("resentInvocations");
    latency = group.histogram("latencyMicros", histograms.get());
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
    MetricGroup sessions = group.addGroup("session");
    gauge(sessions, "state", counters::state);
    gauge(sessions, "open", counters::openSessions);
    gauge(sessions, "reconnects", counters::reconnects);
    gauge(sessions, "interruptions", counters::interruptions);
    gauge(sessions, "framesSent", counters::framesSent);
    gauge(sessions, "framesReceived", counters::framesReceived);
    gauge(sessions, "bytesSent", counters::bytesSent);
    gauge(sessions, "bytesReceived", counters::bytesReceived);
    gauge(sessions, "invokesSent", counters::invokesSent);
    gauge(sessions, "lastFrameBytes", counters::lastFrameBytes);
    gauge(sessions, "lastFrameInvokes", counters::lastFrameInvokes);
    gauge(sessions, "unacknowledgedFrames", counters::unacknowledgedFrames);
    gauge(sessions, "queuedInvokes", counters::queuedInvokes);
    gauge(sessions, "freeCredit", counters::freeCredit);
    gauge(sessions, "roundTripMicros", counters::roundTripMicros);
    gauge(sessions, "loopLagMicros", counters::loopLagMicros);
    gauge(sessions, "keptBytes", counters::keptBytes);
    gauge(sessions, "keptDropped", counters::keptDropped);
    gauge(sessions, "keptMissed", counters::keptMissed);
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
    if (byWorker.containsKey(name) || byWorker.size() >= WORKERS_LIMIT) {
      return;
    }
    MetricGroup own = group.addGroup("worker", name);
    SessionCounters.WorkerCounters worker = counters.ofWorker(name);
    gauge(own, "open", worker::openSessions);
    gauge(own, "invocations", worker::openInvocations);
    gauge(own, "freeCredit", worker::freeCredit);
    gauge(own, "unacknowledgedFrames", worker::unacknowledgedFrames);
    gauge(own, "loopLagMicros", worker::loopLagMicros);
    gauge(own, "keptBytes", worker::keptBytes);
    Counter answers = own.counter("answers");
    own.meter("answersPerSecond", new MeterView(answers));
    byWorker.put(name, new WorkerMetrics(answers, own.counter("deaths")));
  }

  /** So many Results and failures came from this worker. */
  public void onAnswers(String worker, int count) {
    WorkerMetrics metrics = byWorker.get(worker);
    if (count > 0 && metrics != null) {
      metrics.answers.inc(count);
    }
  }

  /** A process of this worker is dead. */
  public void onDeath(String worker) {
    WorkerMetrics metrics = byWorker.get(worker);
    if (metrics != null) {
      metrics.deaths.inc();
    }
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

  /** A Result was applied. */
  public void onResult(PlannedAction action, long latencyNanos) {
    long micros = latencyNanos / 1_000;
    actions.inc();
    latency.update(micros);
    ActionMetrics metrics = of(action);
    metrics.count.inc();
    metrics.latency.update(micros);
  }

  /** An attempt failed; the action is null if the plan has it no more. */
  public void onFailure(PlannedAction action, Failure.Kind kind) {
    boolean isTimeout = kind == Failure.Kind.TIMEOUT;
    failures.inc();
    if (isTimeout) {
      timeouts.inc();
    }
    if (action != null) {
      ActionMetrics metrics = of(action);
      metrics.failures.inc();
      if (isTimeout) {
        metrics.timeouts.inc();
      }
    }
  }

  /** A failed invocation waits for another attempt. */
  public void onRetry() {
    retries.inc();
  }

  /** An invocation was given up and kept as a dead letter. */
  public void onDeadLetter() {
    deadLetters.inc();
  }

  /** An invocation was given up and dropped. */
  public void onIgnored() {
    ignored.inc();
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

  private ActionMetrics of(PlannedAction action) {
    if (action != lastAction) {
      lastAction = action;
      String name =
          byAction.size() < ACTIONS_LIMIT || byAction.containsKey(action.name())
              ? action.name()
              : "other";
      lastMetrics = byAction.computeIfAbsent(name, this::register);
    }
    return lastMetrics;
  }

  private ActionMetrics register(String name) {
    MetricGroup own = group.addGroup("action", name);
    Counter count = own.counter("results");
    own.meter("resultsPerSecond", new MeterView(count));
    return new ActionMetrics(
        count,
        own.counter("failures"),
        own.counter("timeouts"),
        own.histogram("latencyMicros", histograms.get()));
  }
}
