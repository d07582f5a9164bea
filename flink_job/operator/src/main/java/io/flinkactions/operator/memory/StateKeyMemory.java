package io.flinkactions.operator.memory;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.LongAdder;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.runtime.state.KeyedStateBackend;

/** Short-term memory in keyed state. */
public final class StateKeyMemory implements KeyMemory {

  private final KeyedStateBackend<String> backend;
  private final MapState<String, byte[]> entries;
  private final LongAdder writtenBytes;

  public StateKeyMemory(
      KeyedStateBackend<String> backend, MapState<String, byte[]> entries, LongAdder writtenBytes) {
    this.backend = backend;
    this.entries = entries;
    this.writtenBytes = writtenBytes;
  }

  @Override
  public void write(String key, List<String> paths, List<ByteString> values, int from, int to)
      throws Exception {
    backend.setCurrentKey(key);
    for (int i = from; i < to; i++) {
      ByteString value = values.get(i);
      if (value.isEmpty()) {
        entries.remove(paths.get(i));
      } else {
        entries.put(paths.get(i), value.toByteArray());
        writtenBytes.add(paths.get(i).length() + value.size());
      }
    }
  }

  @Override
  public void read(String key, Visitor visitor) throws Exception {
    backend.setCurrentKey(key);
    for (Map.Entry<String, byte[]> entry : entries.entries()) {
      // No copy: a value's array is replaced in state, never changed.
      visitor.onEntry(entry.getKey(), UnsafeByteOperations.unsafeWrap(entry.getValue()));
    }
  }

  @Override
  public void writeChanges() {
    // Each change is written as it comes.
  }

  @Override
  public void forget(String key) {
    // State outlives lanes.
  }
}
