package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import io.flinkactions.operator.session.SessionEvent.NoServer;
import io.flinkactions.wire.v1.WorkerFrame;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class InboxTest {

  @Test
  void one_wake_is_enough_until_poll_has_found_nothing() {
    AtomicInteger wakes = new AtomicInteger();
    Inbox inbox = new Inbox(wakes::incrementAndGet);
    inbox.add(new NoServer(Duration.ZERO, "1"));
    inbox.add(new NoServer(Duration.ZERO, "2"));
    assertThat(wakes).hasValue(1);
    assertThat(inbox.poll()).isEqualTo(new NoServer(Duration.ZERO, "1"));
    inbox.add(new NoServer(Duration.ZERO, "3"));
    assertThat(wakes).hasValue(1);
    assertThat(inbox.poll()).isNotNull();
    assertThat(inbox.poll()).isNotNull();
    assertThat(inbox.poll()).isNull();
    inbox.add(new NoServer(Duration.ZERO, "4"));
    assertThat(wakes).hasValue(2);
  }

  @Test
  void capacity_is_told_once_until_it_was_heard() {
    Inbox inbox = new Inbox(() -> {});
    inbox.addCapacityAvailable();
    inbox.addCapacityAvailable();
    assertThat(inbox.poll()).isInstanceOf(SessionEvent.CapacityAvailable.class);
    assertThat(inbox.poll()).isNull();
    inbox.addCapacityAvailable();
    assertThat(inbox.poll()).isInstanceOf(SessionEvent.CapacityAvailable.class);
  }

  @Test
  void the_end_of_a_session_is_told_behind_all_of_its_frames_that_came_before() {
    List<SessionEvent> came =
        List.of(
            new SessionEvent.FrameReceived(null, WorkerFrame.getDefaultInstance()),
            new SessionEvent.FrameReceived(null, WorkerFrame.newBuilder().setSequence(2).build()),
            new SessionEvent.Interrupted(null, "reset"),
            new SessionEvent.Ended(null, "signal 9", true, false, Set.of()));
    Inbox inbox = new Inbox(() -> {});
    came.forEach(inbox::add);
    assertThat(Stream.generate(inbox::poll).limit(came.size()).toList())
        .containsExactlyElementsOf(came);
  }

  @Test
  @Timeout(60)
  void no_event_is_left_behind_by_a_lost_wake() throws Exception {
    int producers = 2;
    int each = 200_000;
    Semaphore wakes = new Semaphore(0);
    Inbox inbox = new Inbox(wakes::release);
    for (int i = 0; i < producers; i++) {
      Thread producer =
          new Thread(
              () -> {
                for (int n = 0; n < each; n++) {
                  inbox.add(new NoServer(Duration.ZERO, ""));
                }
              });
      producer.setDaemon(true);
      producer.start();
    }
    int received = 0;
    while (received < producers * each) {
      assertThat(wakes.tryAcquire(20, TimeUnit.SECONDS))
          .as("a wake; %d received", received)
          .isTrue();
      while (inbox.poll() != null) {
        received++;
      }
    }
    assertThat(received).isEqualTo(producers * each);
  }
}
