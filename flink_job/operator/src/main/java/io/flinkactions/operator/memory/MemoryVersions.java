package io.flinkactions.operator.memory;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import java.nio.ByteBuffer;
import java.security.SecureRandom;
import java.util.SplittableRandom;

/**
 * Mints names for states of a key's memory: random, never a counter, because after a restore a
 * counter would name other content by the same number.
 */
public final class MemoryVersions {

  private static final int BYTES = 8;

  private final SplittableRandom random;

  public MemoryVersions() {
    this(new SplittableRandom(new SecureRandom().nextLong()));
  }

  MemoryVersions(SplittableRandom random) {
    this.random = random;
  }

  public ByteString fresh() {
    return UnsafeByteOperations.unsafeWrap(
        ByteBuffer.allocate(BYTES).putLong(random.nextLong()).array());
  }
}
