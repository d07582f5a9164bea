package io.flinkactions.operator.codec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.ContentType;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.sql.Timestamp;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.types.Row;
import org.apache.flink.types.RowKind;
import org.junit.jupiter.api.Test;

class InputCodecsTest {

  /** Nested, with an enum and a type of no particular form. */
  public static class Order {
    public String id;
    public Line first;
    public List<Line> lines;
    public State state;
    public Object anything;

    /** Part of an order. */
    public static class Line {
      public String article;
      public int count;
    }

    /** How far it is. */
    public enum State {
      OPEN,
      SENT
    }
  }

  @Test
  void a_row_becomes_an_object_of_its_named_fields() throws Exception {
    TypeInformation<Row> type =
        Types.ROW_NAMED(
            new String[] {
              "text", "int", "big", "real", "decimal", "flag", "bytes", "list", "map", "row",
              "array", "ints", "none"
            },
            Types.STRING,
            Types.INT,
            Types.BIG_INT,
            Types.DOUBLE,
            Types.BIG_DEC,
            Types.BOOLEAN,
            PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO,
            Types.LIST(Types.STRING),
            Types.MAP(Types.INT, Types.BOOLEAN),
            Types.ROW_NAMED(new String[] {"x"}, Types.LONG),
            Types.OBJECT_ARRAY(Types.STRING),
            Types.PRIMITIVE_ARRAY(Types.INT),
            Types.STRING);
    Row row =
        Row.of(
            "é\"\n",
            1,
            new BigInteger("12345678901234567890"),
            0.1,
            new BigDecimal("12.50"),
            true,
            new byte[] {1, (byte) 255},
            List.of("a", "b"),
            Map.of(1, false),
            Row.of(7L),
            new String[] {"s", null},
            new int[] {1, 2},
            null);
    assertThat(json(type, row))
        .isEqualTo(
            "{\"text\":\"é\\\"\\n"
                + "\",\"int\":1,\"big\":\"12345678901234567890\",\"real\":0.1,\"decimal\":\"12.50\",\"flag\":true,"
                + "\"bytes\":\"Af8=\",\"list\":[\"a\",\"b\"],\"map\":{\"1\":false},\"row\":{\"x\":7},\"array\":[\"s\",null],"
                + "\"ints\":[1,2],\"none\":null}");
  }

  @Test
  void times_become_iso_text() throws Exception {
    TypeInformation<Row> type =
        Types.ROW_NAMED(
            new String[] {"date", "time", "moment", "instant", "sql_date", "sql_time", "timestamp"},
            Types.LOCAL_DATE,
            Types.LOCAL_TIME,
            Types.LOCAL_DATE_TIME,
            Types.INSTANT,
            Types.SQL_DATE,
            Types.SQL_TIME,
            Types.SQL_TIMESTAMP);
    Row row =
        Row.of(
            LocalDate.of(2024, 2, 29),
            LocalTime.of(9, 8, 7, 6_000_000),
            LocalDateTime.of(2024, 2, 29, 9, 8, 7),
            Instant.ofEpochMilli(1_500),
            java.sql.Date.valueOf("2024-02-29"),
            java.sql.Time.valueOf("09:08:07"),
            Timestamp.valueOf("2024-02-29 09:08:07.5"));
    assertThat(json(type, row))
        .isEqualTo(
            "{\"date\":\"2024-02-29\",\"time\":\"09:08:07.006\",\"moment\":\"2024-02-29T09:08:07\","
                + "\"instant\":\"1970-01-01T00:00:01.500Z\",\"sql_date\":\"2024-02-29\",\"sql_time\":\"09:08:07\","
                + "\"timestamp\":\"2024-02-29T09:08:07.500\"}");
  }

  @Test
  void a_pojo_becomes_an_object_all_the_way_down() throws Exception {
    Order order = new Order();
    order.id = "o1";
    order.state = Order.State.SENT;
    order.first = new Order.Line();
    order.first.article = "nail";
    order.first.count = 100;
    order.lines = List.of(order.first);
    Map<String, Object> anything = new LinkedHashMap<>();
    anything.put("deep", List.of(1, "two", 3.5));
    order.anything = anything;
    String json = json(TypeInformation.of(Order.class), order);
    assertThat(json)
        .contains(
            "\"id\":\"o1\"", "\"first\":{\"article\":\"nail\",\"count\":100}", "\"state\":\"SENT\"")
        .contains("\"anything\":{\"deep\":[1,\"two\",3.5]}");
  }

  @Test
  void an_avro_record_becomes_an_object_all_the_way_down() throws Exception {
    Schema inner = SchemaBuilder.record("Inner").fields().requiredInt("n").endRecord();
    Schema schema =
        SchemaBuilder.record("Outer")
            .fields()
            .requiredString("name")
            .requiredBytes("raw")
            .name("inner")
            .type(inner)
            .noDefault()
            .name("tags")
            .type()
            .array()
            .items()
            .stringType()
            .noDefault()
            .name("counts")
            .type()
            .map()
            .values()
            .longType()
            .noDefault()
            .name("colour")
            .type()
            .enumeration("Colour")
            .symbols("RED", "BLUE")
            .noDefault()
            .optionalString("missing")
            .endRecord();
    GenericRecord record = new GenericData.Record(schema);
    record.put("name", new org.apache.avro.util.Utf8("é"));
    record.put("raw", ByteBuffer.wrap(new byte[] {1, 2, 3}));
    GenericRecord innerRecord = new GenericData.Record(inner);
    innerRecord.put("n", 5);
    record.put("inner", innerRecord);
    record.put("tags", List.of(new org.apache.avro.util.Utf8("t")));
    record.put("counts", Map.of(new org.apache.avro.util.Utf8("k"), 9L));
    record.put("colour", new GenericData.EnumSymbol(schema.getField("colour").schema(), "BLUE"));
    assertThat(json(TypeInformation.of(GenericRecord.class), record))
        .isEqualTo(
            "{\"name\":\"é\",\"raw\":\"AQID\",\"inner\":{\"n\":5},\"tags\":[\"t\"],\"counts\":{\"k\":9},\"colour\":\"BLUE\",\"missing\":null}");
  }

  @Test
  void a_string_is_the_value_and_json_is_passed_through_untouched() throws Exception {
    String text = "{ \"a\" : 1.0 }";
    assertThat(encoded(Types.STRING, null, text).toStringUtf8())
        .isEqualTo("\"{ \\\"a\\\" : 1.0 }\"");
    assertThat(encoded(Types.STRING, "json", text).toStringUtf8()).isEqualTo(text);
  }

  @Test
  void bytes_are_the_value() throws Exception {
    TypeInformation<byte[]> type = PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO;
    byte[] value = {0, (byte) 0xff};
    InputCodec<byte[]> codec = InputCodecs.of(type, InputType.of(null, type));
    ByteString payload = codec.encode(value);
    value[0] = 9; // with object reuse the array is written over
    assertThat(payload.toByteArray()).containsExactly(0, 0xff);
    assertThat(codec.contentType()).isEqualTo(ContentType.BYTES);
  }

  @Test
  void a_number_without_json_form_is_an_error_that_names_its_place() {
    TypeInformation<Row> type =
        Types.ROW_NAMED(new String[] {"inner"}, Types.ROW_NAMED(new String[] {"x"}, Types.DOUBLE));
    assertThatThrownBy(() -> json(type, Row.of(Row.of(Double.NaN))))
        .isInstanceOf(CodecException.class)
        .hasMessageContaining("the record.inner.x is NaN");
  }

  @Test
  void a_value_without_json_form_is_an_error_that_names_place_and_class() {
    TypeInformation<Row> type = Types.ROW_NAMED(new String[] {"x"}, Types.GENERIC(Object.class));
    assertThatThrownBy(() -> json(type, Row.of(Thread.currentThread())))
        .isInstanceOf(CodecException.class)
        .hasMessageContaining("the record.x is of type java.lang.Thread");
  }

  @Test
  void an_update_is_an_error_because_agents_take_insert_only_streams() {
    TypeInformation<Row> type = Types.ROW_NAMED(new String[] {"x"}, Types.INT);
    assertThatThrownBy(() -> json(type, Row.ofKind(RowKind.DELETE, 1)))
        .isInstanceOf(CodecException.class)
        .hasMessageContaining("insert-only");
  }

  @Test
  void an_input_type_that_does_not_fit_the_stream_is_an_error() {
    for (String form : List.of("string", "json", "bytes", "pickled")) {
      assertThatThrownBy(() -> encoded(Types.INT, form, 1))
          .isInstanceOf(CodecException.class)
          .hasMessageContaining(form)
          .hasMessageContaining("Integer");
    }
    assertThatThrownBy(() -> encoded(Types.INT, "xml", 1))
        .hasMessageContaining("\"xml\"")
        .hasMessageContaining("pickled");
  }

  @Test
  void long_texts_and_pairs_of_surrogates_at_the_ends_of_buffers_survive() throws Exception {
    for (String start : List.of("", "a", "ab", "abc")) {
      String text = start + "😀é".repeat(50_000);
      ByteString payload = encoded(Types.STRING, null, text);
      assertThat(TypedOutput.string().codec().decode(payload, ContentType.JSON).equals(text))
          .isTrue();
      // Nearly all in UTF-8, not as escapes.
      assertThat(payload.size()).isBetween(300_000, 302_000);
    }
  }

  private static <T> String json(TypeInformation<T> type, T value) throws Exception {
    return encoded(type, null, value).toStringUtf8();
  }

  private static <T> ByteString encoded(TypeInformation<T> type, String inputType, T value)
      throws Exception {
    return KeyedInputTest.travelled(InputCodecs.of(type, InputType.of(inputType, type)))
        .encode(value);
  }
}
