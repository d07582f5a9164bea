package io.flinkactions.operator.codec;

import java.util.Arrays;
import java.util.Locale;
import org.apache.flink.api.common.typeinfo.TypeInformation;

/** How a record becomes the value of its input event. */
public enum InputType {
  /** Rows, tuples, POJOs, Avro records, lists, maps, numbers: through JSON. */
  ROW,
  /** A string is the value. */
  STRING,
  /** A string, or UTF-8 bytes, that is JSON text already: passed through untouched. */
  JSON,
  /** Bytes are the value. */
  BYTES,
  /**
   * Bytes are a pickled Python object, which the server loads: only with the consent of both sides.
   */
  PICKLED;

  /** The type's name as a job writes it; null or empty asks the stream's own type. */
  public static InputType of(String name, TypeInformation<?> recordType) {
    if (name == null || name.isEmpty()) {
      return natural(recordType);
    }
    for (InputType type : values()) {
      if (type.name().equalsIgnoreCase(name)) {
        return type;
      }
    }
    throw new CodecException(
        "input_type \""
            + name
            + "\" is unknown; it is one of "
            + Arrays.toString(values()).toLowerCase(Locale.ROOT)
            + ", or left out to go by the stream's type");
  }

  private static InputType natural(TypeInformation<?> recordType) {
    if (isPickled(recordType)) {
      return PICKLED;
    }
    if (recordType.getTypeClass() == String.class) {
      return STRING;
    }
    return recordType.getTypeClass() == byte[].class ? BYTES : ROW;
  }

  /**
   * PyFlink's type of everything that was given no type; by name, because flink-python is in
   * PyFlink's jobs only.
   */
  static boolean isPickled(TypeInformation<?> recordType) {
    return recordType.getClass().getName().endsWith(".PickledByteArrayTypeInfo");
  }
}
