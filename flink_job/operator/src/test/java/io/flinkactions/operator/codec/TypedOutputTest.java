package io.flinkactions.operator.codec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.ContentType;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.sql.Timestamp;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.types.Row;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TypedOutputTest {

  private static final TypeInformation<Row> SMALL =
      Types.ROW_NAMED(new String[] {"id", "count"}, Types.STRING, Types.INT);

  @Test
  void what_the_input_codec_writes_the_output_codec_reads() throws Exception {
    TypeInformation<Row> type =
        Types.ROW_NAMED(
            new String[] {
              "text",
              "byte",
              "short",
              "long",
              "float",
              "real",
              "decimal",
              "flag",
              "bytes",
              "list",
              "map",
              "row",
              "array",
              "longs",
              "date",
              "time",
              "moment",
              "instant",
              "timestamp",
              "none"
            },
            Types.STRING,
            Types.BYTE,
            Types.SHORT,
            Types.LONG,
            Types.FLOAT,
            Types.DOUBLE,
            Types.BIG_DEC,
            Types.BOOLEAN,
            PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO,
            Types.LIST(Types.STRING),
            Types.MAP(Types.STRING, Types.LONG),
            SMALL,
            Types.OBJECT_ARRAY(Types.STRING),
            Types.PRIMITIVE_ARRAY(Types.LONG),
            Types.LOCAL_DATE,
            Types.LOCAL_TIME,
            Types.LOCAL_DATE_TIME,
            Types.INSTANT,
            Types.SQL_TIMESTAMP,
            Types.STRING);
    Row row =
        Row.of(
            "é\"\n",
            (byte) -3,
            (short) 300,
            Long.MAX_VALUE,
            1.5f,
            0.1,
            new BigDecimal("12.50"),
            true,
            new byte[] {1, (byte) 255},
            List.of("a", "b"),
            Map.of("k", 1L),
            Row.of("in", 7),
            new String[] {"s", null},
            new long[] {1, 2},
            LocalDate.of(2024, 2, 29),
            LocalTime.of(9, 8),
            LocalDateTime.of(2024, 2, 29, 9, 8, 7),
            Instant.ofEpochMilli(1_500),
            Timestamp.valueOf("2024-02-29 09:08:07.5"),
            null);
    ByteString json = InputCodecs.of(type, InputType.ROW).encode(row);
    Row read = decoded(type, json.toStringUtf8());
    assertThat(read).isEqualTo(row);
  }

  @Test
  void fields_may_come_in_any_order_and_be_left_out() throws Exception {
    Row turned = decoded(SMALL, "{\"count\": 1, \"id\": \"a\"}");
    assertThat(turned).isEqualTo(Row.of("a", 1));
    Row shortened = decoded(SMALL, "{\"id\": \"a\"}");
    assertThat(shortened).isEqualTo(Row.of("a", null));
  }

  @Test
  void fields_without_names_come_in_the_declared_order() throws Exception {
    assertThat(decoded(SMALL, "[\"a\", null]")).isEqualTo(Row.of("a", null));
  }

  @Test
  void a_field_that_was_not_declared_is_an_error() {
    assertThatThrownBy(() -> decoded(SMALL, "{\"id\": \"a\", \"cuont\": 1}"))
        .isInstanceOf(CodecException.class)
        .hasMessageContaining("'cuont'")
        .hasMessageContaining("[id, count]");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{\"id\": 1}                | the output.id is 1, where a string was declared",
        "{\"count\": \"1\"}         | the output.count is 1, where a 32-bit integer was declared",
        "{\"count\": 1.5}           | the output.count is 1.5, where a 32-bit integer was declared",
        "{\"count\": 3000000000}    | the output.count is 3000000000, where a 32-bit integer was"
            + " declared",
        "{\"count\": [1]}           | the output.count is an array",
        "[\"a\"]                    | the output has 1 values without names, where 2 fields were",
        "[\"a\", 1, [2]]            | the output has 3 values without names, where 2 fields were",
        "[1, \"a\"]                 | the output.id is 1, where a string was declared",
        "\"a\"                      | the output is a, where an object with the fields [id, count],"
            + " or an array of them",
        "null                       | the output is null",
        "{\"id\": nonsense}         | not JSON",
      })
  void a_value_that_does_not_fit_is_an_error_that_names_its_place(String json, String message) {
    assertThatThrownBy(() -> decoded(SMALL, json))
        .isInstanceOf(CodecException.class)
        .hasMessageContaining(message);
  }

  @Test
  void an_unreadable_time_is_an_error_that_shows_it() {
    TypeInformation<Row> type = Types.ROW_NAMED(new String[] {"at"}, Types.INSTANT);
    assertThatThrownBy(() -> decoded(type, "{\"at\": \"yesterday\"}"))
        .isInstanceOf(CodecException.class)
        .hasMessageContaining("the output.at is yesterday");
  }

  @Test
  void python_spells_times_with_an_offset() throws Exception {
    TypeInformation<Row> type =
        Types.ROW_NAMED(new String[] {"at", "wall"}, Types.INSTANT, Types.LOCAL_DATE_TIME);
    assertThat(
            decoded(
                type,
                "{\"at\": \"1970-01-01T01:00:01+01:00\", \"wall\": \"2024-02-29T09:08:07+00:00\"}"))
        .isEqualTo(Row.of(Instant.ofEpochSecond(1), LocalDateTime.of(2024, 2, 29, 9, 8, 7)));
  }

  @Test
  void a_time_keeps_its_milliseconds() throws Exception {
    TypeInformation<Row> type = Types.ROW_NAMED(new String[] {"at"}, Types.SQL_TIME);
    String json = "{\"at\":\"12:30:15.123\"}";
    assertThat(InputCodecs.of(type, InputType.ROW).encode(decoded(type, json)).toStringUtf8())
        .isEqualTo(json);
  }

  @ParameterizedTest
  @CsvSource({"FLOAT, 1e39", "DOUBLE, 1e400"})
  void a_number_that_is_too_large_is_no_infinity(String kind, String number) {
    TypeInformation<Row> type =
        Types.ROW_NAMED(new String[] {"x"}, kind.equals("FLOAT") ? Types.FLOAT : Types.DOUBLE);
    assertThatThrownBy(() -> decoded(type, "{\"x\":" + number + "}"))
        .isInstanceOf(CodecException.class)
        .hasMessageContaining("the output.x is " + number);
  }

  @Test
  void a_tuple_is_read_from_an_array() throws Exception {
    Tuple2<String, Integer> tuple = decoded(Types.TUPLE(Types.STRING, Types.INT), "[\"a\", 1]");
    assertThat(tuple).isEqualTo(Tuple2.of("a", 1));
  }

  @Test
  void a_type_that_cannot_be_read_is_an_error_while_the_job_is_built() {
    assertThatThrownBy(
            () -> TypedOutput.of(Types.ROW_NAMED(new String[] {"x"}, Types.GENERIC(Thread.class))))
        .isInstanceOf(CodecException.class)
        .hasMessageContaining("the output.x");
  }

  @Test
  void json_text_and_strings_and_bytes_are_told_apart() throws Exception {
    ByteString text = ByteString.copyFromUtf8("\"a\\nb\"");
    assertThat(KeyedInputTest.travelled(TypedOutput.json().codec()).decode(text, ContentType.JSON))
        .isEqualTo("\"a\\nb\"");
    assertThat(
            KeyedInputTest.travelled(TypedOutput.string().codec()).decode(text, ContentType.JSON))
        .isEqualTo("a\nb");
    assertThat(TypedOutput.bytes().codec().decode(text, ContentType.BYTES))
        .isEqualTo(text.toByteArray());
    assertThatThrownBy(
            () ->
                TypedOutput.string()
                    .codec()
                    .decode(ByteString.copyFromUtf8("{}"), ContentType.JSON))
        .isInstanceOf(CodecException.class)
        .hasMessageContaining("output_type=\"json\"");
    assertThatThrownBy(() -> TypedOutput.json().codec().decode(text, ContentType.BYTES))
        .isInstanceOf(CodecException.class)
        .hasMessageContaining("BYTES");
    assertThatThrownBy(() -> TypedOutput.bytes().codec().decode(text, ContentType.PICKLE))
        .isInstanceOf(CodecException.class)
        .hasMessageContaining("PICKLE");
  }

  private static <T> T decoded(TypeInformation<T> type, String json) throws Exception {
    return KeyedInputTest.travelled(TypedOutput.of(type).codec())
        .decode(ByteString.copyFromUtf8(json), ContentType.JSON);
  }

  @Test
  void a_big_integer_may_be_a_number_or_text() throws Exception {
    TypeInformation<Row> type =
        Types.ROW_NAMED(new String[] {"a", "b"}, Types.BIG_INT, Types.BIG_INT);
    String digits = "1" + "0".repeat(30);
    Row read = decoded(type, "{\"a\": \"" + digits + "\", \"b\": " + digits + "}");
    assertThat(read).isEqualTo(Row.of(new BigInteger(digits), new BigInteger(digits)));
  }
}
