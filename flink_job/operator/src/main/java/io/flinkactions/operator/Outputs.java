package io.flinkactions.operator;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.codec.OutputCodec;
import io.flinkactions.operator.failure.DeadLetter;
import io.flinkactions.operator.lane.Input;
import io.flinkactions.wire.v1.ContentType;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.streaming.api.operators.Output;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;

/**
 * The way downstream for what actions send. In two steps, so that a Result is applied whole or not
 * at all: every payload is decoded before anything changes. Mailbox thread only.
 */
public final class Outputs<OUT> {

  private final OutputCodec<OUT> codec;
  private final Output<StreamRecord<OUT>> output;
  private final List<OUT> prepared = new ArrayList<>();

  Outputs(OutputCodec<OUT> codec, Output<StreamRecord<OUT>> output) {
    this.codec = codec;
    this.output = output;
  }

  /** Decodes one output of the Result that is being applied. */
  public void prepare(ByteString payload, ContentType type) throws Exception {
    prepared.add(codec.decode(payload, type));
  }

  /** The Result is not applied after all. */
  public void discard() {
    prepared.clear();
  }

  /** Emits an invocation that was given up, with the time of the input that caused it. */
  public void emit(DeadLetter letter, Input cause) {
    output.collect(DeadLetter.TAG, record(letter.toJson(), cause));
  }

  /** Emits an event to those who watch, with the time of the input that caused it. */
  public void emit(EventRecord event, Input cause) {
    Long timestamp = cause.hasTimestamp() ? cause.timestamp() : null;
    output.collect(EventRecord.TAG, record(event.toJson(timestamp), cause));
  }

  /** Emits what was prepared, with the time of the input that caused it. */
  public int emit(Input cause) {
    int count = prepared.size();
    for (int i = 0; i < count; i++) {
      output.collect(record(prepared.get(i), cause));
    }
    prepared.clear();
    return count;
  }

  /** Always a new one: chained operators may keep it. */
  private static <T> StreamRecord<T> record(T value, Input cause) {
    StreamRecord<T> outgoing = new StreamRecord<>(value);
    if (cause.hasTimestamp()) {
      outgoing.setTimestamp(cause.timestamp());
    }
    return outgoing;
  }
}
