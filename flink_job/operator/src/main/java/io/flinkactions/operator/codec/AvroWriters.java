package io.flinkactions.operator.codec;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericFixed;
import org.apache.avro.generic.IndexedRecord;

/**
 * Avro records, specific or generic. Avro comes with the job, if it uses it: nothing here is
 * touched before a type was found, by name, to be one of Avro's.
 */
final class AvroWriters {

  private static final ClassValue<Boolean> IS_RECORD =
      new ClassValue<>() {
        @Override
        protected Boolean computeValue(Class<?> type) {
          return implementsIndexedRecord(type);
        }
      };

  private AvroWriters() {}

  static boolean isRecord(Class<?> type) {
    return IS_RECORD.get(type);
  }

  static JsonWriter writer(String path) {
    return (value, out) -> write(value, out, path);
  }

  /** The value of a field, or null; {@code names} of a record for errors. */
  static Object field(Object record, String name, String recordType) {
    Schema schema = ((IndexedRecord) record).getSchema();
    Schema.Field field = schema.getField(name);
    if (field == null) {
      throw KeyFieldException.unknown(name, recordType, fieldNames(schema));
    }
    return ((IndexedRecord) record).get(field.pos());
  }

  static List<String> fieldNames(Object record) {
    return fieldNames(((IndexedRecord) record).getSchema());
  }

  private static List<String> fieldNames(Schema schema) {
    List<String> names = new ArrayList<>();
    schema.getFields().forEach(field -> names.add(field.name()));
    return names;
  }

  private static boolean implementsIndexedRecord(Class<?> type) {
    for (Class<?> c = type; c != null; c = c.getSuperclass()) {
      if (c.getName().equals("org.apache.avro.generic.IndexedRecord")) {
        return true;
      }
      for (Class<?> parent : c.getInterfaces()) {
        if (implementsIndexedRecord(parent)) {
          return true;
        }
      }
    }
    return false;
  }

  private static void write(Object value, JsonGenerator out, String path) throws IOException {
    if (value instanceof IndexedRecord record) {
      out.writeStartObject();
      for (Schema.Field field : record.getSchema().getFields()) {
        out.writeFieldName(field.name());
        write(record.get(field.pos()), out, path + "." + field.name());
      }
      out.writeEndObject();
    } else if (value instanceof Map<?, ?> map) {
      JsonWriters.mapWriter((item, to) -> write(item, to, path + "{}"), path).write(map, out);
    } else if (value instanceof Collection<?> items) {
      out.writeStartArray();
      for (Object item : items) {
        write(item, out, path + "[]");
      }
      out.writeEndArray();
    } else if (value instanceof ByteBuffer bytes) {
      byte[] copy = new byte[bytes.remaining()];
      bytes.duplicate().get(copy);
      out.writeBinary(copy);
    } else if (value instanceof GenericFixed fixed) {
      out.writeBinary(fixed.bytes());
    } else {
      Scalars.write(
          value instanceof CharSequence || isEnumSymbol(value) ? value.toString() : value,
          out,
          path);
    }
  }

  private static boolean isEnumSymbol(Object value) {
    return value instanceof org.apache.avro.generic.GenericEnumSymbol<?>;
  }
}
