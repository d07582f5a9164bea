package io.flinkactions.operator;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.flinkactions.operator.codec.CodecException;
import io.flinkactions.operator.codec.KeyedInput;
import io.flinkactions.operator.codec.TypedOutput;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.typeutils.RowTypeInfo;
import org.apache.flink.configuration.ExecutionOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.types.Row;

/**
 * Where PyFlink crosses into Java: one method, of which pyflink_actions/_java_bridge.py is the only
 * caller.
 */
public final class Bridge {

  private static final ObjectMapper JSON = new ObjectMapper();

  private Bridge() {}

  /**
   * What a call has made.
   *
   * @param remarks on the configuration, for the job's author to read
   */
  public record Applied(ActionStreams<?> streams, List<String> remarks) {}

  /**
   * Puts an action operator behind a stream.
   *
   * @param stream keyed by PyFlink, keyed in Java, or not keyed
   * @param call a JSON object: {@code agent}, {@code endpoints}, {@code key_by}, {@code
   *     input_type}, {@code output_type}, {@code uid}, {@code name}, {@code events}, {@code
   *     options} (keys of the {@code agent:} section without its name) and {@code config} (for the
   *     agents)
   * @param outputType of the outputs; null to go by {@code output_type}
   */
  public static Applied apply(DataStream<?> stream, String call, TypeInformation<?> outputType)
      throws JsonProcessingException {
    return wire(stream, JSON.readTree(call), outputType);
  }

  private static Applied wire(DataStream<?> stream, JsonNode call, TypeInformation<?> outputType) {
    StreamExecutionEnvironment env = stream.getExecutionEnvironment();
    JobOptions options =
        JobOptions.read(
            System.getenv("FLINK_CONF_DIR"), env.getConfiguration(), texts(call.path("options")));
    ObjectNode agentConfig = object(call.path("config"));
    ActionSettings settings =
        options
            .begin(call.path("agent").asText(), list(call.path("endpoints")), agentConfig)
            .events(call.path("events").asBoolean(false))
            .build();
    TypedOutput<?> output = output(call.path("output_type").asText("json"), outputType);
    ActionStreams<?> streams = behind(stream, call, settings, output);
    String name = call.path("name").asText("");
    if (!name.isEmpty()) {
      streams.outputs().name(name);
    }
    streams.outputs().uid(call.path("uid").asText("agent-" + settings.agent()));
    lowerBufferTimeout(env, options.get(JobOptions.BUFFER_TIMEOUT));
    return new Applied(streams, options.remarks(agentConfig));
  }

  private static ActionStreams<?> behind(
      DataStream<?> stream, JsonNode call, ActionSettings settings, TypedOutput<?> output) {
    List<String> keyFields = list(call.path("key_by"));
    String inputType = call.path("input_type").asText("");
    if (!(stream instanceof KeyedStream<?, ?> keyed)) {
      return byFields(stream, keyFields, inputType, settings, output);
    }
    if (!keyFields.isEmpty()) {
      throw new CodecException(
          "key_by="
              + keyFields
              + " and a stream that is keyed already; drop one of them (key_by costs less: it needs"
              + " no Python worker)");
    }
    if (keyed.getKeySelector().getClass().getName().endsWith(".KeyByKeySelector")) {
      // Rows of (key, value), made by a Python operator: its key is kept, and made canonical.
      DataStream<Row> rows = input(keyed);
      return ActionStreams.apply(
          rows,
          settings,
          KeyedInput.ofPythonKeyed((RowTypeInfo) rows.getType(), inputType),
          output);
    }
    return byKeySelector(keyed, inputType, settings, output);
  }

  private static <IN> ActionStreams<?> byFields(
      DataStream<IN> stream,
      List<String> keyFields,
      String inputType,
      ActionSettings settings,
      TypedOutput<?> output) {
    return ActionStreams.apply(
        stream, settings, KeyedInput.byFields(stream.getType(), inputType, keyFields), output);
  }

  private static <IN, K> ActionStreams<?> byKeySelector(
      KeyedStream<IN, K> keyed, String inputType, ActionSettings settings, TypedOutput<?> output) {
    DataStream<IN> stream = input(keyed);
    return ActionStreams.apply(
        stream,
        settings,
        KeyedInput.ofKeyed(stream.getType(), keyed.getKeySelector(), inputType),
        output);
  }

  /** What a keyed stream was made of: the operator keys it again, by text. */
  @SuppressWarnings("unchecked") // Keying changes no record.
  private static <T> DataStream<T> input(KeyedStream<?, ?> keyed) {
    return (DataStream<T>)
        new DataStream<>(
            keyed.getExecutionEnvironment(), keyed.getTransformation().getInputs().get(0));
  }

  private static TypedOutput<?> output(String name, TypeInformation<?> type) {
    if (type != null) {
      return TypedOutput.of(type);
    }
    return switch (name) {
      case "", "json" -> TypedOutput.json();
      case "string" -> TypedOutput.string();
      case "bytes" -> TypedOutput.bytes();
      default ->
          throw new CodecException(
              "output_type \""
                  + name
                  + "\" is unknown; it is \"json\", \"string\", \"bytes\" or a Flink type such as"
                  + " Types.ROW_NAMED([...], [...])");
    };
  }

  /**
   * Job-wide, because the wait is paid on every exchange before the operator; a user's own setting
   * stays.
   */
  private static void lowerBufferTimeout(StreamExecutionEnvironment env, Duration timeout) {
    ReadableConfig config = env.getConfiguration();
    if (config.getOptional(ExecutionOptions.BUFFER_TIMEOUT).isEmpty()
        && config.getOptional(ExecutionOptions.BUFFER_TIMEOUT_ENABLED).isEmpty()) {
      env.setBufferTimeout(timeout.toMillis());
    }
  }

  private static List<String> list(JsonNode node) {
    List<String> items = new ArrayList<>();
    node.forEach(item -> items.add(item.asText()));
    return items;
  }

  private static Map<String, String> texts(JsonNode node) {
    Map<String, String> texts = new LinkedHashMap<>();
    node.properties().forEach(field -> texts.put(field.getKey(), field.getValue().asText()));
    return texts;
  }

  private static ObjectNode object(JsonNode node) {
    return node.isObject() ? (ObjectNode) node : JSON.createObjectNode();
  }
}
