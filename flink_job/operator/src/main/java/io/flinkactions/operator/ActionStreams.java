package io.flinkactions.operator;

import io.flinkactions.operator.codec.CodecException;
import io.flinkactions.operator.codec.KeyedInput;
import io.flinkactions.operator.codec.TypedOutput;
import io.flinkactions.operator.failure.DeadLetter;
import io.flinkactions.wire.v1.ContentType;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;

/**
 * The streams that come out of an action operator.
 *
 * <pre>{@code
 * ActionSettings settings = ActionSettings.builder("reviews", List.of("localhost:7077")).build();
 * KeyedInput<String> input = KeyedInput.byFields(Types.STRING, "json", List.of("product"));
 * DataStream<String> outputs = ActionStreams.apply(lines, settings, input, TypedOutput.json()).outputs();
 * }</pre>
 *
 * @param <OUT> class of the outputs
 */
public final class ActionStreams<OUT> {

  private final SingleOutputStreamOperator<OUT> outputs;
  private final boolean hasEvents;

  private ActionStreams(SingleOutputStreamOperator<OUT> outputs, boolean hasEvents) {
    this.outputs = outputs;
    this.hasEvents = hasEvents;
  }

  /**
   * Puts an action operator behind a stream, which it keys anew.
   *
   * @throws CodecException if the input carries pickles and the settings do not allow them
   */
  public static <IN, OUT> ActionStreams<OUT> apply(
      DataStream<IN> stream,
      ActionSettings settings,
      KeyedInput<IN> input,
      TypedOutput<OUT> output) {
    if (input.codec().contentType() == ContentType.PICKLE && !settings.allowPickle()) {
      throw new CodecException(
          "the stream that goes into the agent is made of pickled Python objects, and pickles are"
              + " not allowed, because loading one runs code. Give the stream a type"
              + " (output_type=Types.ROW_NAMED(...) in PyFlink), or allow pickles on both sides:"
              + " ActionServer(..., allow_pickle=True) and `flink-actions serve --allow-pickle`");
    }
    return new ActionStreams<>(
        stream
            .keyBy(input.key(), Types.STRING)
            .transform(
                "agent " + settings.agent(),
                output.type(),
                new ActionOperatorFactory<>(settings, input.codec(), output.codec())),
        settings.events());
  }

  /**
   * What the agent's actions sent downstream; the operator itself, where its name, uid and
   * parallelism are set.
   */
  public SingleOutputStreamOperator<OUT> outputs() {
    return outputs;
  }

  /**
   * Invocations that were given up by an action whose policy is {@code dead_letter}, each a JSON
   * object: {@code agent}, {@code action}, {@code key}, {@code run}, {@code invocation_id}, {@code
   * input}, {@code event}, {@code error} (kind, class, message, stack), {@code attempts} and where
   * the last one ran.
   */
  public DataStream<String> deadLetters() {
    return outputs.getSideOutput(DeadLetter.TAG);
  }

  /**
   * Every input, and every event that an action has sent, outputs too: each a JSON object, {@code
   * type}, {@code id}, {@code key}, {@code run}, {@code attributes}, {@code upstream_action} and
   * {@code upstream_event_id} (null for an input), {@code timestamp} (the input's, or null). An
   * input comes when it arrives, an action's events when its Result is applied, as exactly once as
   * outputs.
   *
   * @throws IllegalStateException if the settings do not ask for events
   */
  public DataStream<String> events() {
    if (!hasEvents) {
      throw new IllegalStateException(
          "the settings of '"
              + outputs.getName()
              + "' do not ask for events; set ActionSettings.Builder.events(true)");
    }
    return outputs.getSideOutput(EventRecord.TAG);
  }
}
