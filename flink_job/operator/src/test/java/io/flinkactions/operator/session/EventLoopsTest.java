package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.netty.shaded.io.netty.channel.EventLoopGroup;
import java.time.Duration;
import org.junit.jupiter.api.Test;

class EventLoopsTest {
  @Test
  void all_share_one_group_and_the_last_one_ends_its_threads() throws Exception {
    EventLoopGroup first = EventLoops.acquire();
    assertThat(EventLoops.acquire()).isSameAs(first);
    first.submit(() -> {}).sync();
    EventLoops.release(soon());
    assertThat(first.isShuttingDown()).isFalse();
    EventLoops.release(soon());
    assertThat(first.isTerminated()).isTrue();
    EventLoopGroup next = EventLoops.acquire();
    assertThat(next).isNotSameAs(first);
    EventLoops.release(soon());
  }

  private static long soon() {
    return System.nanoTime() + Duration.ofSeconds(10).toNanos();
  }
}
