package io.flinkactions.operator.memory;

import com.google.protobuf.ByteString;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Short-term memory on the heap, for as long as a key's lane is needed.
 *
 * <p>For BATCH: Flink's state backend holds one key there and wipes it whenever the key changes, so
 * the memory of a key whose runs go on while other keys arrive would be gone. Nothing is ever
 * restored in BATCH, so nothing is lost.
 */
public final class LaneMemory implements KeyMemory {

  private final Map<String, Map<String, ByteString>> byKey = new HashMap<>();

  @Override
  public void write(String key, List<String> paths, List<ByteString> values, int from, int to) {
    Map<String, ByteString> entries = byKey.computeIfAbsent(key, k -> new HashMap<>());
    for (int i = from; i < to; i++) {
      ByteString value = values.get(i);
      if (value.isEmpty()) {
        entries.remove(paths.get(i));
      } else {
        entries.put(paths.get(i), value);
      }
    }
  }

  @Override
  public void read(String key, Visitor visitor) {
    byKey.getOrDefault(key, Map.of()).forEach(visitor::onEntry);
  }

  @Override
  public void writeChanges() {
    // Nothing is restored from BATCH.
  }

  @Override
  public void forget(String key) {
    byKey.remove(key);
  }

  /** How many keys have memory here. */
  public int keyCount() {
    return byKey.size();
  }
}
