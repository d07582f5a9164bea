package io.flinkactions.operator.codec;

import java.io.Serializable;
import java.lang.reflect.Field;
import java.util.Arrays;
import java.util.List;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.api.java.tuple.Tuple;
import org.apache.flink.api.java.typeutils.PojoTypeInfo;
import org.apache.flink.api.java.typeutils.RowTypeInfo;
import org.apache.flink.api.java.typeutils.TupleTypeInfoBase;
import org.apache.flink.types.Row;

/** Chooses the key of a Row, a Tuple, a POJO or an Avro record by the names of its fields. */
final class RecordFields<IN> implements KeySelector<IN, String> {

  private static final long serialVersionUID = 1L;

  /** Reads one key field. */
  private interface Reader extends Serializable {
    Object read(Object record);
  }

  private final List<String> fields;
  private final List<String> available;
  private final String recordType;
  private final Reader[] readers;

  /**
   * Fails here, while the job is built, if a field is unknown or of a type that cannot be a key.
   */
  RecordFields(TypeInformation<IN> type, List<String> fields) {
    this.fields = fields;
    this.recordType = type.toString();
    this.available = fieldNames(type);
    this.readers = new Reader[fields.size()];
    for (int i = 0; i < readers.length; i++) {
      readers[i] = reader(type, fields.get(i));
    }
  }

  @Override
  public String getKey(IN record) {
    Object[] values = new Object[readers.length];
    for (int i = 0; i < values.length; i++) {
      values[i] = readers[i].read(record);
    }
    return KeyText.of(fields, values, recordType, available);
  }

  private static List<String> fieldNames(TypeInformation<?> type) {
    if (type instanceof RowTypeInfo row) {
      return List.of(row.getFieldNames());
    }
    if (type instanceof TupleTypeInfoBase<?> tuple) {
      return List.of(tuple.getFieldNames());
    }
    if (type instanceof PojoTypeInfo<?> pojo) {
      return Arrays.asList(pojo.getFieldNames());
    }
    return List.of();
  }

  private Reader reader(TypeInformation<IN> type, String name) {
    if (AvroWriters.isRecord(type.getTypeClass())) {
      String typeName = recordType;
      return record -> AvroWriters.field(record, name, typeName);
    }
    if (available.isEmpty()) {
      throw KeyFieldException.noFields(recordType);
    }
    int position = available.indexOf(name);
    if (position < 0) {
      throw KeyFieldException.unknown(name, recordType, available);
    }
    if (type instanceof PojoTypeInfo<?> pojo) {
      requireKeyType(name, pojo.getTypeAt(position));
      return new PojoField(pojo.getTypeClass(), pojo.getPojoFieldAt(position).getField());
    }
    TypeInformation<?> fieldType = ((TupleTypeInfoBase<?>) type).getTypeAt(position);
    requireKeyType(name, fieldType);
    if (type instanceof RowTypeInfo) {
      return record -> rowField((Row) record, position, name);
    }
    return record -> ((Tuple) record).getField(position);
  }

  private void requireKeyType(String name, TypeInformation<?> type) {
    // An Object may turn out to be a string; what is declared otherwise never will.
    if (!KeyText.supports(type.getTypeClass()) && type.getTypeClass() != Object.class) {
      throw KeyFieldException.unsupported(name, recordType, type.toString(), available);
    }
  }

  private static Object rowField(Row row, int position, String name) {
    return row.getFieldNames(false) == null ? row.getField(position) : row.getField(name);
  }

  /** A field by its owner and name, because {@link Field} does not travel. */
  private static final class PojoField implements Reader {

    private static final long serialVersionUID = 1L;

    private final Class<?> owner;
    private final String name;
    private transient Field field;

    PojoField(Class<?> owner, Field field) {
      this.owner =
          field.getDeclaringClass().isAssignableFrom(owner) ? field.getDeclaringClass() : owner;
      this.name = field.getName();
    }

    @Override
    public Object read(Object record) {
      if (field == null) {
        try {
          field = owner.getDeclaredField(name);
          field.setAccessible(true);
        } catch (NoSuchFieldException e) {
          throw new CodecException(
              "class "
                  + owner.getName()
                  + " has lost its field '"
                  + name
                  + "' since the job was built",
              e);
        }
      }
      return JsonWriters.read(field, record);
    }
  }
}
