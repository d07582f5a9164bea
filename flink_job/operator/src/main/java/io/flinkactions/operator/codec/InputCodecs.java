package io.flinkactions.operator.codec;

import com.fasterxml.jackson.core.JsonGenerator;
import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.ContentType;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.types.Row;

/** The input codecs, one for each {@link InputType}. */
final class InputCodecs {

  private InputCodecs() {}

  static <IN> InputCodec<IN> of(TypeInformation<IN> type, InputType form) {
    Class<IN> recordClass = type.getTypeClass();
    return switch (form) {
      case ROW -> new Structured<>(type);
      case STRING -> {
        require(recordClass == String.class, type, form, "strings");
        yield new Text<>();
      }
      case JSON -> {
        require(
            recordClass == String.class || recordClass == byte[].class,
            type,
            form,
            "strings or byte arrays");
        yield recordClass == String.class ? new JsonString<>() : new Bytes<>(ContentType.JSON);
      }
      case BYTES -> {
        require(recordClass == byte[].class, type, form, "byte arrays");
        yield new Bytes<>(ContentType.BYTES);
      }
      case PICKLED -> {
        require(recordClass == byte[].class, type, form, "pickled objects");
        yield new Bytes<>(ContentType.PICKLE);
      }
    };
  }

  /** The codec of rows whose payload is one of their fields. */
  static InputCodec<Row> ofField(int position, InputCodec<Object> codec) {
    return new FieldOfRow(position, codec);
  }

  private static void require(
      boolean fits, TypeInformation<?> type, InputType form, String expected) {
    if (!fits) {
      throw new CodecException(
          "input_type \""
              + form.name().toLowerCase(java.util.Locale.ROOT)
              + "\" needs a stream of "
              + expected
              + ", and this one is of "
              + type
              + "; choose another input_type, or leave it out");
    }
  }

  private static final class Structured<IN> implements InputCodec<IN> {

    private static final long serialVersionUID = 1L;

    private final TypeInformation<IN> type;
    // Compiled where it runs: writers hold reflection objects, which do not travel.
    private transient JsonWriter writer;

    Structured(TypeInformation<IN> type) {
      this.type = type;
    }

    @Override
    public ByteString encode(IN value) throws IOException {
      if (writer == null) {
        writer = JsonWriters.of(type, "the record");
      }
      ByteString.Output bytes = ByteString.newOutput(256);
      try (JsonGenerator out = JsonText.FACTORY.createGenerator(bytes)) {
        writer.write(value, out);
      }
      return bytes.toByteString();
    }

    @Override
    public ContentType contentType() {
      return ContentType.JSON;
    }
  }

  private static final class Text<IN> implements InputCodec<IN> {

    private static final long serialVersionUID = 1L;

    @Override
    public ByteString encode(IN value) throws IOException {
      String text = (String) value;
      ByteString.Output bytes = ByteString.newOutput(text.length() + 16);
      try (JsonGenerator out = JsonText.FACTORY.createGenerator(bytes)) {
        out.writeString(text);
      }
      return bytes.toByteString();
    }

    @Override
    public ContentType contentType() {
      return ContentType.JSON;
    }
  }

  private static final class JsonString<IN> implements InputCodec<IN> {

    private static final long serialVersionUID = 1L;

    @Override
    public ByteString encode(IN value) {
      return ByteString.copyFrom((String) value, StandardCharsets.UTF_8);
    }

    @Override
    public ContentType contentType() {
      return ContentType.JSON;
    }
  }

  private static final class Bytes<IN> implements InputCodec<IN> {

    private static final long serialVersionUID = 1L;

    private final ContentType contentType;

    Bytes(ContentType contentType) {
      this.contentType = contentType;
    }

    @Override
    public ByteString encode(IN value) {
      // A copy: with object reuse the array may be written over.
      return ByteString.copyFrom((byte[]) value);
    }

    @Override
    public ContentType contentType() {
      return contentType;
    }
  }

  private static final class FieldOfRow implements InputCodec<Row> {

    private static final long serialVersionUID = 1L;

    private final int position;
    private final InputCodec<Object> codec;

    FieldOfRow(int position, InputCodec<Object> codec) {
      this.position = position;
      this.codec = codec;
    }

    @Override
    public ByteString encode(Row value) throws Exception {
      return codec.encode(value.getField(position));
    }

    @Override
    public ContentType contentType() {
      return codec.contentType();
    }
  }
}
