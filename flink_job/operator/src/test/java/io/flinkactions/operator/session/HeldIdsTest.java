package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.Holdings;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

class HeldIdsTest {

  private static byte[] id(Random random) {
    byte[] id = new byte[16];
    random.nextBytes(id);
    return id;
  }

  private static Holdings page(long epoch, int attempt, byte[]... ids) {
    Holdings.Builder page = Holdings.newBuilder();
    for (byte[] id : ids) {
      page.setInvocations(page.getInvocations().concat(ByteString.copyFrom(id, 0, 8)))
          .addEpoch(epoch)
          .addAttempt(attempt);
    }
    return page.build();
  }

  @Test
  void whoever_was_later_at_an_invocation_ranks_higher_by_epoch_and_then_by_attempt() {
    byte[] id = id(new Random(1));
    long wallClock = 1_800_000_000_000L;
    HeldIds first = new HeldIds();
    HeldIds second = new HeldIds();
    first.add(page(wallClock, 7, id));
    second.add(page(wallClock, 8, id));
    assertThat(second.rankOf(id)).isGreaterThan(first.rankOf(id));
    first.add(page(wallClock + 1, 1, id));
    assertThat(first.rankOf(id)).isGreaterThan(second.rankOf(id));
    // A Result and the records of its calls: the later of both.
    first.add(page(wallClock, 9, id));
    assertThat(first.rankOf(id)).isGreaterThan(second.rankOf(id));
    assertThat(first.size()).isOne();
    assertThat(first.rankOf(id(new Random(2)))).isZero();
  }

  @Test
  void a_hundred_thousand_are_found_and_what_is_taken_out_hides_no_other() {
    Random random = new Random(4711);
    HeldIds ids = new HeldIds();
    Map<ByteString, byte[]> left = new HashMap<>();
    for (int i = 0; i < 100_000; i++) {
      byte[] id = id(random);
      if (i < 3_000) {
        // Crowded: many want the same slots.
        id[6] = id[7] = 1;
      }
      left.put(ByteString.copyFrom(id, 0, 8), id);
      ids.add(page(1_000, 1, id));
    }
    assertThat(ids.size()).isEqualTo(left.size());
    left.values()
        .removeIf(
            id -> {
              boolean isTaken = random.nextInt(3) > 0;
              if (isTaken) {
                ids.remove(id);
                ids.remove(id);
              }
              return isTaken;
            });
    assertThat(ids.size()).isEqualTo(left.size());
    assertThat(left.values()).allMatch(id -> ids.rankOf(id) > 0);
    for (int i = 0; i < 100_000; i++) {
      assertThat(ids.rankOf(id(random))).isZero();
    }
    left.values().forEach(ids::remove);
    assertThat(ids.isEmpty()).isTrue();
  }

  @Test
  void a_page_that_is_cut_off_is_read_as_far_as_it_is_whole() {
    byte[] id = id(new Random(3));
    HeldIds ids = new HeldIds();
    ids.add(
        Holdings.newBuilder()
            .setInvocations(ByteString.copyFrom(id, 0, 13))
            .addEpoch(5)
            .addAttempt(1)
            .addEpoch(5)
            .addAttempt(1)
            .build());
    assertThat(ids.size()).isOne();
    assertThat(ids.rankOf(id)).isPositive();
  }
}
