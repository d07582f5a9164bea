package io.flinkactions.operator.memory;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

class WriteBehindMemoryTest {

  private static final int MOST_ENTRIES = 8;
  private static final long MOST_BYTES = 4_000;

  /** State on the heap that notes which keys it was told of. */
  private final LaneMemory state = new LaneMemory();

  private final List<String> written = new ArrayList<>();
  private final KeyMemory noted =
      new KeyMemory() {
        @Override
        public void write(
            String key, List<String> paths, List<ByteString> values, int from, int to) {
          written.add(key);
          state.write(key, paths, values, from, to);
        }

        @Override
        public void read(String key, Visitor visitor) {
          state.read(key, visitor);
        }

        @Override
        public void writeChanges() {}

        @Override
        public void forget(String key) {}
      };
  private final WriteBehindMemory memory = new WriteBehindMemory(noted, MOST_ENTRIES, MOST_BYTES);

  @Test
  void state_hears_of_a_value_once_however_often_it_changed() throws Exception {
    for (int i = 0; i < 100; i++) {
      set("k", "count", Integer.toString(i));
    }
    assertThat(written).isEmpty();

    memory.writeChanges();
    assertThat(written).containsExactly("k");
    assertThat(of(state, "k")).isEqualTo(Map.of("count", "99"));

    memory.writeChanges();
    assertThat(written).containsExactly("k");
  }

  @Test
  void what_is_read_is_state_with_the_changes_on_top() throws Exception {
    set("k", "old", "1");
    set("k", "replaced", "1");
    set("k", "removed", "1");
    memory.writeChanges();
    set("k", "replaced", "2");
    set("k", "removed", "");
    set("k", "new", "3");

    assertThat(of(memory, "k")).isEqualTo(Map.of("old", "1", "replaced", "2", "new", "3"));
    assertThat(of(memory, "other")).isEmpty();
  }

  @Test
  void beyond_the_bound_on_entries_the_eldest_key_is_written() throws Exception {
    for (int key = 0; key < MOST_ENTRIES; key++) {
      set("k" + key, "x", "1");
      set("k0", "x", "2");
    }
    assertThat(written).isEmpty();

    set("one more", "x", "1");
    assertThat(written).containsExactly("k0");
    assertThat(of(memory, "k0")).isEqualTo(Map.of("x", "2"));

    set("one more", "y", "1");
    assertThat(written).containsExactly("k0", "k1");
  }

  @Test
  void beyond_the_bound_on_bytes_too() throws Exception {
    set("small", "x", "1");
    set("large", "x", "x".repeat((int) MOST_BYTES));
    assertThat(written).containsExactly("small", "large");
    assertThat(of(memory, "large")).containsOnlyKeys("x");
  }

  @Test
  void at_any_time_it_reads_as_if_each_change_were_in_state() throws Exception {
    for (int seed = 0; seed < 50; seed++) {
      Random random = new Random(seed);
      WriteBehindMemory tested = new WriteBehindMemory(new LaneMemory(), 6, MOST_BYTES);
      LaneMemory expected = new LaneMemory();
      for (int step = 0; step < 300; step++) {
        String key = "k" + random.nextInt(5);
        List<String> paths = List.of("unrelated", "p" + random.nextInt(4), "p" + random.nextInt(4));
        List<ByteString> values =
            List.of(bytes("never"), bytes(value(random)), bytes(value(random)));
        tested.write(key, paths, values, 1, 3);
        expected.write(key, paths, values, 1, 3);
        if (random.nextInt(20) == 0) {
          tested.writeChanges();
        }
        assertThat(of(tested, key)).as("seed %d, step %d", seed, step).isEqualTo(of(expected, key));
      }
    }
  }

  private static String value(Random random) {
    return random.nextInt(3) == 0 ? "" : "x".repeat(1 + random.nextInt(900));
  }

  private void set(String key, String path, String value) throws Exception {
    memory.write(key, List.of(path), List.of(bytes(value)), 0, 1);
  }

  private static ByteString bytes(String text) {
    return ByteString.copyFromUtf8(text);
  }

  private static Map<String, String> of(KeyMemory memory, String key) throws Exception {
    Map<String, String> found = new LinkedHashMap<>();
    memory.read(
        key,
        (path, value) ->
            assertThat(found.put(path, value.toStringUtf8())).as("%s twice", path).isNull());
    return new HashMap<>(found);
  }
}
