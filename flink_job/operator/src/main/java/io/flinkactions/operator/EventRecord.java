package io.flinkactions.operator;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.google.protobuf.ByteString;
import io.flinkactions.operator.codec.EventAttributes;
import io.flinkactions.wire.v1.ContentType;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.util.OutputTag;

/**
 * One event of a run, for whoever watches a job at work.
 *
 * @param id a UUID, the one that actions see
 * @param type of the event
 * @param valueName what the payload is called among the attributes; null: it is all of them
 * @param payload its attributes, or the one value
 * @param contentType how to read it
 * @param key canonical JSON text of the key
 * @param runNumber of the key's run
 * @param upstreamAction who sent it; null for an input
 * @param upstreamEventId what that action was given; null for an input
 */
public record EventRecord(
    String id,
    String type,
    String valueName,
    ByteString payload,
    ContentType contentType,
    String key,
    long runNumber,
    String upstreamAction,
    String upstreamEventId) {

  /** The side output of an action operator that carries events, as JSON text. */
  public static final OutputTag<String> TAG = new OutputTag<>("events", Types.STRING);

  private static final JsonFactory JSON = new JsonFactory();

  /**
   * One JSON object.
   *
   * @param timestamp of the input that caused it, in ms; null if that has none
   */
  public String toJson(Long timestamp) {
    StringWriter text = new StringWriter(256 + payload.size());
    try (JsonGenerator json = JSON.createGenerator(text)) {
      json.writeStartObject();
      json.writeStringField("type", type);
      json.writeStringField("id", id);
      // A key's text is JSON already.
      json.writeFieldName("key");
      json.writeRawValue(key);
      json.writeNumberField("run", runNumber);
      EventAttributes.write(json, valueName, payload, contentType);
      json.writeStringField("upstream_action", upstreamAction);
      json.writeStringField("upstream_event_id", upstreamEventId);
      if (timestamp == null) {
        json.writeNullField("timestamp");
      } else {
        json.writeNumberField("timestamp", timestamp);
      }
      json.writeEndObject();
    } catch (IOException e) {
      throw new UncheckedIOException("writing to memory failed", e);
    }
    return text.toString();
  }
}
