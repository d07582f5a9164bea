package io.flinkactions.operator.codec;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/**
 * Writes JSON as the pickle of what Python's {@code json.loads} would make of it, for streams that
 * go on in PyFlink without a declared type. It holds plain values only: to load it runs no code of
 * anybody's.
 *
 * <p>Protocol 3, whose opcodes stand in Python's {@code pickletools}.
 */
final class JsonPickle {

  private static final int MARK = '(';
  private static final int STOP = '.';

  private final ByteArrayOutputStream out = new ByteArrayOutputStream(256);

  private JsonPickle() {
    out.write(0x80);
    out.write(3);
  }

  /** Of the value at whose first token the parser stands; it is left at the last. */
  static byte[] of(JsonParser in) throws IOException {
    JsonPickle pickle = new JsonPickle();
    pickle.value(in);
    pickle.out.write(STOP);
    return pickle.out.toByteArray();
  }

  /** Of a Python {@code bytes}. */
  static byte[] of(byte[] value) {
    JsonPickle pickle = new JsonPickle();
    pickle.sized('B', value);
    pickle.out.write(STOP);
    return pickle.out.toByteArray();
  }

  private void value(JsonParser in) throws IOException {
    switch (in.currentToken()) {
      case VALUE_NULL -> out.write('N');
      case VALUE_TRUE -> out.write(0x88);
      case VALUE_FALSE -> out.write(0x89);
      case VALUE_STRING -> text(in.getText());
      case VALUE_NUMBER_INT -> integer(in.getBigIntegerValue());
      case VALUE_NUMBER_FLOAT -> {
        out.write('G');
        out.writeBytes(ByteBuffer.allocate(8).putDouble(in.getDoubleValue()).array());
      }
      case START_ARRAY -> {
        out.write(']');
        out.write(MARK);
        while (in.nextToken() != JsonToken.END_ARRAY) {
          value(in);
        }
        out.write('e');
      }
      case START_OBJECT -> {
        out.write('}');
        out.write(MARK);
        while (in.nextToken() != JsonToken.END_OBJECT) {
          text(in.currentName());
          in.nextToken();
          value(in);
        }
        out.write('u');
      }
      default -> throw new CodecException("the output is not one JSON value: " + in.currentToken());
    }
  }

  private void text(String value) {
    sized('X', value.getBytes(StandardCharsets.UTF_8));
  }

  private void integer(BigInteger value) {
    if (value.bitLength() < 32) {
      out.write('J');
      out.writeBytes(littleEndian(value.intValue()));
      return;
    }
    byte[] bigEndian = value.toByteArray();
    byte[] digits = new byte[bigEndian.length];
    for (int i = 0; i < digits.length; i++) {
      digits[i] = bigEndian[digits.length - 1 - i];
    }
    // LONG4: an integer of JSON has at most a thousand digits, which may be more than LONG1's 255
    // bytes.
    sized(0x8b, digits);
  }

  private void sized(int opcode, byte[] bytes) {
    out.write(opcode);
    out.writeBytes(littleEndian(bytes.length));
    out.writeBytes(bytes);
  }

  private static byte[] littleEndian(int value) {
    return ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(value).array();
  }
}
