package io.flinkactions.operator.state;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.memory.KeyMemory;
import io.flinkactions.operator.state.MemoryTtl.Update;
import io.flinkactions.operator.state.MemoryTtl.Visibility;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.hashmap.HashMapStateBackend;
import org.apache.flink.state.rocksdb.EmbeddedRocksDBStateBackend;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class MemoryTtlTest {

  private static final String KEY = "\"k\"";
  private static final Duration TEN_SECONDS = Duration.ofSeconds(10);

  /** Has the operator's states, and nothing else of it. */
  private static final class MemoryCarrier extends AbstractStreamOperator<String>
      implements OneInputStreamOperator<String, String> {
    private static final long serialVersionUID = 1L;
    private final MemoryTtl ttl;
    private transient KeyMemory memory;

    MemoryCarrier(MemoryTtl ttl) {
      this.ttl = ttl;
    }

    @Override
    public void initializeState(StateInitializationContext context) throws Exception {
      memory = KeyedStates.of(getKeyedStateBackend(), context.getKeyedStateStore(), ttl).memory();
    }

    @Override
    public void processElement(StreamRecord<String> element) {}
  }

  private MemoryCarrier carrier;
  private KeyedOneInputStreamOperatorTestHarness<String, String, String> harness;

  private void open(boolean rocksDb, Update update, Visibility visibility) throws Exception {
    carrier = new MemoryCarrier(new MemoryTtl(TEN_SECONDS, update, visibility));
    harness = new KeyedOneInputStreamOperatorTestHarness<>(carrier, text -> text, Types.STRING);
    harness.setStateBackend(
        rocksDb ? new EmbeddedRocksDBStateBackend() : new HashMapStateBackend());
    harness.open();
    itIs(0);
  }

  @AfterEach
  void close() throws Exception {
    if (harness != null) {
      harness.close();
    }
  }

  private void itIs(long second) {
    harness.setStateTtlProcessingTime(second * 1_000);
  }

  private void write(String path, String value) throws Exception {
    carrier.memory.write(KEY, List.of(path), List.of(ByteString.copyFromUtf8(value)), 0, 1);
  }

  private Map<String, String> read() throws Exception {
    Map<String, String> entries = new TreeMap<>();
    carrier.memory.read(
        KEY,
        (path, value) ->
            assertThat(entries.put(path, value.toStringUtf8())).as("once: " + path).isNull());
    return entries;
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void an_object_is_there_as_long_as_anything_in_it_is(boolean rocksDb) throws Exception {
    open(rocksDb, Update.ON_CREATE_AND_WRITE, Visibility.NEVER_RETURN_EXPIRED);
    write("user", "o");
    write("user.stats", "o");
    write("user.stats.visits", "1");
    write("user.name", "\"Ann\"");
    itIs(8);
    write("user.stats.visits", "2");
    itIs(12);
    assertThat(read()).isEqualTo(Map.of("user", "o", "user.stats", "o", "user.stats.visits", "2"));
    itIs(18);
    assertThat(read()).isEmpty();
  }

  @Test
  void an_object_that_lost_what_was_in_it_stays_for_its_own_time() throws Exception {
    open(false, Update.ON_CREATE_AND_WRITE, Visibility.NEVER_RETURN_EXPIRED);
    write("user.name", "\"Ann\"");
    itIs(8);
    write("user", "o");
    itIs(12);
    assertThat(read()).isEqualTo(Map.of("user", "o"));
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void reading_renews_only_if_the_job_says_so(boolean rocksDb) throws Exception {
    for (Update update : Update.values()) {
      open(rocksDb, update, Visibility.NEVER_RETURN_EXPIRED);
      write("a", "1");
      write("b", "1");
      itIs(8);
      assertThat(read()).hasSize(2);
      itIs(16);
      assertThat(read()).hasSize(update == Update.ON_READ_AND_WRITE ? 2 : 0);
      itIs(30);
      assertThat(read()).isEmpty();
      harness.close();
    }
  }

  @Test
  void what_has_expired_may_be_read_until_it_is_cleaned_up_if_the_job_says_so() throws Exception {
    for (Visibility visibility : Visibility.values()) {
      open(false, Update.ON_CREATE_AND_WRITE, visibility);
      write("a", "1");
      itIs(12);
      assertThat(read()).hasSize(visibility == Visibility.RETURN_EXPIRED_IF_NOT_CLEANED_UP ? 1 : 0);
      harness.close();
    }
  }

  @Test
  void a_time_below_0_is_refused() {
    assertThatThrownBy(() -> MemoryTtl.of(Duration.ofMillis(-5)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContainingAll("short-term-memory.state-ttl", "-0.005S", "must not be negative");
  }
}
