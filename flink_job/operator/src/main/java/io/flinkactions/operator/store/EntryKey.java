package io.flinkactions.operator.store;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.CallPlace;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * Key of one entry of the topic: what compaction keeps one of.
 *
 * <p>The epoch is part of it. Were it not, a late write of a start that has been fenced off would
 * take the place of the record that counts, and be ignored itself. Texts carry their lengths, so
 * that no text can look like another's end. Version, kind, namespace, operator uid and epoch, then
 * of a call the invocation's id, its task and index, of a fence its first and last key group.
 *
 * @param invocationId of a call, else null
 * @param place of a call, else null
 * @param firstKeyGroup of a fence
 * @param lastKeyGroup of a fence
 */
record EntryKey(
    String namespace,
    String operatorUid,
    long epoch,
    ByteString invocationId,
    CallPlace place,
    int firstKeyGroup,
    int lastKeyGroup) {

  private static final byte VERSION = 1;
  private static final byte CALL = 'C';
  private static final byte FENCE = 'F';

  static EntryKey ofCall(
      String namespace, String operatorUid, long epoch, ByteString invocationId, CallPlace place) {
    return new EntryKey(namespace, operatorUid, epoch, invocationId, place, 0, 0);
  }

  static EntryKey ofFence(
      String namespace, String operatorUid, long epoch, int firstKeyGroup, int lastKeyGroup) {
    return new EntryKey(namespace, operatorUid, epoch, null, null, firstKeyGroup, lastKeyGroup);
  }

  boolean isFence() {
    return place == null;
  }

  byte[] toBytes() {
    byte[] namespaceBytes = namespace.getBytes(StandardCharsets.UTF_8);
    byte[] uidBytes = operatorUid.getBytes(StandardCharsets.UTF_8);
    byte[] id = isFence() ? new byte[0] : invocationId.toByteArray();
    byte[] task = isFence() ? new byte[0] : place.getTaskBytes().toByteArray();
    int rest = isFence() ? 8 : 4 + id.length + 4 + task.length + 4;
    ByteBuffer to =
        ByteBuffer.allocate(2 + 4 + namespaceBytes.length + 4 + uidBytes.length + 8 + rest);
    to.put(VERSION).put(isFence() ? FENCE : CALL);
    put(to, namespaceBytes);
    put(to, uidBytes);
    to.putLong(epoch);
    if (isFence()) {
      to.putInt(firstKeyGroup).putInt(lastKeyGroup);
    } else {
      put(to, id);
      put(to, task);
      to.putInt(place.getIndex());
    }
    return to.array();
  }

  private static void put(ByteBuffer to, byte[] bytes) {
    to.putInt(bytes.length).put(bytes);
  }

  /** Null if these bytes are no key of this format. */
  static EntryKey parse(byte[] bytes) {
    if (bytes == null || bytes.length < 2 || bytes[0] != VERSION) {
      return null;
    }
    ByteBuffer from = ByteBuffer.wrap(bytes).position(2);
    try {
      String namespace = new String(take(from), StandardCharsets.UTF_8);
      String uid = new String(take(from), StandardCharsets.UTF_8);
      long epoch = from.getLong();
      if (bytes[1] == FENCE) {
        return ofFence(namespace, uid, epoch, from.getInt(), from.getInt());
      }
      if (bytes[1] != CALL) {
        return null;
      }
      ByteString id = ByteString.copyFrom(take(from));
      CallPlace place =
          CallPlace.newBuilder()
              .setTaskBytes(ByteString.copyFrom(take(from)))
              .setIndex(from.getInt())
              .build();
      return ofCall(namespace, uid, epoch, id, place);
    } catch (BufferUnderflowException e) {
      return null;
    }
  }

  private static byte[] take(ByteBuffer from) {
    int length = from.getInt();
    if (length < 0 || length > from.remaining()) {
      throw new BufferUnderflowException();
    }
    byte[] bytes = new byte[length];
    from.get(bytes);
    return bytes;
  }
}
