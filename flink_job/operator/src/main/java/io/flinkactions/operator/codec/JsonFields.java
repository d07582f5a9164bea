package io.flinkactions.operator.codec;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.java.functions.KeySelector;

/**
 * Chooses the key of a JSON object, which is a string or UTF-8 bytes, by the names of its top-level
 * fields.
 *
 * <p>The text is read only as far as the last key field, and nothing is built but the key: this
 * runs twice for every record (before the exchange and in the operator). Of two fields of one name
 * the first counts.
 */
final class JsonFields<IN> implements KeySelector<IN, String> {

  private static final long serialVersionUID = 1L;
  private static final String RECORD_TYPE = "the JSON record";

  private final String[] fields;

  JsonFields(List<String> fields) {
    this.fields = fields.toArray(String[]::new);
  }

  @Override
  public String getKey(IN record) throws IOException {
    Object[] values = new Object[fields.length];
    try (JsonParser parser = parser(record)) {
      if (parser.nextToken() != JsonToken.START_OBJECT) {
        throw KeyFieldException.notAnObject(text(record));
      }
      int missing = fields.length;
      while (missing > 0 && parser.nextToken() == JsonToken.FIELD_NAME) {
        String name = parser.currentName();
        JsonToken token = parser.nextToken();
        int position = position(name);
        if (position >= 0 && values[position] == null) {
          values[position] = keyValue(parser, token, name, record);
          missing--;
        } else {
          parser.skipChildren();
        }
      }
    } catch (JsonProcessingException e) {
      throw new CodecException(
          "the record is not JSON: " + e.getOriginalMessage() + ", in " + excerptOf(record), e);
    }
    for (int i = 0; i < values.length; i++) {
      if (values[i] == null) {
        throw KeyFieldException.unknown(
            fields[i], RECORD_TYPE + " " + excerptOf(record), names(record));
      }
    }
    return KeyText.of(List.of(fields), values, RECORD_TYPE, List.of());
  }

  private JsonParser parser(IN record) throws IOException {
    return record instanceof byte[] bytes
        ? JsonText.FACTORY.createParser(bytes)
        : JsonText.FACTORY.createParser((String) record);
  }

  private int position(String name) {
    for (int i = 0; i < fields.length; i++) {
      if (fields[i].equals(name)) {
        return i;
      }
    }
    return -1;
  }

  private Object keyValue(JsonParser parser, JsonToken token, String name, IN record)
      throws IOException {
    return switch (token) {
      case VALUE_STRING -> parser.getText();
      case VALUE_TRUE -> Boolean.TRUE;
      case VALUE_FALSE -> Boolean.FALSE;
      case VALUE_NUMBER_INT -> integer(parser);
      case VALUE_NUMBER_FLOAT -> decimal(parser, name);
      case VALUE_NULL ->
          throw KeyFieldException.isNull(name, RECORD_TYPE + " " + excerptOf(record));
      default ->
          throw KeyFieldException.unsupported(
              name,
              RECORD_TYPE,
              token == JsonToken.START_OBJECT ? "object" : "array",
              names(record));
    };
  }

  private static BigDecimal decimal(JsonParser parser, String name) throws IOException {
    try {
      return new BigDecimal(parser.getText());
    } catch (NumberFormatException e) {
      // An exponent that no int holds.
      throw KeyText.tooManyDigits(name, RECORD_TYPE);
    }
  }

  private static Object integer(JsonParser parser) throws IOException {
    return parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER
        ? parser.getBigIntegerValue()
        : (Object) parser.getLongValue();
  }

  private List<String> names(IN record) throws IOException {
    List<String> names = new ArrayList<>();
    try (JsonParser parser = parser(record)) {
      parser.nextToken();
      while (parser.nextToken() == JsonToken.FIELD_NAME && names.size() < 100) {
        names.add(parser.currentName());
        parser.nextToken();
        parser.skipChildren();
      }
    }
    return names;
  }

  private String excerptOf(IN record) {
    return CodecException.excerpt(text(record));
  }

  private static String text(Object record) {
    return record instanceof byte[] bytes
        ? new String(bytes, StandardCharsets.UTF_8)
        : (String) record;
  }
}
