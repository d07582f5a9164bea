package io.flinkactions.operator.codec;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.exc.InputCoercionException;
import java.io.IOException;
import java.lang.reflect.Array;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.sql.Timestamp;
import java.time.DateTimeException;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.typeinfo.BasicArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.tuple.Tuple;
import org.apache.flink.api.java.typeutils.ListTypeInfo;
import org.apache.flink.api.java.typeutils.MapTypeInfo;
import org.apache.flink.api.java.typeutils.ObjectArrayTypeInfo;
import org.apache.flink.api.java.typeutils.RowTypeInfo;
import org.apache.flink.api.java.typeutils.TupleTypeInfo;
import org.apache.flink.types.Row;

/**
 * Reads records of a declared Flink type from the JSON that an action sent: the inverse of {@link
 * JsonWriters}. Strict: a field that the type does not have, and a value that does not fit, are
 * errors that name their place; a field that is not there is null.
 */
final class JsonReaders {

  /** What reads a token into one Java class. */
  private interface Scalar {
    Object read(JsonParser in) throws IOException;
  }

  private record Rule(String expected, List<JsonToken> tokens, Scalar scalar) {}

  private static final List<JsonToken> TEXT = List.of(JsonToken.VALUE_STRING);
  private static final List<JsonToken> INTEGER = List.of(JsonToken.VALUE_NUMBER_INT);
  private static final List<JsonToken> NUMBER =
      List.of(JsonToken.VALUE_NUMBER_INT, JsonToken.VALUE_NUMBER_FLOAT);
  private static final List<JsonToken> TEXT_OR_NUMBER =
      List.of(JsonToken.VALUE_STRING, JsonToken.VALUE_NUMBER_INT, JsonToken.VALUE_NUMBER_FLOAT);
  private static final List<JsonToken> BOOLEAN =
      List.of(JsonToken.VALUE_TRUE, JsonToken.VALUE_FALSE);

  private static final Map<Class<?>, Rule> SCALARS =
      Map.ofEntries(
          Map.entry(String.class, new Rule("a string", TEXT, JsonParser::getText)),
          Map.entry(Boolean.class, new Rule("a boolean", BOOLEAN, JsonParser::getBooleanValue)),
          Map.entry(
              Byte.class, new Rule("an 8-bit integer", INTEGER, in -> exactByte(in.getIntValue()))),
          Map.entry(Short.class, new Rule("a 16-bit integer", INTEGER, JsonParser::getShortValue)),
          Map.entry(Integer.class, new Rule("a 32-bit integer", INTEGER, JsonParser::getIntValue)),
          Map.entry(Long.class, new Rule("a 64-bit integer", INTEGER, JsonParser::getLongValue)),
          Map.entry(
              BigInteger.class,
              new Rule(
                  "an integer, as a string or a number",
                  TEXT_OR_NUMBER,
                  in -> new BigInteger(in.getText()))),
          Map.entry(
              Float.class, new Rule("a 32-bit number", NUMBER, in -> finite(in.getFloatValue()))),
          Map.entry(
              Double.class, new Rule("a 64-bit number", NUMBER, in -> finite(in.getDoubleValue()))),
          Map.entry(
              BigDecimal.class,
              new Rule(
                  "a decimal, as a string or a number",
                  TEXT_OR_NUMBER,
                  in -> new BigDecimal(in.getText()))),
          Map.entry(
              byte[].class,
              new Rule("bytes, as a base64 string", TEXT, JsonParser::getBinaryValue)),
          Map.entry(
              LocalDate.class, new Rule("an ISO date", TEXT, in -> LocalDate.parse(in.getText()))),
          Map.entry(
              LocalTime.class, new Rule("an ISO time", TEXT, in -> LocalTime.parse(in.getText()))),
          Map.entry(
              LocalDateTime.class,
              new Rule("an ISO date and time", TEXT, in -> dateTime(in.getText()))),
          Map.entry(
              Instant.class,
              new Rule(
                  "an ISO date and time with offset",
                  TEXT,
                  in -> OffsetDateTime.parse(in.getText()).toInstant())),
          Map.entry(
              java.sql.Date.class,
              new Rule(
                  "an ISO date", TEXT, in -> java.sql.Date.valueOf(LocalDate.parse(in.getText())))),
          Map.entry(
              java.sql.Time.class,
              new Rule("an ISO time", TEXT, in -> sqlTime(LocalTime.parse(in.getText())))),
          Map.entry(
              Timestamp.class,
              new Rule(
                  "an ISO date and time", TEXT, in -> Timestamp.valueOf(dateTime(in.getText())))));

  private JsonReaders() {}

  /** The reader of a type; {@code path} is the place within the output, for errors. */
  static JsonReader of(TypeInformation<?> type, String path) {
    if (type instanceof RowTypeInfo row) {
      return nullable(rowReader(row, path));
    }
    if (type instanceof TupleTypeInfo<?> tuple) {
      return nullable(tupleReader(tuple, path));
    }
    if (type instanceof ListTypeInfo<?> list) {
      return nullable(listReader(of(list.getElementTypeInfo(), path + "[]"), path));
    }
    if (type instanceof ObjectArrayTypeInfo<?, ?> array) {
      return nullable(arrayReader(array.getComponentInfo(), path));
    }
    if (type instanceof BasicArrayTypeInfo<?, ?> array) {
      return nullable(arrayReader(array.getComponentInfo(), path));
    }
    if (type instanceof PrimitiveArrayTypeInfo<?> array && array.getTypeClass() != byte[].class) {
      return nullable(primitiveArrayReader(array, path));
    }
    if (type instanceof MapTypeInfo<?, ?> map
        && map.getKeyTypeInfo().getTypeClass() == String.class) {
      return nullable(mapReader(of(map.getValueTypeInfo(), path + "{}"), path));
    }
    Rule rule = SCALARS.get(type.getTypeClass());
    if (rule == null) {
      throw new CodecException(
          path
              + " is declared as "
              + type
              + ", which cannot be read from JSON; declare rows, tuples, lists, arrays, maps with"
              + " string keys, text, numbers, booleans, times or bytes, or take"
              + " output_type=\"json\"");
    }
    return nullable(scalarReader(rule, path));
  }

  private static JsonReader nullable(JsonReader reader) {
    return in -> in.currentToken() == JsonToken.VALUE_NULL ? null : reader.read(in);
  }

  private static JsonReader scalarReader(Rule rule, String path) {
    return in -> {
      if (!rule.tokens().contains(in.currentToken())) {
        throw unfit(in, path, rule.expected());
      }
      try {
        return rule.scalar().read(in);
      } catch (InputCoercionException
          | DateTimeException
          | IllegalArgumentException
          | ArithmeticException e) {
        throw new CodecException(
            path
                + " is "
                + CodecException.excerpt(in.getText())
                + ", where "
                + rule.expected()
                + " was declared",
            e);
      }
    };
  }

  private static JsonReader rowReader(RowTypeInfo type, String path) {
    String[] names = type.getFieldNames();
    Map<String, Integer> positions = positions(names);
    JsonReader[] readers = fieldReaders(type.getFieldTypes(), names, path);
    return in -> {
      Row row = new Row(names.length);
      if (in.currentToken() == JsonToken.START_ARRAY) {
        readByPosition(in, row, readers, path);
        return row;
      }
      require(
          in,
          JsonToken.START_OBJECT,
          path,
          "an object with the fields " + Arrays.toString(names) + ", or an array of them");
      while (in.nextToken() != JsonToken.END_OBJECT) {
        int position = position(positions, in.currentName(), path);
        in.nextToken();
        row.setField(position, readers[position].read(in));
      }
      return row;
    };
  }

  /** Of a Row without names: all of the fields, or one that was forgotten would shift the rest. */
  private static void readByPosition(JsonParser in, Row row, JsonReader[] readers, String path)
      throws IOException {
    int count = 0;
    for (; in.nextToken() != JsonToken.END_ARRAY; count++) {
      if (count < readers.length) {
        row.setField(count, readers[count].read(in));
      } else {
        in.skipChildren();
      }
    }
    if (count != readers.length) {
      throw new CodecException(
          path
              + " has "
              + count
              + " values without names, where "
              + readers.length
              + " fields were declared; name them, or send all of them");
    }
  }

  private static JsonReader tupleReader(TupleTypeInfo<?> type, String path) {
    String[] names = type.getFieldNames();
    Map<String, Integer> positions = positions(names);
    TypeInformation<?>[] types = new TypeInformation<?>[names.length];
    Arrays.setAll(types, type::getTypeAt);
    JsonReader[] readers = fieldReaders(types, names, path);
    return in -> {
      Tuple tuple = Tuple.newInstance(names.length);
      if (in.currentToken() == JsonToken.START_ARRAY) {
        for (int i = 0; in.nextToken() != JsonToken.END_ARRAY; i++) {
          if (i >= names.length) {
            throw new CodecException(
                path + " has more than the " + names.length + " values that were declared");
          }
          tuple.setField(readers[i].read(in), i);
        }
        return tuple;
      }
      require(
          in,
          JsonToken.START_OBJECT,
          path,
          "an array, or an object with the fields " + Arrays.toString(names));
      while (in.nextToken() != JsonToken.END_OBJECT) {
        int position = position(positions, in.currentName(), path);
        in.nextToken();
        tuple.setField(readers[position].read(in), position);
      }
      return tuple;
    };
  }

  private static JsonReader[] fieldReaders(
      TypeInformation<?>[] types, String[] names, String path) {
    JsonReader[] readers = new JsonReader[names.length];
    Arrays.setAll(readers, i -> of(types[i], path + "." + names[i]));
    return readers;
  }

  private static Map<String, Integer> positions(String[] names) {
    Map<String, Integer> positions = new LinkedHashMap<>();
    for (int i = 0; i < names.length; i++) {
      positions.put(names[i], i);
    }
    return positions;
  }

  private static int position(Map<String, Integer> positions, String name, String path) {
    Integer position = positions.get(name);
    if (position == null) {
      throw new CodecException(
          path
              + " has a field '"
              + name
              + "' that was not declared; declared are "
              + positions.keySet()
              + ". Add it to output_type, or leave it out of the output");
    }
    return position;
  }

  private static JsonReader listReader(JsonReader element, String path) {
    return in -> {
      require(in, JsonToken.START_ARRAY, path, "an array");
      List<Object> items = new ArrayList<>();
      while (in.nextToken() != JsonToken.END_ARRAY) {
        items.add(element.read(in));
      }
      return items;
    };
  }

  private static JsonReader arrayReader(TypeInformation<?> componentType, String path) {
    JsonReader items = listReader(of(componentType, path + "[]"), path);
    return in -> {
      List<?> list = (List<?>) items.read(in);
      return list.toArray((Object[]) Array.newInstance(componentType.getTypeClass(), list.size()));
    };
  }

  private static JsonReader primitiveArrayReader(PrimitiveArrayTypeInfo<?> type, String path) {
    JsonReader items = listReader(of(type.getComponentType(), path + "[]"), path);
    return in -> {
      List<?> list = (List<?>) items.read(in);
      Object array = Array.newInstance(type.getComponentClass(), list.size());
      for (int i = 0; i < list.size(); i++) {
        if (list.get(i) == null) {
          throw new CodecException(
              path
                  + "["
                  + i
                  + "] is null, which an array of "
                  + type.getComponentClass()
                  + " cannot hold");
        }
        Array.set(array, i, list.get(i));
      }
      return array;
    };
  }

  private static JsonReader mapReader(JsonReader item, String path) {
    return in -> {
      require(in, JsonToken.START_OBJECT, path, "an object");
      Map<String, Object> map = new HashMap<>();
      while (in.nextToken() != JsonToken.END_OBJECT) {
        String name = in.currentName();
        in.nextToken();
        map.put(name, item.read(in));
      }
      return map;
    };
  }

  private static void require(JsonParser in, JsonToken token, String path, String expected)
      throws IOException {
    if (in.currentToken() != token) {
      throw unfit(in, path, expected);
    }
  }

  private static CodecException unfit(JsonParser in, String path, String expected)
      throws IOException {
    String actual =
        switch (in.currentToken()) {
          case START_OBJECT -> "an object";
          case START_ARRAY -> "an array";
          default -> CodecException.excerpt(in.getText());
        };
    return new CodecException(path + " is " + actual + ", where " + expected + " was declared");
  }

  private static Byte exactByte(int value) {
    if (value != (byte) value) {
      throw new ArithmeticException("out of range");
    }
    return (byte) value;
  }

  /** What is too large for a floating-point number would be read as an infinite one. */
  private static <N extends Number> N finite(N value) {
    if (!Double.isFinite(value.doubleValue())) {
      throw new ArithmeticException("out of range");
    }
    return value;
  }

  /** A java.sql.Time keeps milliseconds, which its valueOf() drops. */
  private static java.sql.Time sqlTime(LocalTime time) {
    return new java.sql.Time(Timestamp.valueOf(time.atDate(LocalDate.EPOCH)).getTime());
  }

  /**
   * Python writes an aware time with its offset: the wall clock of that offset is what a type
   * without one can hold.
   */
  private static LocalDateTime dateTime(String text) {
    int time = text.indexOf('T');
    boolean hasOffset =
        text.endsWith("Z") || text.indexOf('+') > 0 || (time > 0 && text.indexOf('-', time) > 0);
    return hasOffset ? OffsetDateTime.parse(text).toLocalDateTime() : LocalDateTime.parse(text);
  }
}
