package io.flinkactions.operator.codec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.typeutils.RowTypeInfo;
import org.apache.flink.types.Row;
import org.apache.flink.util.InstantiationUtil;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class KeyedInputTest {

  /** A POJO with a field of each access. */
  public static class Review {
    public String product;
    private long stars;

    public long getStars() {
      return stars;
    }

    public void setStars(long value) {
      stars = value;
    }
  }

  private static final RowTypeInfo ROW =
      new RowTypeInfo(
          new TypeInformation<?>[] {
            Types.STRING,
            Types.LONG,
            Types.BOOLEAN,
            Types.BIG_DEC,
            Types.DOUBLE,
            Types.ROW(Types.INT)
          },
          new String[] {"name", "number", "flag", "price", "weight", "parts"});

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "{\"a\": \"x\"}                          | \"x\"",
        "{\"a\": \"q\\\"b\\\\ \\u00e9\\n\\u0001\"}    | \"q\\\"b\\\\ é\\n\\u0001\"",
        "{\"a\": 12}                             | 12",
        "{\"a\": -0}                             | 0",
        "{\"a\": 1.0}                            | 1",
        "{\"a\": 1e2}                            | 100",
        "{\"a\": 12.50}                          | 12.5",
        "{\"a\": 123456789012345678901234567890} | 123456789012345678901234567890",
        "{\"a\": true}                           | true",
        "{\"z\": {\"a\": 1}, \"y\": [1, {\"a\": 2}], \"a\": 3} | 3",
        "{\"a\": 1, \"a\": 2}                      | 1",
      })
  void a_json_field_becomes_canonical_text(String json, String key) throws Exception {
    assertThat(jsonKey(json, "a")).isEqualTo(key);
  }

  @Test
  void several_fields_become_an_array_in_the_order_of_the_names() throws Exception {
    assertThat(jsonKey("{\"b\": 2, \"x\": [], \"a\": \"one\"}", "a", "b")).isEqualTo("[\"one\",2]");
  }

  @Test
  void json_may_come_as_bytes() throws Exception {
    KeyedInput<byte[]> input =
        KeyedInput.byFields(
            PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO, "json", List.of("a"));
    byte[] record = "{\"a\": \"é\"}".getBytes(StandardCharsets.UTF_8);
    assertThat(input.key().getKey(record)).isEqualTo("\"é\"");
    assertThat(input.codec().encode(record).toByteArray()).isEqualTo(record);
  }

  @Test
  void json_behind_the_last_key_field_is_not_read() throws Exception {
    assertThat(jsonKey("{\"a\": 1, \"b\": here the JSON ends", "a")).isEqualTo("1");
  }

  @Test
  void a_json_record_without_the_field_is_an_error_that_names_those_it_has() {
    assertThatThrownBy(() -> jsonKey("{\"corpus\": 1, \"text\": {\"a\": 2}}", "a"))
        .isInstanceOf(KeyFieldException.class)
        .hasMessageContaining("'a'")
        .hasMessageContaining("[corpus, text]");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{\"a\": null}       | is null",
        "{\"a\": [1]}        | array",
        "{\"a\": {}}         | object",
        "[1]                 | not a JSON object",
        "{\"a\": 1e999999999} | digits",
        "{\"a\": 1e99999999999} | digits",
        "{\"a\": \"\\ud800\"} | surrogate",
      })
  void a_json_field_that_cannot_be_a_key_is_an_error(String json, String message) {
    assertThatThrownBy(() -> jsonKey(json, "a"))
        .isInstanceOf(KeyFieldException.class)
        .hasMessageContaining(message);
  }

  @Test
  void text_that_is_no_json_is_an_error_that_shows_it() {
    assertThatThrownBy(() -> jsonKey("{\"b\": nonsense}", "a"))
        .isInstanceOf(CodecException.class)
        .hasMessageContaining("not JSON")
        .hasMessageContaining("nonsense");
  }

  @ParameterizedTest
  @CsvSource({"name,\"x\"", "number,7", "flag,true", "price,12.5"})
  void a_row_field_becomes_canonical_text(String field, String key) throws Exception {
    Row row = Row.of("x", 7L, true, new BigDecimal("12.50"), 1.5, Row.of(1));
    assertThat(travelled(KeyedInput.byFields(ROW, null, List.of(field))).key().getKey(row))
        .isEqualTo(key);
  }

  @Test
  void a_row_may_have_its_fields_by_name() throws Exception {
    Row row = Row.withNames();
    row.setField("number", 7L);
    row.setField("name", "x");
    assertThat(KeyedInput.byFields(ROW, null, List.of("name", "number")).key().getKey(row))
        .isEqualTo("[\"x\",7]");
  }

  @Test
  void equal_decimals_are_one_key_whatever_their_scale() throws Exception {
    KeyedInput<Row> input = KeyedInput.byFields(ROW, null, List.of("price"));
    Row one = Row.of("x", 7L, true, new BigDecimal("100"), 1.5, null);
    Row same = Row.of("x", 7L, true, new BigDecimal("1E+2"), 1.5, null);
    assertThat(input.key().getKey(one)).isEqualTo(input.key().getKey(same)).isEqualTo("100");
  }

  @Test
  void an_unknown_row_field_is_an_error_while_the_job_is_built() {
    assertThatThrownBy(() -> KeyedInput.byFields(ROW, null, List.of("nmae")))
        .isInstanceOf(KeyFieldException.class)
        .hasMessageContaining("'nmae'")
        .hasMessageContaining("Row(name: String")
        .hasMessageContaining("[name, number, flag, price, weight, parts]");
  }

  @ParameterizedTest
  @CsvSource({"weight,Double", "parts,Row"})
  void a_row_field_of_a_type_that_cannot_be_a_key_is_an_error_while_the_job_is_built(
      String field, String type) {
    assertThatThrownBy(() -> KeyedInput.byFields(ROW, null, List.of(field)))
        .isInstanceOf(KeyFieldException.class)
        .hasMessageContaining("'" + field + "'")
        .hasMessageContaining(type);
  }

  @Test
  void a_null_in_a_key_field_is_an_error_that_names_it() {
    KeyedInput<Row> input = KeyedInput.byFields(ROW, null, List.of("name"));
    assertThatThrownBy(() -> input.key().getKey(new Row(6)))
        .isInstanceOf(KeyFieldException.class)
        .hasMessageContaining("'name'")
        .hasMessageContaining("is null");
  }

  @Test
  void a_pojo_is_keyed_by_its_fields_private_ones_included() throws Exception {
    TypeInformation<Review> type = TypeInformation.of(Review.class);
    Review review = new Review();
    review.product = "dvd";
    review.setStars(4);
    assertThat(
            travelled(KeyedInput.byFields(type, null, List.of("product", "stars")))
                .key()
                .getKey(review))
        .isEqualTo("[\"dvd\",4]");
    assertThatThrownBy(() -> KeyedInput.byFields(type, null, List.of("price")))
        .isInstanceOf(KeyFieldException.class)
        .hasMessageContaining("[product, stars]");
  }

  @Test
  void a_tuple_is_keyed_by_its_field_names() throws Exception {
    TypeInformation<Tuple2<String, Integer>> type = Types.TUPLE(Types.STRING, Types.INT);
    assertThat(KeyedInput.byFields(type, null, List.of("f1")).key().getKey(Tuple2.of("a", 5)))
        .isEqualTo("5");
  }

  @Test
  void an_avro_record_is_keyed_by_its_fields() throws Exception {
    Schema schema =
        SchemaBuilder.record("Click")
            .fields()
            .requiredString("user")
            .requiredLong("at")
            .endRecord();
    GenericRecord click = new GenericData.Record(schema);
    click.put("user", new org.apache.avro.util.Utf8("ann"));
    click.put("at", 3L);
    TypeInformation<GenericRecord> type = TypeInformation.of(GenericRecord.class);
    assertThat(KeyedInput.byFields(type, null, List.of("user")).key().getKey(click))
        .isEqualTo("\"ann\"");
    assertThatThrownBy(() -> KeyedInput.byFields(type, null, List.of("usr")).key().getKey(click))
        .isInstanceOf(KeyFieldException.class)
        .hasMessageContaining("[user, at]");
  }

  @Test
  void strings_have_no_fields_to_choose_from() {
    assertThatThrownBy(() -> KeyedInput.byFields(Types.STRING, null, List.of("a")))
        .isInstanceOf(KeyFieldException.class)
        .hasMessageContaining("input_type=\"json\"");
  }

  @Test
  void no_key_at_all_is_an_error() {
    assertThatThrownBy(() -> KeyedInput.byFields(ROW, null, List.of()))
        .isInstanceOf(KeyFieldException.class)
        .hasMessageContaining("key_by");
  }

  @Test
  void a_stream_keyed_in_python_keeps_its_key_and_sends_its_value() throws Exception {
    RowTypeInfo keyed = new RowTypeInfo(Types.LONG, ROW);
    KeyedInput<Row> input = travelled(KeyedInput.ofPythonKeyed(keyed, ""));
    Row record = Row.of(5L, Row.of("x", 7L, true, null, 1.5, Row.of(1)));
    assertThat(input.key().getKey(record)).isEqualTo("5");
    assertThat(input.codec().encode(record).toStringUtf8())
        .isEqualTo(
            "{\"name\":\"x\",\"number\":7,\"flag\":true,\"price\":null,\"weight\":1.5,\"parts\":{\"f0\":1}}");
  }

  @Test
  void a_stream_keyed_in_java_is_keyed_again_by_text() throws Exception {
    KeyedInput<String> input = KeyedInput.ofKeyed(Types.STRING, String::length, null);
    assertThat(input.key().getKey("four")).isEqualTo("4");
    assertThat(
            KeyedInput.ofKeyed(Types.STRING, text -> new BigInteger("9"), null).key().getKey("x"))
        .isEqualTo("9");
  }

  private static String jsonKey(String json, String... fields) throws Exception {
    return travelled(KeyedInput.byFields(Types.STRING, "json", List.of(fields))).key().getKey(json);
  }

  /** As it comes out of the job graph. */
  static <T extends java.io.Serializable> T travelled(T thing) throws Exception {
    return InstantiationUtil.clone(thing);
  }
}
