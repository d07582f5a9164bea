package io.flinkactions.operator.codec;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.io.SerializedString;
import java.io.IOException;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.util.Collection;
import java.util.Map;
import org.apache.flink.api.common.typeinfo.BasicArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.tuple.Tuple;
import org.apache.flink.api.java.typeutils.ListTypeInfo;
import org.apache.flink.api.java.typeutils.MapTypeInfo;
import org.apache.flink.api.java.typeutils.ObjectArrayTypeInfo;
import org.apache.flink.api.java.typeutils.PojoTypeInfo;
import org.apache.flink.api.java.typeutils.RowTypeInfo;
import org.apache.flink.api.java.typeutils.TupleTypeInfo;
import org.apache.flink.types.Row;
import org.apache.flink.types.RowKind;

/**
 * How records of a Flink type look as JSON: what has named fields becomes an object; lists and
 * arrays become arrays; maps become objects; bytes become base64; decimals and times become strings
 * (ISO 8601), because a JSON number would round them.
 *
 * <p>A writer is compiled once from the type, so that a record costs no look-ups of types or names.
 */
final class JsonWriters {

  private JsonWriters() {}

  /** The writer of a type; {@code path} is the place within the record, for errors. */
  static JsonWriter of(TypeInformation<?> type, String path) {
    if (AvroWriters.isRecord(type.getTypeClass())) {
      return AvroWriters.writer(path);
    }
    if (type instanceof RowTypeInfo row) {
      return nullable(rowWriter(row, path));
    }
    if (type instanceof TupleTypeInfo<?> tuple) {
      return nullable(tupleWriter(tuple, path));
    }
    if (type instanceof PojoTypeInfo<?> pojo) {
      return nullable(pojoWriter(pojo, path));
    }
    if (type instanceof ListTypeInfo<?> list) {
      return nullable(collectionWriter(of(list.getElementTypeInfo(), path + "[]")));
    }
    if (type instanceof ObjectArrayTypeInfo<?, ?> array) {
      return nullable(arrayWriter(of(array.getComponentInfo(), path + "[]")));
    }
    if (type instanceof BasicArrayTypeInfo<?, ?> array) {
      return nullable(arrayWriter(of(array.getComponentInfo(), path + "[]")));
    }
    if (type instanceof PrimitiveArrayTypeInfo<?> array && array.getTypeClass() != byte[].class) {
      return nullable(arrayWriter(of(array.getComponentType(), path + "[]")));
    }
    if (type instanceof MapTypeInfo<?, ?> map) {
      return nullable(mapWriter(of(map.getValueTypeInfo(), path + "{}"), path));
    }
    return Scalars.writer(type.getTypeClass(), path);
  }

  /** Writes a value of which the type says nothing, by what it is. */
  static void writeAny(Object value, JsonGenerator out, String path) throws IOException {
    if (value instanceof Row row) {
      writeUntypedRow(row, out, path);
    } else if (value instanceof Map<?, ?> map) {
      mapWriter((item, to) -> writeAny(item, to, path + "{}"), path).write(map, out);
    } else if (value instanceof Collection<?> items) {
      collectionWriter((item, to) -> writeAny(item, to, path + "[]")).write(items, out);
    } else if (value != null && value.getClass().isArray() && !(value instanceof byte[])) {
      arrayWriter((item, to) -> writeAny(item, to, path + "[]")).write(value, out);
    } else if (value != null && AvroWriters.isRecord(value.getClass())) {
      AvroWriters.writer(path).write(value, out);
    } else {
      Scalars.write(value, out, path);
    }
  }

  private static JsonWriter nullable(JsonWriter writer) {
    return (value, out) -> {
      if (value == null) {
        out.writeNull();
      } else {
        writer.write(value, out);
      }
    };
  }

  private static JsonWriter rowWriter(RowTypeInfo type, String path) {
    String[] names = type.getFieldNames();
    SerializedString[] quoted = quoted(names);
    JsonWriter[] writers = new JsonWriter[names.length];
    for (int i = 0; i < names.length; i++) {
      writers[i] = of(type.getTypeAt(i), path + "." + names[i]);
    }
    return (value, out) -> {
      Row row = (Row) value;
      requireInsert(row, path);
      boolean isNamed = row.getFieldNames(false) != null;
      out.writeStartObject();
      for (int i = 0; i < writers.length; i++) {
        out.writeFieldName(quoted[i]);
        writers[i].write(isNamed ? row.getField(names[i]) : row.getField(i), out);
      }
      out.writeEndObject();
    };
  }

  private static void writeUntypedRow(Row row, JsonGenerator out, String path) throws IOException {
    requireInsert(row, path);
    if (row.getFieldNames(true) == null) {
      throw new CodecException(
          path
              + " is a Row without field names; give it a type with names, Types.ROW_NAMED([...],"
              + " [...])");
    }
    out.writeStartObject();
    for (String name : row.getFieldNames(true)) {
      out.writeFieldName(name);
      writeAny(row.getField(name), out, path + "." + name);
    }
    out.writeEndObject();
  }

  private static void requireInsert(Row row, String path) {
    if (row.getKind() != RowKind.INSERT) {
      throw new CodecException(
          path
              + " is a row of kind "
              + row.getKind()
              + "; an agent takes insert-only streams. Convert the changelog first");
    }
  }

  private static JsonWriter tupleWriter(TupleTypeInfo<?> type, String path) {
    String[] names = type.getFieldNames();
    SerializedString[] quoted = quoted(names);
    JsonWriter[] writers = new JsonWriter[names.length];
    for (int i = 0; i < names.length; i++) {
      writers[i] = of(type.getTypeAt(i), path + "." + names[i]);
    }
    return (value, out) -> {
      Tuple tuple = (Tuple) value;
      out.writeStartObject();
      for (int i = 0; i < writers.length; i++) {
        out.writeFieldName(quoted[i]);
        writers[i].write(tuple.getField(i), out);
      }
      out.writeEndObject();
    };
  }

  private static JsonWriter pojoWriter(PojoTypeInfo<?> type, String path) {
    String[] names = type.getFieldNames();
    SerializedString[] quoted = quoted(names);
    JsonWriter[] writers = new JsonWriter[names.length];
    Field[] fields = new Field[names.length];
    for (int i = 0; i < names.length; i++) {
      writers[i] = of(type.getTypeAt(i), path + "." + names[i]);
      fields[i] = type.getPojoFieldAt(i).getField();
      fields[i].setAccessible(true);
    }
    return (value, out) -> {
      out.writeStartObject();
      for (int i = 0; i < writers.length; i++) {
        out.writeFieldName(quoted[i]);
        writers[i].write(read(fields[i], value), out);
      }
      out.writeEndObject();
    };
  }

  /** A POJO's field; Flink has checked when it made the type that it may be read. */
  static Object read(Field field, Object owner) {
    try {
      return field.get(owner);
    } catch (IllegalAccessException e) {
      throw new CodecException(
          "field " + field + " cannot be read; make it public or give it a getter", e);
    }
  }

  private static JsonWriter collectionWriter(JsonWriter element) {
    return (value, out) -> {
      out.writeStartArray();
      for (Object item : (Collection<?>) value) {
        element.write(item, out);
      }
      out.writeEndArray();
    };
  }

  private static JsonWriter arrayWriter(JsonWriter element) {
    return (value, out) -> {
      out.writeStartArray();
      int length = Array.getLength(value);
      for (int i = 0; i < length; i++) {
        element.write(Array.get(value, i), out);
      }
      out.writeEndArray();
    };
  }

  static JsonWriter mapWriter(JsonWriter item, String path) {
    return (value, out) -> {
      out.writeStartObject();
      for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
        out.writeFieldName(fieldName(entry.getKey(), path));
        item.write(entry.getValue(), out);
      }
      out.writeEndObject();
    };
  }

  private static String fieldName(Object key, String path) {
    if (key instanceof CharSequence
        || key instanceof Character
        || key instanceof Boolean
        || key instanceof Integer
        || key instanceof Long
        || key instanceof Short
        || key instanceof Byte
        || key instanceof Enum<?>) {
      return key.toString();
    }
    throw new CodecException(
        path
            + " is a map with a key of "
            + (key == null ? "null" : key.getClass().getName())
            + "; JSON needs text keys. Use strings, integers, booleans or enums");
  }

  private static SerializedString[] quoted(String[] names) {
    SerializedString[] quoted = new SerializedString[names.length];
    for (int i = 0; i < names.length; i++) {
      quoted[i] = new SerializedString(names[i]);
    }
    return quoted;
  }
}
