package io.flinkactions.operator.failure;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.ContentType;
import io.flinkactions.wire.v1.Failure;
import org.junit.jupiter.api.Test;

class DeadLetterTest {

  private static final ActionFailure FAILURE =
      new ActionFailure(
          "shop",
          "rate",
          "[\"a\",1]",
          7,
          4,
          3,
          "w0",
          "abcdef",
          Failure.Kind.BUG,
          "ValueError",
          "no \"such\" thing\n",
          "Traceback",
          0);
  private static final ByteString ID = ByteString.fromHex("00112233445566778899aabbccddeeff");

  private static JsonNode read(DeadLetter letter) throws Exception {
    return new ObjectMapper().readTree(letter.toJson());
  }

  @Test
  void it_tells_what_is_needed_to_do_it_again_by_hand() throws Exception {
    JsonNode json =
        read(
            new DeadLetter(
                FAILURE,
                "ff00",
                ByteString.copyFromUtf8("{\"n\":1}"),
                ContentType.JSON,
                12L,
                "rated",
                ID,
                null,
                ByteString.copyFromUtf8("{\"stars\":5}"),
                ContentType.JSON,
                "first",
                2));
    assertThat(json)
        .isEqualTo(
            new ObjectMapper()
                .readTree(
                    """
                    {"agent":"shop","action":"rate","key":["a",1],"run":7,"invocation_id":"ff00",
                     "input":{"n":1},"timestamp":12,
                     "event":{"type":"rated","id":"00112233-4455-6677-8899-aabbccddeeff",
                              "attributes":{"stars":5},"upstream_action":"first"},
                     "error":{"kind":"BUG","class":"ValueError","message":"no \\"such\\" thing\\n",
                              "stack":"Traceback"},
                     "attempts":3,"hand_outs":4,"worker_deaths":2,"worker":"w0","generation":"abcdef"}
                    """));
  }

  @Test
  void an_input_that_is_no_json_is_base64() throws Exception {
    JsonNode json =
        read(
            new DeadLetter(
                FAILURE,
                "ff00",
                ByteString.copyFrom(new byte[] {(byte) 0xff, 0}),
                ContentType.BYTES,
                null,
                "_input_event",
                ID,
                null,
                null,
                null,
                "",
                0));
    assertThat(json.get("input_base64").binaryValue()).containsExactly(0xff, 0);
    assertThat(json.get("input_content_type").asText()).isEqualTo("BYTES");
    assertThat(json.has("input")).isFalse();
    assertThat(json.get("timestamp").isNull()).isTrue();
    assertThat(json.get("event").has("attributes")).isFalse();
  }

  private static JsonNode eventOf(String payload, ContentType contentType) throws Exception {
    return read(new DeadLetter(
            FAILURE,
            "ff00",
            ByteString.copyFromUtf8("1"),
            ContentType.JSON,
            null,
            "_input_event",
            ID,
            "input",
            ByteString.copyFromUtf8(payload),
            contentType,
            "first",
            0))
        .get("event");
  }

  @Test
  void an_input_that_an_action_has_sent_is_a_value_among_the_attributes() throws Exception {
    assertThat(eventOf("\"hello\"", ContentType.JSON).at("/attributes/input").asText())
        .isEqualTo("hello");
    JsonNode event = eventOf("}", ContentType.BYTES);
    assertThat(event.at("/attributes/input_base64").asText()).isEqualTo("fQ==");
    assertThat(event.at("/attributes/input_content_type").asText()).isEqualTo("BYTES");
    assertThat(event.get("upstream_action").asText()).isEqualTo("first");
  }
}
