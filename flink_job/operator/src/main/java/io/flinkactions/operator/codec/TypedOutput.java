package io.flinkactions.operator.codec;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.ContentType;
import java.io.IOException;
import java.util.Locale;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;

/**
 * What an operator needs to know of its output: Flink's type of it, and how an output event becomes
 * such a record.
 *
 * @param type of the output stream
 * @param codec makes its records
 * @param <OUT> class of its records
 */
public record TypedOutput<OUT>(TypeInformation<OUT> type, OutputCodec<OUT> codec) {

  /** Outputs as JSON text. */
  public static TypedOutput<String> json() {
    return new TypedOutput<>(Types.STRING, new AnyJson());
  }

  /** Outputs that are strings. */
  public static TypedOutput<String> string() {
    return new TypedOutput<>(Types.STRING, new Text());
  }

  /** Outputs that are bytes. */
  public static TypedOutput<byte[]> bytes() {
    return new TypedOutput<>(PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO, new Bytes());
  }

  /**
   * Outputs of a declared type: strings for STRING, bytes for a byte array, pickled objects for
   * PyFlink's type of them, and everything else read from JSON.
   *
   * @throws CodecException if the type cannot be read from JSON
   */
  @SuppressWarnings("unchecked") // Each branch has looked at the type's class.
  public static <OUT> TypedOutput<OUT> of(TypeInformation<OUT> type) {
    if (InputType.isPickled(type)) {
      return new TypedOutput<>(type, (OutputCodec<OUT>) new PythonObject());
    }
    if (type.getTypeClass() == String.class) {
      return new TypedOutput<>(type, (OutputCodec<OUT>) new Text());
    }
    if (type.getTypeClass() == byte[].class) {
      return new TypedOutput<>(type, (OutputCodec<OUT>) new Bytes());
    }
    JsonReaders.of(type, "the output"); // fails here, while the job is built, if it cannot be read
    return new TypedOutput<>(type, new Structured<>(type));
  }

  private static void require(ContentType actual, ContentType expected, String outputType) {
    if (actual != expected) {
      throw new CodecException(
          "the output came as "
              + actual
              + ", and output_type \""
              + outputType
              + "\" takes "
              + expected
              + "; send "
              + sendable(expected)
              + ", or declare the output_type that fits "
              + actual.name().toLowerCase(Locale.ROOT));
    }
  }

  private static String sendable(ContentType type) {
    return type == ContentType.BYTES ? "bytes" : "a JSON value";
  }

  // Classes, not lambdas: a lambda whose signature names a relocated type cannot be read back from
  // the job graph.

  private static final class AnyJson implements OutputCodec<String> {

    private static final long serialVersionUID = 1L;

    @Override
    public String decode(ByteString payload, ContentType contentType) {
      require(contentType, ContentType.JSON, "json");
      return payload.toStringUtf8();
    }
  }

  private static final class Text implements OutputCodec<String> {

    private static final long serialVersionUID = 1L;

    @Override
    public String decode(ByteString payload, ContentType contentType) throws IOException {
      require(contentType, ContentType.JSON, "string");
      try (JsonParser in = JsonText.FACTORY.createParser(payload.newInput())) {
        if (in.nextToken() != JsonToken.VALUE_STRING) {
          throw new CodecException(
              "the output is "
                  + CodecException.excerpt(payload.toStringUtf8())
                  + ", where a string was declared; send a str, or take output_type=\"json\"");
        }
        return in.getText();
      }
    }
  }

  private static final class Bytes implements OutputCodec<byte[]> {

    private static final long serialVersionUID = 1L;

    @Override
    public byte[] decode(ByteString payload, ContentType contentType) {
      require(contentType, ContentType.BYTES, "bytes");
      return payload.toByteArray();
    }
  }

  /** Pickled here, from JSON or bytes: no pickle of the server's gets into the job. */
  private static final class PythonObject implements OutputCodec<byte[]> {

    private static final long serialVersionUID = 1L;

    @Override
    public byte[] decode(ByteString payload, ContentType contentType) throws IOException {
      if (contentType == ContentType.BYTES) {
        return JsonPickle.of(payload.toByteArray());
      }
      require(contentType, ContentType.JSON, "pickled");
      try (JsonParser in = JsonText.FACTORY.createParser(payload.newInput())) {
        in.nextToken();
        return JsonPickle.of(in);
      }
    }
  }

  private static final class Structured<OUT> implements OutputCodec<OUT> {

    private static final long serialVersionUID = 1L;

    private final TypeInformation<OUT> type;
    private transient JsonReader reader;

    Structured(TypeInformation<OUT> type) {
      this.type = type;
    }

    @Override
    @SuppressWarnings("unchecked") // The reader was compiled from the type.
    public OUT decode(ByteString payload, ContentType contentType) throws IOException {
      require(contentType, ContentType.JSON, type.toString());
      if (reader == null) {
        reader = JsonReaders.of(type, "the output");
      }
      try (JsonParser in = JsonText.FACTORY.createParser(payload.newInput())) {
        in.nextToken();
        Object record = reader.read(in);
        if (record == null) {
          throw new CodecException(
              "the output is null, where " + type + " was declared; a stream has no null records");
        }
        return (OUT) record;
      } catch (JsonProcessingException e) {
        throw new CodecException(
            "the output is not JSON: "
                + e.getOriginalMessage()
                + ", in "
                + CodecException.excerpt(payload.toStringUtf8()),
            e);
      }
    }
  }
}
