package io.flinkactions.operator.lane;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * All that one input causes, until no action is left: invocations first in, first out, and sensory
 * memory.
 */
public final class Run {

  private final Input input;
  private final String namespace;
  private final byte[] id;
  private final ByteString idBytes;
  private ByteString generation;
  private int nextOrdinal;
  // Of the run's time limit.
  private long usedMillis;
  private Invocation first;
  private Invocation last;
  private Map<String, ByteString> sensory = Map.of();
  // By the plan of a generation that is asked for what it has kept, and runs nothing any more.
  private boolean isTentative;

  /**
   * A run of this input.
   *
   * @param namespace with which ids are made, as long as the run lives
   * @param id of the run
   * @param generation in which it begins; empty if none is known yet
   * @param nextOrdinal of the next invocation
   */
  public Run(Input input, String namespace, byte[] id, ByteString generation, int nextOrdinal) {
    this.input = input;
    this.namespace = namespace;
    this.id = id;
    this.idBytes = UnsafeByteOperations.unsafeWrap(id);
    this.generation = generation;
    this.nextOrdinal = nextOrdinal;
  }

  public Input input() {
    return input;
  }

  public String namespace() {
    return namespace;
  }

  /** What its ids are made of. Not to be changed. */
  public byte[] id() {
    return id;
  }

  /** The same, as it travels. */
  public ByteString idBytes() {
    return idBytes;
  }

  /** The generation whose code this run belongs to. */
  public ByteString generation() {
    return generation;
  }

  /** Its generation is gone: the run goes on with another. */
  public void moveTo(ByteString newGeneration) {
    generation = newGeneration;
  }

  /** It begins in a generation that runs nothing any more: only if that has kept it. */
  public void beginTentatively() {
    isTentative = true;
  }

  /** Whether it has begun only to ask for what was kept of it, and nothing was found yet. */
  public boolean isTentative() {
    return isTentative && !first.hasCalls();
  }

  /** How long its attempts have run, of which workers have told. */
  public long usedMillis() {
    return usedMillis;
  }

  public void addUsed(long millis) {
    usedMillis += millis;
  }

  public int takeOrdinal() {
    return nextOrdinal++;
  }

  public int nextOrdinal() {
    return nextOrdinal;
  }

  /** The invocation that runs now or is next, or null if the run is over. */
  public Invocation current() {
    return first;
  }

  public void add(Invocation invocation) {
    if (first == null) {
      first = invocation;
    } else {
      last.next = invocation;
    }
    last = invocation;
  }

  /** The invocation behind this one, or null. */
  public Invocation after(Invocation invocation) {
    return invocation.next;
  }

  /** The current one is over. */
  public void removeCurrent() {
    isTentative = false;
    first = first.next;
    if (first == null) {
      last = null;
    }
  }

  /** Every entry of sensory memory. */
  public Map<String, ByteString> sensory() {
    return sensory;
  }

  /**
   * Applies changes {@code from} (inclusive) to {@code to} (exclusive); a value without bytes
   * removes the entry.
   */
  public void writeSensory(List<String> paths, List<ByteString> values, int from, int to) {
    if (from < to && sensory.isEmpty()) {
      sensory = new HashMap<>();
    }
    for (int i = from; i < to; i++) {
      if (values.get(i).isEmpty()) {
        sensory.remove(paths.get(i));
      } else {
        sensory.put(paths.get(i), values.get(i));
      }
    }
  }
}
