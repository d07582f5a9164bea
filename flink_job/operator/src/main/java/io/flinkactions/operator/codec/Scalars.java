package io.flinkactions.operator.codec;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.sql.Timestamp;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.time.ZonedDateTime;
import java.util.Date;
import java.util.Map;
import java.util.UUID;

/** How values without parts look as JSON. */
final class Scalars {

  private static final JsonWriter AS_TEXT = (value, out) -> out.writeString(value.toString());

  /** By exact class: what a type declares is what its values are. */
  private static final Map<Class<?>, JsonWriter> WRITERS =
      Map.ofEntries(
          Map.entry(String.class, (value, out) -> out.writeString((String) value)),
          Map.entry(Character.class, AS_TEXT),
          Map.entry(Boolean.class, (value, out) -> out.writeBoolean((Boolean) value)),
          Map.entry(Byte.class, (value, out) -> out.writeNumber((Byte) value)),
          Map.entry(Short.class, (value, out) -> out.writeNumber((Short) value)),
          Map.entry(Integer.class, (value, out) -> out.writeNumber((Integer) value)),
          Map.entry(Long.class, (value, out) -> out.writeNumber((Long) value)),
          Map.entry(BigInteger.class, AS_TEXT),
          Map.entry(Float.class, (value, out) -> out.writeNumber((Float) value)),
          Map.entry(Double.class, (value, out) -> out.writeNumber((Double) value)),
          Map.entry(
              BigDecimal.class,
              (value, out) -> out.writeString(((BigDecimal) value).toPlainString())),
          Map.entry(byte[].class, (value, out) -> out.writeBinary((byte[]) value)),
          Map.entry(LocalDate.class, AS_TEXT),
          Map.entry(LocalTime.class, AS_TEXT),
          Map.entry(LocalDateTime.class, AS_TEXT),
          Map.entry(Instant.class, AS_TEXT),
          Map.entry(OffsetDateTime.class, AS_TEXT),
          Map.entry(
              ZonedDateTime.class,
              (value, out) ->
                  out.writeString(((ZonedDateTime) value).toOffsetDateTime().toString())),
          Map.entry(
              java.sql.Date.class,
              (value, out) -> out.writeString(((java.sql.Date) value).toLocalDate().toString())),
          // A java.sql.Time keeps milliseconds, which its toLocalTime() drops.
          Map.entry(
              java.sql.Time.class,
              (value, out) ->
                  out.writeString(
                      new Timestamp(((java.sql.Time) value).getTime())
                          .toLocalDateTime()
                          .toLocalTime()
                          .toString())),
          Map.entry(
              Timestamp.class,
              (value, out) -> out.writeString(((Timestamp) value).toLocalDateTime().toString())),
          Map.entry(
              Date.class, (value, out) -> out.writeString(((Date) value).toInstant().toString())),
          Map.entry(UUID.class, AS_TEXT));

  private Scalars() {}

  /**
   * The writer of a declared class; values of classes that are not in the table are looked at one
   * by one.
   */
  static JsonWriter writer(Class<?> type, String path) {
    JsonWriter known = WRITERS.get(type);
    if (known == null) {
      // Object, an interface, a Kryo type: the value itself may still be something that has a JSON
      // form.
      return (value, out) -> JsonWriters.writeAny(value, out, path);
    }
    boolean isFloating = type == Double.class || type == Float.class;
    return (value, out) -> {
      if (value == null) {
        out.writeNull();
        return;
      }
      if (isFloating) {
        requireFinite((Number) value, path);
      }
      known.write(value, out);
    };
  }

  /** Writes a value by its own class. */
  static void write(Object value, JsonGenerator out, String path) throws IOException {
    if (value == null) {
      out.writeNull();
      return;
    }
    JsonWriter known = WRITERS.get(value.getClass());
    if (known != null) {
      if (value instanceof Double || value instanceof Float) {
        requireFinite((Number) value, path);
      }
      known.write(value, out);
    } else if (value instanceof Enum<?> constant) {
      out.writeString(constant.name());
    } else if (value instanceof CharSequence text) {
      out.writeString(text.toString());
    } else {
      throw new CodecException(
          path
              + " is of type "
              + value.getClass().getName()
              + ", which has no JSON form; declare it as a POJO, a Row, a list, a map, text, a"
              + " number, a time or bytes");
    }
  }

  private static void requireFinite(Number value, String path) {
    if (!Double.isFinite(value.doubleValue())) {
      throw new CodecException(
          path
              + " is "
              + value
              + ", for which JSON has no number; replace it by null before the operator");
    }
  }
}
