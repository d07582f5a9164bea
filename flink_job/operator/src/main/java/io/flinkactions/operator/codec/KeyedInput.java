package io.flinkactions.operator.codec;

import java.io.Serializable;
import java.util.List;
import java.util.Objects;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.api.java.typeutils.RowTypeInfo;
import org.apache.flink.types.Row;

/**
 * What an operator needs to know of its input: how a record's key and its payload are found.
 *
 * @param key canonical JSON text of a record's key
 * @param codec the payload of its input event
 * @param <IN> type of the stream's records
 */
public record KeyedInput<IN>(KeySelector<IN, String> key, InputCodec<IN> codec)
    implements Serializable {

  /**
   * Keyed by the names of fields, read in the JVM.
   *
   * @param type of the records, as Flink knows it
   * @param inputType name of an {@link InputType}, or null to go by {@code type}
   * @param keyFields at least one
   * @throws CodecException if the type cannot be read so, or has no such fields
   */
  public static <IN> KeyedInput<IN> byFields(
      TypeInformation<IN> type, String inputType, List<String> keyFields) {
    InputType form = InputType.of(inputType, type);
    if (keyFields.isEmpty()) {
      throw KeyFieldException.noneNamed(type.toString());
    }
    InputCodec<IN> codec = InputCodecs.of(type, form);
    return switch (form) {
      case ROW -> new KeyedInput<>(new RecordFields<>(type, keyFields), codec);
      case JSON -> new KeyedInput<>(new JsonFields<>(keyFields), codec);
      case STRING, BYTES, PICKLED -> throw KeyFieldException.noFields(type.toString());
    };
  }

  /**
   * A stream that PyFlink's {@code key_by(function, key_type=...)} has keyed: its records are rows
   * of (key, value).
   *
   * @throws CodecException if the key has no type, or one that cannot be a key
   */
  public static KeyedInput<Row> ofPythonKeyed(RowTypeInfo type, String inputType) {
    TypeInformation<?> keyType = type.getTypeAt(0);
    if (InputType.isPickled(keyType)) {
      throw KeyFieldException.pickledKey();
    }
    String keyName = type.getFieldNames()[0];
    InputCodec<Object> codec = codecOfValue(type.getTypeAt(1), inputType);
    return new KeyedInput<>(
        new RecordFields<>(type, List.of(keyName)), InputCodecs.ofField(1, codec));
  }

  /** A stream that Java code has keyed by something which can be a key here too. */
  public static <IN, K> KeyedInput<IN> ofKeyed(
      TypeInformation<IN> type, KeySelector<IN, K> key, String inputType) {
    Objects.requireNonNull(key, "key selector");
    String recordType = type.toString();
    List<String> name = List.of("(key selector)");
    return new KeyedInput<>(
        record -> KeyText.of(name, new Object[] {key.getKey(record)}, recordType, List.of()),
        InputCodecs.of(type, InputType.of(inputType, type)));
  }

  @SuppressWarnings("unchecked") // A row's field is whatever its type says.
  private static InputCodec<Object> codecOfValue(TypeInformation<?> type, String inputType) {
    return (InputCodec<Object>) InputCodecs.of(type, InputType.of(inputType, type));
  }
}
