package io.flinkactions.operator.identity;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.google.protobuf.ByteString;
import io.flinkactions.operator.ContractCases;
import io.flinkactions.wire.v1.ContentType;
import java.util.Base64;
import java.util.HexFormat;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The cases that pytest reads too: tests/contract/cases/identity.json. */
class IdentitiesTest {
  private static final JsonNode CASES = ContractCases.read("identity.json");

  private final Identities identities = new Identities();

  static Stream<JsonNode> events() {
    return cases("events");
  }

  static Stream<JsonNode> runs() {
    return cases("runs");
  }

  static Stream<JsonNode> invocations() {
    return cases("invocations");
  }

  static Stream<JsonNode> eventIds() {
    return cases("event_ids");
  }

  @ParameterizedTest
  @MethodSource("events")
  void an_event_is_named_by_its_content(JsonNode given) {
    ContentType contentType = ContentType.valueOf(given.get("content_type").asText());
    Long timestamp = given.get("timestamp").isNull() ? null : given.get("timestamp").asLong();
    byte[] payload = base64(given.get("payload"));
    String type = given.get("type").asText();
    String digest = given.get("digest").asText();
    assertThat(hex(identities.eventDigest(type, contentType, payload, timestamp)))
        .isEqualTo(digest);
    ByteString bytes = ByteString.copyFrom(payload);
    assertThat(hex(identities.eventDigest(type, contentType, bytes, timestamp))).isEqualTo(digest);
  }

  @ParameterizedTest
  @MethodSource("runs")
  void a_run_is_named_by_its_key_number_and_input(JsonNode given) {
    byte[] id =
        identities.runId(
            given.get("namespace").asText(),
            given.get("operator_uid").asText(),
            base64(given.get("key")),
            given.get("run_number").asLong(),
            bytes(given.get("input_digest")));
    assertThat(hex(id)).isEqualTo(given.get("id").asText());
  }

  @ParameterizedTest
  @MethodSource("invocations")
  void an_invocation_is_named_by_its_run_action_and_event(JsonNode given) {
    byte[] id =
        identities.invocationId(
            bytes(given.get("run_id")),
            given.get("action").asText(),
            given.get("ordinal").asLong(),
            bytes(given.get("event_digest")));
    assertThat(hex(id)).isEqualTo(given.get("id").asText());
  }

  @ParameterizedTest
  @MethodSource("eventIds")
  void an_emitted_event_has_the_uuid_of_its_source_and_position(JsonNode given) {
    String id = identities.eventId(bytes(given.get("source")), given.get("position").asInt());
    assertThat(id).isEqualTo(given.get("id").asText());
  }

  private static Stream<JsonNode> cases(String name) {
    return ContractCases.items(CASES.get(name));
  }

  private static byte[] bytes(JsonNode hex) {
    return HexFormat.of().parseHex(hex.asText());
  }

  private static byte[] base64(JsonNode text) {
    return Base64.getDecoder().decode(text.asText());
  }

  private static String hex(byte[] bytes) {
    return HexFormat.of().formatHex(bytes);
  }
}
