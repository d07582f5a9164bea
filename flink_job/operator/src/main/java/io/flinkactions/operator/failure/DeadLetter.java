package io.flinkactions.operator.failure;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.google.protobuf.ByteString;
import io.flinkactions.operator.codec.EventAttributes;
import io.flinkactions.wire.v1.ContentType;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.UUID;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.util.OutputTag;

/**
 * What is left of an invocation that was given up: enough to see what happened, and to do it again
 * by hand.
 *
 * @param failure of the last attempt
 * @param invocationId in hex, as the action saw it: the idempotency key of what it has done
 * @param input the record that began the run
 * @param inputContentType how to read it
 * @param inputTimestamp in ms; null if the record had none
 * @param eventType type of the event that the action got
 * @param eventId its id, 16 bytes
 * @param eventValueName what its payload is called among its attributes; null: it is all of them
 * @param eventPayload its attributes, or the one value; null for the input itself
 * @param eventContentType how to read that; null for the input itself
 * @param upstreamAction who sent it; empty for the input
 * @param deaths of workers under it
 */
public record DeadLetter(
    ActionFailure failure,
    String invocationId,
    ByteString input,
    ContentType inputContentType,
    Long inputTimestamp,
    String eventType,
    ByteString eventId,
    String eventValueName,
    ByteString eventPayload,
    ContentType eventContentType,
    String upstreamAction,
    int deaths) {

  /** The side output of an action operator that carries dead letters, as JSON text. */
  public static final OutputTag<String> TAG = new OutputTag<>("dead-letters", Types.STRING);

  private static final JsonFactory JSON = new JsonFactory();

  /** One JSON object. */
  public String toJson() {
    StringWriter text = new StringWriter(1024);
    try (JsonGenerator json = JSON.createGenerator(text)) {
      json.writeStartObject();
      json.writeStringField("agent", failure.agent());
      json.writeStringField("action", failure.action());
      // A key's text is JSON already.
      json.writeFieldName("key");
      json.writeRawValue(failure.key());
      json.writeNumberField("run", failure.runNumber());
      json.writeStringField("invocation_id", invocationId);
      writeInput(json);
      writeEvent(json);
      writeError(json);
      json.writeNumberField("attempts", failure.failures());
      json.writeNumberField("hand_outs", failure.attempt());
      json.writeNumberField("worker_deaths", deaths);
      json.writeStringField("worker", failure.worker());
      json.writeStringField("generation", failure.generation());
      json.writeEndObject();
    } catch (IOException e) {
      throw new UncheckedIOException("writing to memory failed", e);
    }
    return text.toString();
  }

  private void writeInput(JsonGenerator json) throws IOException {
    if (inputContentType == ContentType.JSON) {
      json.writeFieldName("input");
      json.writeRawValue(input.toStringUtf8());
    } else {
      json.writeStringField("input_content_type", inputContentType.name());
      json.writeBinaryField("input_base64", input.toByteArray());
    }
    if (inputTimestamp == null) {
      json.writeNullField("timestamp");
    } else {
      json.writeNumberField("timestamp", inputTimestamp);
    }
  }

  private void writeEvent(JsonGenerator json) throws IOException {
    ByteBuffer id = eventId.asReadOnlyByteBuffer();
    json.writeObjectFieldStart("event");
    json.writeStringField("type", eventType);
    json.writeStringField("id", new UUID(id.getLong(), id.getLong()).toString());
    if (eventPayload != null) {
      EventAttributes.write(json, eventValueName, eventPayload, eventContentType);
      json.writeStringField("upstream_action", upstreamAction);
    }
    json.writeEndObject();
  }

  private void writeError(JsonGenerator json) throws IOException {
    json.writeObjectFieldStart("error");
    json.writeStringField("kind", failure.kind().name());
    json.writeStringField("class", failure.exception());
    json.writeStringField("message", failure.message());
    json.writeStringField("stack", failure.stack());
    json.writeEndObject();
  }
}
