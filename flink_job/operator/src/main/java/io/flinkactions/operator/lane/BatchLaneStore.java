package io.flinkactions.operator.lane;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.memory.KeyMemory;

/** BATCH: a lane that is not on the heap is nowhere, because nothing is ever restored. */
public final class BatchLaneStore implements LaneStore {

  private final KeyMemory memory;

  public BatchLaneStore(KeyMemory memory) {
    this.memory = memory;
  }

  @Override
  public Lane load(String key) {
    return new Lane(key, 0, ByteString.EMPTY);
  }

  @Override
  public void write(Lane lane) {
    // Nothing to write to.
  }

  @Override
  public void onDropped(Lane lane) {
    memory.forget(lane.key());
  }
}
