package io.flinkactions.operator.memory;

import com.google.protobuf.ByteString;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Memory in a state that forgets each entry in its own time.
 *
 * <p>A value that is written again is renewed, and the entries of the objects that it lies in are
 * not: they are forgotten before it. Those objects are still there for whoever reads, as long as
 * anything is in them.
 */
public final class ExpiringMemory implements KeyMemory {

  /** In place of a value: an object (session.proto, memory_value). */
  private static final ByteString OBJECT = ByteString.copyFromUtf8("o");

  private final KeyMemory state;

  public ExpiringMemory(KeyMemory state) {
    this.state = state;
  }

  @Override
  public void read(String key, Visitor visitor) throws Exception {
    Set<String> shown = new HashSet<>();
    Set<String> objects = new HashSet<>();
    state.read(
        key,
        (path, value) -> {
          shown.add(path);
          addObjectsOn(path, objects);
          visitor.onEntry(path, value);
        });
    objects.removeAll(shown);
    objects.forEach(path -> visitor.onEntry(path, OBJECT));
  }

  /** Stops at one that is known: then those around it are known too. */
  private static void addObjectsOn(String path, Set<String> objects) {
    int dot = path.lastIndexOf('.');
    while (dot >= 0 && objects.add(path.substring(0, dot))) {
      dot = path.lastIndexOf('.', dot - 1);
    }
  }

  @Override
  public void write(String key, List<String> paths, List<ByteString> values, int from, int to)
      throws Exception {
    // At once: an entry's time counts from when it is written to state.
    state.write(key, paths, values, from, to);
  }

  @Override
  public void writeChanges() throws Exception {
    state.writeChanges();
  }

  @Override
  public void forget(String key) {
    state.forget(key);
  }
}
