package io.flinkactions.operator.memory;

import com.google.protobuf.ByteString;
import java.util.List;

/**
 * Short-term memory of all keys: entries of path and value, as the protocol carries them.
 *
 * <p>Written when a Result is applied, read when a worker needs all of it. Mailbox thread only.
 */
public interface KeyMemory {

  /** Takes the entries of a whole memory. */
  @FunctionalInterface
  interface Visitor {
    void onEntry(String path, ByteString value);
  }

  /**
   * Applies changes {@code from} (inclusive) to {@code to} (exclusive) of the two columns; a value
   * without bytes removes the entry.
   */
  void write(String key, List<String> paths, List<ByteString> values, int from, int to)
      throws Exception;

  /** Shows every entry of the key. */
  void read(String key, Visitor visitor) throws Exception;

  /** Makes state say what this says: to be called in {@code snapshotState}. */
  void writeChanges() throws Exception;

  /** The key has no more inputs in this job: what is kept beside state may go. */
  void forget(String key);
}
