package io.flinkactions.operator.memory;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.MemoryForm;

/**
 * What the operator believes a worker to hold of one key's memory.
 *
 * <p>One session at a time: the one that was sent or computed the last version. It is remembered by
 * a token, because a lane may lie idle long after a session has ended. A claim may be wrong (a
 * worker drops what it likes); then the worker asks, gets the whole memory, and nothing was lost
 * but a round trip. Mailbox thread only.
 */
public final class MirrorClaim {

  private Object session;
  private ByteString version = ByteString.EMPTY;
  // The operator cleared sensory memory since, and nothing else: that makes a delta.
  private boolean isSensoryCleared;

  /** How an Invoke of this session is to carry the memory whose version is {@code current}. */
  public MemoryForm formFor(Object asking, ByteString current) {
    if (session != asking) {
      return MemoryForm.FULL;
    }
    if (isSensoryCleared) {
      return MemoryForm.DELTA;
    }
    return version.equals(current) ? MemoryForm.AS_YOU_HAVE_IT : MemoryForm.FULL;
  }

  /** Token of the session whose worker is believed to hold it, or null. */
  Object holder() {
    return session;
  }

  /** The version that the worker has: what a delta is from. */
  public ByteString version() {
    return version;
  }

  /** The session's worker holds this version now. */
  public void hold(Object holder, ByteString newVersion) {
    session = holder;
    version = newVersion;
    isSensoryCleared = false;
  }

  /** The operator has cleared sensory memory, which made another version. */
  public void onSensoryCleared() {
    isSensoryCleared = true;
  }

  /** The worker does not hold it. */
  public void drop() {
    session = null;
    isSensoryCleared = false;
    version = ByteString.EMPTY;
  }
}
