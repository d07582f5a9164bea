package io.flinkactions.operator.state;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.MessageLite;
import io.flinkactions.operator.lane.Input;
import io.flinkactions.operator.lane.Invocation;
import io.flinkactions.operator.lane.Invocation.SentEvent;
import io.flinkactions.operator.lane.Lane;
import io.flinkactions.operator.lane.LaneStore;
import io.flinkactions.operator.lane.Run;
import io.flinkactions.operator.state.v1.EventState;
import io.flinkactions.operator.state.v1.InputState;
import io.flinkactions.operator.state.v1.InvocationState;
import io.flinkactions.operator.state.v1.KeyHeader;
import io.flinkactions.operator.state.v1.LaneState;
import io.flinkactions.operator.state.v1.RunState;
import io.flinkactions.operator.time.SegmentedWatermarks;
import io.flinkactions.wire.v1.ContentType;
import java.util.concurrent.atomic.LongAdder;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.runtime.state.KeyedStateBackend;

/**
 * Lanes in keyed state: a header per key, a value per lane with inputs, and an entry per input, so
 * that a long lane is not written again for one change. Mailbox thread only.
 */
public final class StateLaneStore implements LaneStore {

  /** Makes the id of a run whose input was restored. */
  @FunctionalInterface
  public interface RunIds {
    byte[] runId(String namespace, Lane lane, Input input);
  }

  private final KeyedStateBackend<String> backend;
  private final ValueState<byte[]> headers;
  private final ValueState<byte[]> lanes;
  private final MapState<Long, byte[]> inputs;
  private final LongAdder writtenBytes;

  StateLaneStore(
      KeyedStateBackend<String> backend,
      ValueState<byte[]> headers,
      ValueState<byte[]> lanes,
      MapState<Long, byte[]> inputs,
      LongAdder writtenBytes) {
    this.backend = backend;
    this.headers = headers;
    this.lanes = lanes;
    this.inputs = inputs;
    this.writtenBytes = writtenBytes;
  }

  @Override
  public Lane load(String key) throws Exception {
    backend.setCurrentKey(key);
    byte[] bytes = headers.value();
    if (bytes == null) {
      return new Lane(key, 0, ByteString.EMPTY);
    }
    KeyHeader header = KeyHeader.parseFrom(bytes);
    return new Lane(key, header.getNextRunNumber(), header.getMemoryVersion());
  }

  @Override
  public void write(Lane lane) throws Exception {
    backend.setCurrentKey(lane.key());
    headers.update(
        bytesOf(
            KeyHeader.newBuilder()
                .setNextRunNumber(lane.nextRunNumber())
                .setMemoryVersion(lane.memoryVersion())
                .build()));
    long from = lane.isActive() ? lane.firstInput().runNumber() : lane.nextRunNumber();
    long to = lane.nextRunNumber();
    for (long gone = lane.persistedFrom(); gone < Math.min(from, lane.persistedTo()); gone++) {
      inputs.remove(gone);
    }
    for (Input input = lane.firstInput(); input != null; input = lane.after(input)) {
      if (input.runNumber() >= lane.persistedTo()) {
        inputs.put(input.runNumber(), bytesOf(encode(input)));
      }
    }
    if (lane.isActive()) {
      lanes.update(bytesOf(encode(lane)));
    } else if (lane.hasLaneState()) {
      lanes.clear();
    }
    lane.onPersisted(from, to, lane.isActive());
  }

  private byte[] bytesOf(MessageLite message) {
    byte[] bytes = message.toByteArray();
    writtenBytes.add(bytes.length);
    return bytes;
  }

  @Override
  public void onDropped(Lane lane) {
    // Only sorted input ends a key, and only BATCH sorts.
    throw new IllegalStateException(
        "lane of key " + lane.key() + " dropped, though it is in state");
  }

  /**
   * The lane of a key that has a lane value, with its inputs and its run, nothing of it sent to
   * anybody.
   */
  public Lane restore(String key, SegmentedWatermarks watermarks, RunIds runIds) throws Exception {
    Lane lane = load(key);
    LaneState state = LaneState.parseFrom(lanes.value());
    for (long number = state.getFirstRunNumber(); number < lane.nextRunNumber(); number++) {
      byte[] bytes = inputs.get(number);
      if (bytes == null) {
        throw new IllegalStateException(
            "state has no input for run "
                + number
                + " of key "
                + key
                + "; the savepoint is damaged");
      }
      lane.add(decodeInput(number, InputState.parseFrom(bytes), watermarks));
    }
    if (state.hasRun()) {
      lane.begin(decode(lane, state.getRun(), runIds));
    }
    lane.onPersisted(state.getFirstRunNumber(), lane.nextRunNumber(), true);
    return lane;
  }

  /** Run numbers of the inputs that state has for a key, for tests. */
  Iterable<Long> inputNumbers(String key) throws Exception {
    backend.setCurrentKey(key);
    return inputs.keys();
  }

  private static LaneState encode(Lane lane) {
    LaneState.Builder state =
        LaneState.newBuilder().setFirstRunNumber(lane.firstInput().runNumber());
    // What asks an archive belongs to a plan that nobody runs: restored, it would be a run of that
    // plan and not of one that is served. Its input is among those that wait.
    if (lane.run() != null && !lane.run().isTentative()) {
      state.setRun(encode(lane.run()));
    }
    return state.build();
  }

  private static InputState encode(Input input) {
    InputState.Builder state =
        InputState.newBuilder()
            .setPayload(input.payload())
            .setContentType(input.contentType().getNumber());
    if (input.hasTimestamp()) {
      state.setTimestamp(input.timestamp());
    }
    return state.build();
  }

  private static Input decodeInput(
      long runNumber, InputState state, SegmentedWatermarks watermarks) {
    return new Input(
        runNumber,
        state.getPayload(),
        contentType(state.getContentType()),
        state.hasTimestamp(),
        state.getTimestamp(),
        watermarks.onArrived());
  }

  private static RunState encode(Run run) {
    RunState.Builder state =
        RunState.newBuilder()
            .setNamespace(run.namespace())
            .setGeneration(run.generation())
            .setNextOrdinal(run.nextOrdinal())
            .setUsedMs(run.usedMillis());
    for (Invocation invocation = run.current();
        invocation != null;
        invocation = run.after(invocation)) {
      state.addInvocations(encode(invocation));
    }
    run.sensory().forEach((path, value) -> state.addSensoryPath(path).addSensoryValue(value));
    return state.build();
  }

  private static Run decode(Lane lane, RunState state, RunIds runIds)
      throws InvalidProtocolBufferException {
    Input input = lane.firstInput();
    byte[] id = runIds.runId(state.getNamespace(), lane, input);
    Run run =
        new Run(input, state.getNamespace(), id, state.getGeneration(), state.getNextOrdinal());
    run.addUsed(state.getUsedMs());
    for (InvocationState invocation : state.getInvocationsList()) {
      run.add(decode(invocation));
    }
    run.writeSensory(
        state.getSensoryPathList(), state.getSensoryValueList(), 0, state.getSensoryPathCount());
    return run;
  }

  private static InvocationState encode(Invocation invocation) {
    InvocationState.Builder state =
        InvocationState.newBuilder()
            .setAction(invocation.action())
            .setOrdinal(invocation.ordinal())
            .setAttempt(invocation.attempt())
            .setFailures(invocation.failures())
            .setDeaths(invocation.deaths())
            .setHops(invocation.hops())
            .setRetryDueMs(invocation.dueMillis())
            .setLoneDeaths(invocation.loneDeaths())
            .setSuspect(invocation.isSuspect());
    invocation.callRecords().forEach(call -> state.addCalls(call.toByteString()));
    if (!invocation.storedEpochs().isEmpty()) {
      invocation
          .callRecords()
          .forEach(
              call ->
                  state.addStoredEpochs(
                      invocation.storedEpochs().getOrDefault(call.getPlace(), 0L)));
    }
    SentEvent event = invocation.event();
    if (event != null) {
      state.setEvent(
          EventState.newBuilder()
              .setType(event.type())
              .setPayload(event.payload())
              .setContentType(event.contentType().getNumber())
              .setSource(event.source())
              .setPosition(event.position())
              .setUpstreamAction(event.upstreamAction())
              .setUpstreamEventId(event.upstreamEventId()));
    }
    return state.build();
  }

  private static Invocation decode(InvocationState state) throws InvalidProtocolBufferException {
    SentEvent event = null;
    if (state.hasEvent()) {
      EventState sent = state.getEvent();
      event =
          new SentEvent(
              sent.getType(),
              sent.getPayload(),
              contentType(sent.getContentType()),
              sent.getSource(),
              sent.getPosition(),
              sent.getUpstreamAction(),
              sent.getUpstreamEventId());
    }
    Invocation invocation =
        new Invocation(state.getAction(), state.getOrdinal(), state.getHops(), event)
            .restoreCounts(state.getAttempt(), state.getFailures(), state.getDeaths());
    if (state.hasSuspect()) {
      invocation.restoreSuspicion(state.getSuspect());
    }
    return invocation
        .restoreWait(state.getRetryDueMs())
        .restoreLoneDeaths(state.getLoneDeaths())
        .restoreCalls(state.getCallsList(), state.getStoredEpochsList());
  }

  private static ContentType contentType(int number) {
    ContentType type = ContentType.forNumber(number);
    if (type == null) {
      throw new IllegalStateException(
          "state has content type "
              + number
              + ", which this operator does not know; use the jar that wrote it, or newer");
    }
    return type;
  }
}
