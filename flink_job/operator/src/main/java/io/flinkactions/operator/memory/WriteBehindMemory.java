package io.flinkactions.operator.memory;

import com.google.protobuf.ByteString;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Keeps the last changes to memory on the heap until a snapshot wants them in state.
 *
 * <p>A busy key's memory changes with every run, and state is asked for it only by a checkpoint: to
 * write each change costs RocksDB more than all else that is done for the run. What is kept is
 * bounded; beyond the bound the key that has waited longest is written.
 */
public final class WriteBehindMemory implements KeyMemory {

  /** What an entry takes beside its path and value, about. */
  private static final int ENTRY_BYTES = 120;

  private static final class Changes {
    final Map<String, ByteString> values = new HashMap<>();
    long size;
  }

  private final KeyMemory state;
  private final int mostEntries;
  private final long mostBytes;
  // In the order in which the keys came: the eldest is written first.
  private final Map<String, Changes> changesByKey = new LinkedHashMap<>();
  private int entryCount;
  private long size;

  /**
   * Makes an empty one.
   *
   * @param state where changes go in the end
   * @param mostEntries of all keys together: what a snapshot has to write while the mailbox waits
   * @param mostBytes of all keys together
   */
  public WriteBehindMemory(KeyMemory state, int mostEntries, long mostBytes) {
    this.state = state;
    this.mostEntries = mostEntries;
    this.mostBytes = mostBytes;
  }

  @Override
  public void write(String key, List<String> paths, List<ByteString> values, int from, int to)
      throws Exception {
    Changes changes = changesByKey.get(key);
    if (changes == null) {
      changesByKey.put(key, changes = new Changes());
    }
    int entriesBefore = changes.values.size();
    long sizeBefore = changes.size;
    for (int i = from; i < to; i++) {
      String path = paths.get(i);
      ByteString value = values.get(i);
      ByteString replaced = changes.values.put(path, value);
      changes.size +=
          replaced == null
              ? ENTRY_BYTES + path.length() + value.size()
              : value.size() - replaced.size();
    }
    entryCount += changes.values.size() - entriesBefore;
    size += changes.size - sizeBefore;
    if (entryCount > mostEntries || size > mostBytes) {
      writeEldest();
    }
  }

  private void writeEldest() throws Exception {
    Iterator<Map.Entry<String, Changes>> eldest = changesByKey.entrySet().iterator();
    while (eldest.hasNext() && (entryCount > mostEntries || size > mostBytes)) {
      Map.Entry<String, Changes> entry = eldest.next();
      eldest.remove();
      writeToState(entry.getKey(), entry.getValue());
    }
  }

  private void writeToState(String key, Changes changes) throws Exception {
    entryCount -= changes.values.size();
    size -= changes.size;
    state.write(
        key,
        List.copyOf(changes.values.keySet()),
        List.copyOf(changes.values.values()),
        0,
        changes.values.size());
  }

  @Override
  public void read(String key, Visitor visitor) throws Exception {
    Changes changes = changesByKey.get(key);
    if (changes == null) {
      state.read(key, visitor);
      return;
    }
    state.read(
        key,
        (path, value) -> {
          if (!changes.values.containsKey(path)) {
            visitor.onEntry(path, value);
          }
        });
    changes.values.forEach(
        (path, value) -> {
          if (!value.isEmpty()) {
            visitor.onEntry(path, value);
          }
        });
  }

  @Override
  public void writeChanges() throws Exception {
    for (Map.Entry<String, Changes> entry : changesByKey.entrySet()) {
      writeToState(entry.getKey(), entry.getValue());
    }
    changesByKey.clear();
    state.writeChanges();
  }

  @Override
  public void forget(String key) {
    state.forget(key);
  }
}
