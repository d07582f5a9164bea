package io.flinkactions.operator.lane;

/** Where lanes come from and go to when they are not on the heap. */
public interface LaneStore {

  /** The lane of a key that has no input waiting: as state knows it, or new. */
  Lane load(String key) throws Exception;

  /** Makes state say what the lane says. */
  void write(Lane lane) throws Exception;

  /** The lane is idle and its key has no more inputs in this job. */
  void onDropped(Lane lane);
}
