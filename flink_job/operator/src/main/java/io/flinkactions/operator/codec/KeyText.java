package io.flinkactions.operator.codec;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Collection;
import java.util.List;

/**
 * Canonical JSON text of keys: equal keys have equal text, whatever Java type or JSON spelling they
 * came in.
 *
 * <p>A string is quoted with the fewest escapes; a number is plain decimal digits without exponent
 * or trailing zeros, so that 1, 1.0 and 1e0 are one key; several fields make an array.
 */
final class KeyText {

  /**
   * A number with more digits than this, before or after the point, is a mistake or an attack
   * (1e999999999).
   */
  private static final int MAX_DIGITS = 1_000;

  private final StringBuilder text = new StringBuilder(48);
  private final String recordType;

  private KeyText(String recordType) {
    this.recordType = recordType;
  }

  /** The key of a record whose key fields have these values. */
  static String of(
      List<String> fields, Object[] values, String recordType, Collection<String> available) {
    KeyText key = new KeyText(recordType);
    if (values.length == 1) {
      key.append(fields.get(0), values[0], available);
      return key.text.toString();
    }
    key.text.append('[');
    for (int i = 0; i < values.length; i++) {
      if (i > 0) {
        key.text.append(',');
      }
      key.append(fields.get(i), values[i], available);
    }
    return key.text.append(']').toString();
  }

  /** Whether values of this class can be keys. */
  static boolean supports(Class<?> type) {
    return CharSequence.class.isAssignableFrom(type)
        || type == Character.class
        || type == Boolean.class
        || type == Byte.class
        || type == Short.class
        || type == Integer.class
        || type == Long.class
        || type == BigInteger.class
        || type == BigDecimal.class;
  }

  private void append(String field, Object value, Collection<String> available) {
    if (value == null) {
      throw KeyFieldException.isNull(field, recordType);
    }
    if (!supports(value.getClass())) {
      throw KeyFieldException.unsupported(field, recordType, value.getClass().getName(), available);
    }
    if (value instanceof BigDecimal decimal) {
      appendDecimal(field, decimal);
    } else if (value instanceof CharSequence || value instanceof Character) {
      appendString(field, value.toString());
    } else {
      text.append(value);
    }
  }

  private void appendDecimal(String field, BigDecimal value) {
    BigDecimal stripped = value.signum() == 0 ? BigDecimal.ZERO : value.stripTrailingZeros();
    long before = (long) stripped.precision() - stripped.scale();
    if (before > MAX_DIGITS || stripped.scale() > MAX_DIGITS) {
      throw tooManyDigits(field, recordType);
    }
    text.append(stripped.toPlainString());
  }

  /** Of a number that is no key for its size. */
  static KeyFieldException tooManyDigits(String field, String recordType) {
    return KeyFieldException.unusableText(
        field,
        recordType,
        "is a number of more than " + MAX_DIGITS + " digits, which cannot be a key");
  }

  private void appendString(String field, String value) {
    text.append('"');
    for (int i = 0; i < value.length(); i++) {
      char c = value.charAt(i);
      switch (c) {
        case '"' -> text.append("\\\"");
        case '\\' -> text.append("\\\\");
        case '\n' -> text.append("\\n");
        case '\r' -> text.append("\\r");
        case '\t' -> text.append("\\t");
        case '\b' -> text.append("\\b");
        case '\f' -> text.append("\\f");
        default -> {
          if (c < 0x20) {
            text.append(String.format("\\u%04x", (int) c));
          } else if (!Character.isSurrogate(c)) {
            text.append(c);
          } else if (Character.isHighSurrogate(c)
              && i + 1 < value.length()
              && Character.isLowSurrogate(value.charAt(i + 1))) {
            text.append(c).append(value.charAt(++i));
          } else {
            // Half of a pair has no UTF-8: two such keys would become one on the wire.
            throw KeyFieldException.unusableText(
                field,
                recordType,
                "holds half of a surrogate pair at position " + i + " and so has no UTF-8 form");
          }
        }
      }
    }
    text.append('"');
  }
}
