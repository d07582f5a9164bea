package io.flinkactions.operator.identity;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.flinkactions.wire.v1.ContentType;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;

/**
 * The digests and ids of session.proto, "Identity". One instance belongs to one thread: it reuses
 * its digest.
 *
 * <p>H(tag, f1, f2, ...) is the first 16 bytes of SHA-256 over the fields, each as a 4-byte
 * big-endian length and its bytes; text is UTF-8, integers are 8 bytes big-endian.
 */
public final class Identities {
  private static final int ID_BYTES = 16;
  private static final byte[] EVENT = "event".getBytes(StandardCharsets.UTF_8);
  private static final byte[] RUN = "run".getBytes(StandardCharsets.UTF_8);
  private static final byte[] INVOCATION = "invocation".getBytes(StandardCharsets.UTF_8);
  private static final char[] HEX = "0123456789abcdef".toCharArray();

  private final MessageDigest sha256 = digest("SHA-256");
  private final MessageDigest sha1 = digest("SHA-1");
  // The fields are gathered here first: one call of the digest costs less than many.
  private final byte[] buffer = new byte[4096];
  private int length;

  /**
   * What an event is, by content: equal events have equal digests.
   *
   * @param timestamp of the input in ms, or null if the record has none
   */
  public byte[] eventDigest(String type, ContentType contentType, byte[] payload, Long timestamp) {
    return eventDigest(type, contentType, UnsafeByteOperations.unsafeWrap(payload), timestamp);
  }

  /** As {@link #eventDigest(String, ContentType, byte[], Long)}. */
  public byte[] eventDigest(
      String type, ContentType contentType, ByteString payload, Long timestamp) {
    start(EVENT);
    field(type);
    field(contentType.getNumber());
    field(payload);
    if (timestamp == null) {
      number(0);
    } else {
      field(timestamp.longValue());
    }
    return finish();
  }

  /**
   * Names one run of one key, and the input that caused it.
   *
   * @param key the key's bytes as Invoke carries them
   */
  public byte[] runId(
      String namespace, String operatorUid, byte[] key, long runNumber, byte[] inputDigest) {
    start(RUN);
    field(namespace);
    field(operatorUid);
    field(key);
    field(runNumber);
    field(inputDigest);
    return finish();
  }

  /**
   * Names one action on one event of one run.
   *
   * @param ordinal of the invocation in its run, from 0
   */
  public byte[] invocationId(byte[] runId, String action, long ordinal, byte[] eventDigest) {
    start(INVOCATION);
    field(runId);
    field(action);
    field(ordinal);
    field(eventDigest);
    return finish();
  }

  /**
   * The id of the event that {@code source} (a run id or an invocation id) made at {@code
   * position}: a UUID of version 5, in its usual text form.
   */
  public String eventId(byte[] source, int position) {
    byte[] id = eventIdBytes(source, position);
    char[] text = new char[36];
    for (int i = 0, at = 0; i < ID_BYTES; i++) {
      if (i == 4 || i == 6 || i == 8 || i == 10) {
        text[at++] = '-';
      }
      text[at++] = HEX[id[i] >> 4 & 0xf];
      text[at++] = HEX[id[i] & 0xf];
    }
    return new String(text);
  }

  /** The same id as its 16 bytes, as Invoke.upstream_event_id carries it. */
  public byte[] eventIdBytes(byte[] source, int position) {
    sha1.update(source);
    sha1.update(Integer.toString(position).getBytes(StandardCharsets.UTF_8));
    byte[] id = Arrays.copyOf(sha1.digest(), ID_BYTES);
    id[6] = (byte) (id[6] & 0x0f | 0x50);
    id[8] = (byte) (id[8] & 0x3f | 0x80);
    return id;
  }

  private void start(byte[] tag) {
    length = 0;
    field(tag);
  }

  private void field(byte[] bytes) {
    number(bytes.length);
    if (bytes.length > buffer.length) {
      spill();
      sha256.update(bytes);
      return;
    }
    room(bytes.length);
    System.arraycopy(bytes, 0, buffer, length, bytes.length);
    length += bytes.length;
  }

  private void field(ByteString bytes) {
    number(bytes.size());
    if (bytes.size() > buffer.length) {
      spill();
      sha256.update(bytes.asReadOnlyByteBuffer());
      return;
    }
    room(bytes.size());
    bytes.copyTo(buffer, length);
    length += bytes.size();
  }

  private void field(String text) {
    field(text.getBytes(StandardCharsets.UTF_8));
  }

  private void field(long value) {
    number(Long.BYTES);
    room(Long.BYTES);
    for (int shift = 56; shift >= 0; shift -= 8) {
      buffer[length++] = (byte) (value >>> shift);
    }
  }

  /** A length, in 4 bytes. */
  private void number(int value) {
    room(Integer.BYTES);
    for (int shift = 24; shift >= 0; shift -= 8) {
      buffer[length++] = (byte) (value >>> shift);
    }
  }

  private void room(int bytes) {
    if (buffer.length - length < bytes) {
      spill();
    }
  }

  private void spill() {
    sha256.update(buffer, 0, length);
    length = 0;
  }

  private byte[] finish() {
    spill();
    return Arrays.copyOf(sha256.digest(), ID_BYTES);
  }

  private static MessageDigest digest(String name) {
    try {
      return MessageDigest.getInstance(name);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("Every JVM has " + name, e);
    }
  }
}
