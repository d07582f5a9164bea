package io.flinkactions.operator.lane;

import io.flinkactions.operator.memory.UselessMirrors;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The lanes on the heap: every active one, and the idle ones that were used last, up to a bound.
 *
 * <p>What changed since the last snapshot is a list, so that a snapshot costs what changed and not
 * what is there. Mailbox thread only.
 */
public final class Lanes {

  private final LaneStore store;
  private final int residentLimit;
  private final boolean keysComeInGroups;
  private final Map<String, Lane> byKey = new HashMap<>();
  private final List<Lane> dirty = new ArrayList<>();
  private final UselessMirrors uselessMirrors = new UselessMirrors();
  private int idleCount;
  private Lane leastRecentlyUsed;
  private Lane mostRecentlyUsed;
  private Lane lastTaken;

  /**
   * Keeps at most {@code residentLimit} idle lanes.
   *
   * @param keysComeInGroups the input is sorted by key: a lane is dropped when it is idle and the
   *     input has gone on to another key
   */
  public Lanes(LaneStore store, int residentLimit, boolean keysComeInGroups) {
    this.store = store;
    this.residentLimit = residentLimit;
    this.keysComeInGroups = keysComeInGroups;
  }

  /**
   * The lane of this key. An idle one leaves the list of idle lanes: give it an input, or call
   * {@link #onIdle}.
   */
  public Lane take(String key) throws Exception {
    Lane lane = byKey.get(key);
    if (lane == null) {
      lane = store.load(key);
      byKey.put(key, lane);
    } else if (lane.isInIdleList) {
      unlink(lane);
    }
    if (keysComeInGroups && lane != lastTaken) {
      if (lastTaken != null && lastTaken.isInIdleList) {
        drop(lastTaken);
      }
      lastTaken = lane;
    }
    return lane;
  }

  /** Adds a lane that was restored with inputs. */
  public void addRestored(Lane lane) {
    byKey.put(lane.key(), lane);
  }

  /** The lane has no input any more. */
  public void onIdle(Lane lane) throws Exception {
    if (keysComeInGroups && lane != lastTaken) {
      drop(lane);
      return;
    }
    link(lane);
    if (idleCount > residentLimit) {
      evict(leastRecentlyUsed);
    }
  }

  /** The lane is idle and its key has no more inputs in this job. */
  private void drop(Lane lane) {
    if (lane.isInIdleList) {
      unlink(lane);
    }
    leaveHeap(lane);
    if (lane.dirtyIndex >= 0) {
      removeFromDirty(lane);
    }
    store.onDropped(lane);
  }

  /** Number of the first run of this key that is not over; the lane is not kept for that. */
  long firstOpenRun(String key) throws Exception {
    Lane lane = byKey.get(key);
    if (lane == null) {
      lane = store.load(key);
    }
    return lane.isActive() ? lane.firstInput().runNumber() : lane.nextRunNumber();
  }

  /** State does not say what the lane says. */
  public void markDirty(Lane lane) {
    if (lane.dirtyIndex < 0) {
      lane.dirtyIndex = dirty.size();
      dirty.add(lane);
    }
  }

  /** Makes state say what all lanes say: to be called in {@code snapshotState}. */
  public void writeDirty() throws Exception {
    for (Lane lane : dirty) {
      store.write(lane);
      lane.dirtyIndex = -1;
    }
    dirty.clear();
  }

  /** What workers are told of mirrors that nothing will build on. */
  public UselessMirrors uselessMirrors() {
    return uselessMirrors;
  }

  /** Lanes on the heap, idle ones included. */
  public int count() {
    return byKey.size();
  }

  public int activeCount() {
    return byKey.size() - idleCount;
  }

  private void evict(Lane lane) throws Exception {
    unlink(lane);
    leaveHeap(lane);
    if (lane.dirtyIndex >= 0) {
      store.write(lane);
      removeFromDirty(lane);
    }
  }

  /** Who has a mirror of its memory is forgotten with it. */
  private void leaveHeap(Lane lane) {
    byKey.remove(lane.key());
    uselessMirrors.onUseless(lane.claim(), lane.keyBytes());
  }

  /**
   * Not left to the next snapshot: without checkpoints there is none, and the list would only grow.
   */
  private void removeFromDirty(Lane lane) {
    Lane last = dirty.remove(dirty.size() - 1);
    if (last != lane) {
      dirty.set(lane.dirtyIndex, last);
      last.dirtyIndex = lane.dirtyIndex;
    }
    lane.dirtyIndex = -1;
  }

  private void link(Lane lane) {
    lane.isInIdleList = true;
    lane.lessRecentlyUsed = mostRecentlyUsed;
    lane.moreRecentlyUsed = null;
    if (mostRecentlyUsed == null) {
      leastRecentlyUsed = lane;
    } else {
      mostRecentlyUsed.moreRecentlyUsed = lane;
    }
    mostRecentlyUsed = lane;
    idleCount++;
  }

  private void unlink(Lane lane) {
    if (lane.lessRecentlyUsed == null) {
      leastRecentlyUsed = lane.moreRecentlyUsed;
    } else {
      lane.lessRecentlyUsed.moreRecentlyUsed = lane.moreRecentlyUsed;
    }
    if (lane.moreRecentlyUsed == null) {
      mostRecentlyUsed = lane.lessRecentlyUsed;
    } else {
      lane.moreRecentlyUsed.lessRecentlyUsed = lane.lessRecentlyUsed;
    }
    lane.lessRecentlyUsed = null;
    lane.moreRecentlyUsed = null;
    lane.isInIdleList = false;
    idleCount--;
  }
}
