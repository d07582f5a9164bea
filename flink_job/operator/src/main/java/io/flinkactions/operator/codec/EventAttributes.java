package io.flinkactions.operator.codec;

import com.fasterxml.jackson.core.JsonGenerator;
import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.ContentType;
import java.io.IOException;

/** Attributes of an event as people get to read them, in whatever form they have travelled. */
public final class EventAttributes {

  private EventAttributes() {}

  /**
   * Writes a field {@code attributes} with one JSON object.
   *
   * @param valueName what the payload is called among the attributes; null: it is all of them, as
   *     JSON
   * @param payload the attributes, or the one value
   * @param contentType how to read it; what is no JSON is written as base64, with its type
   */
  public static void write(
      JsonGenerator json, String valueName, ByteString payload, ContentType contentType)
      throws IOException {
    json.writeFieldName("attributes");
    if (valueName == null) {
      json.writeRawValue(payload.toStringUtf8());
      return;
    }
    json.writeStartObject();
    if (contentType == ContentType.JSON) {
      json.writeFieldName(valueName);
      json.writeRawValue(payload.toStringUtf8());
    } else {
      json.writeBinaryField(valueName + "_base64", payload.toByteArray());
      json.writeStringField(valueName + "_content_type", contentType.name());
    }
    json.writeEndObject();
  }
}
