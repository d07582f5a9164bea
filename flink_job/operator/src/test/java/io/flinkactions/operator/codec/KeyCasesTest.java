package io.flinkactions.operator.codec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import io.flinkactions.operator.ContractCases;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.typeutils.RowTypeInfo;
import org.apache.flink.types.Row;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The cases that pytest reads too: tests/contract/cases/keys.json. */
class KeyCasesTest {

  private static final JsonNode CASES = ContractCases.read("keys.json");

  static Stream<JsonNode> fields() {
    return ContractCases.items(CASES.get("fields"));
  }

  static Stream<JsonNode> refused() {
    return ContractCases.items(CASES.get("refused"));
  }

  static Stream<JsonNode> json() {
    return ContractCases.items(CASES.get("json"));
  }

  static Stream<JsonNode> jsonRefused() {
    return ContractCases.items(CASES.get("json_refused"));
  }

  @ParameterizedTest
  @MethodSource("fields")
  void field_values_have_one_canonical_text(JsonNode given) throws Exception {
    assertThat(keyOf(given.get("values"))).isEqualTo(given.get("key").asText());
  }

  @ParameterizedTest
  @MethodSource("refused")
  void what_cannot_be_a_key_is_refused(JsonNode given) {
    assertThatThrownBy(() -> keyOf(given.get("values")))
        .isInstanceOf(KeyFieldException.class)
        .hasMessageContaining(given.get("error").asText());
  }

  @ParameterizedTest
  @MethodSource("json")
  void a_json_record_s_key_is_that_of_its_fields(JsonNode given) throws Exception {
    List<String> names = ContractCases.items(given.get("fields")).map(JsonNode::asText).toList();
    assertThat(jsonKey(given, names)).isEqualTo(given.get("key").asText());
  }

  @ParameterizedTest
  @MethodSource("jsonRefused")
  void a_json_field_that_cannot_be_a_key_is_refused(JsonNode given) {
    List<String> names = ContractCases.items(given.get("fields")).map(JsonNode::asText).toList();
    assertThatThrownBy(() -> jsonKey(given, names))
        .isInstanceOf(KeyFieldException.class)
        .hasMessageContaining(given.get("error").asText());
  }

  private static String jsonKey(JsonNode given, List<String> names) throws Exception {
    return KeyedInput.byFields(Types.STRING, "json", names)
        .key()
        .getKey(given.get("record").asText());
  }

  /** As the key of a row with such fields. */
  private static String keyOf(JsonNode values) throws Exception {
    List<TypeInformation<?>> types = new ArrayList<>();
    Row row = new Row(values.size());
    for (JsonNode value : values) {
      row.setField(types.size(), valueOf(value));
      types.add(typeOf(value.get("type").asText()));
    }
    String[] names =
        IntStream.range(0, types.size()).mapToObj(i -> "field" + i).toArray(String[]::new);
    RowTypeInfo type = new RowTypeInfo(types.toArray(TypeInformation<?>[]::new), names);
    return KeyedInput.byFields(type, null, List.of(names)).key().getKey(row);
  }

  private static TypeInformation<?> typeOf(String name) {
    return switch (name) {
      case "STRING" -> Types.STRING;
      case "CHAR" -> Types.CHAR;
      case "BOOLEAN" -> Types.BOOLEAN;
      case "BYTE" -> Types.BYTE;
      case "SHORT" -> Types.SHORT;
      case "INT" -> Types.INT;
      case "LONG" -> Types.LONG;
      case "BIG_INT" -> Types.BIG_INT;
      case "BIG_DEC" -> Types.BIG_DEC;
      case "FLOAT" -> Types.FLOAT;
      case "DOUBLE" -> Types.DOUBLE;
      case "DATE" -> Types.LOCAL_DATE;
      case "BYTES" -> PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO;
      default -> throw new IllegalArgumentException("a case with a field of type " + name);
    };
  }

  private static Object valueOf(JsonNode given) {
    if (given.get("value").isNull()) {
      return null;
    }
    String text = given.get("value").asText();
    return switch (given.get("type").asText()) {
      case "STRING" -> text;
      case "CHAR" -> text.charAt(0);
      case "BOOLEAN" -> Boolean.valueOf(text);
      case "BYTE" -> Byte.valueOf(text);
      case "SHORT" -> Short.valueOf(text);
      case "INT" -> Integer.valueOf(text);
      case "LONG" -> Long.valueOf(text);
      case "BIG_INT" -> new BigInteger(text);
      case "BIG_DEC" -> new BigDecimal(text);
      case "FLOAT" -> Float.valueOf(text);
      case "DOUBLE" -> Double.valueOf(text);
      case "DATE" -> LocalDate.parse(text);
      case "BYTES" -> Base64.getDecoder().decode(text);
      default -> throw new IllegalArgumentException("a case with such a value: " + given);
    };
  }
}
