package io.flinkactions.operator.state;

import io.flinkactions.operator.memory.ExpiringMemory;
import io.flinkactions.operator.memory.KeyMemory;
import io.flinkactions.operator.memory.StateKeyMemory;
import io.flinkactions.operator.memory.WriteBehindMemory;
import java.util.concurrent.atomic.LongAdder;
import org.apache.flink.api.common.state.KeyedStateStore;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeutils.base.LongSerializer;
import org.apache.flink.api.common.typeutils.base.StringSerializer;
import org.apache.flink.api.common.typeutils.base.array.BytePrimitiveArraySerializer;
import org.apache.flink.runtime.state.KeyedStateBackend;

/**
 * The keyed states of the operator, by name: what a savepoint has in it (see state.proto).
 *
 * @param writtenBytes put into them since the start
 */
public record KeyedStates(StateLaneStore lanes, KeyMemory memory, LongAdder writtenBytes) {

  /** Has a value for every key with inputs, and for no other: to restore reads these keys only. */
  public static final String LANE = "lane";

  private static final String HEADER = "key";
  private static final String INPUT = "input";
  private static final String MEMORY = "memory";

  /** So many take RocksDB some 30 ms of a checkpoint. */
  private static final int MOST_ENTRIES_WAITING = 10_000;

  private static final long MOST_BYTES_WAITING = 8 << 20;

  /** Registers the states. */
  public static KeyedStates of(
      KeyedStateBackend<String> backend, KeyedStateStore store, MemoryTtl memoryTtl) {
    MapStateDescriptor<String, byte[]> memory =
        new MapStateDescriptor<>(
            MEMORY, StringSerializer.INSTANCE, BytePrimitiveArraySerializer.INSTANCE);
    if (memoryTtl.isOn()) {
      memory.enableTimeToLive(memoryTtl.config());
    }
    LongAdder written = new LongAdder();
    StateLaneStore lanes =
        new StateLaneStore(
            backend,
            value(store, HEADER),
            value(store, LANE),
            store.getMapState(
                new MapStateDescriptor<>(
                    INPUT, LongSerializer.INSTANCE, BytePrimitiveArraySerializer.INSTANCE)),
            written);
    KeyMemory state = new StateKeyMemory(backend, store.getMapState(memory), written);
    KeyMemory changed =
        memoryTtl.isOn()
            ? new ExpiringMemory(state)
            : new WriteBehindMemory(state, MOST_ENTRIES_WAITING, MOST_BYTES_WAITING);
    return new KeyedStates(lanes, changed, written);
  }

  private static ValueState<byte[]> value(KeyedStateStore store, String name) {
    return store.getState(new ValueStateDescriptor<>(name, BytePrimitiveArraySerializer.INSTANCE));
  }
}
