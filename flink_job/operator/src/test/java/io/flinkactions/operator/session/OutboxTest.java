package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.Bye;
import io.flinkactions.wire.v1.CallPlace;
import io.flinkactions.wire.v1.CallRecord;
import io.flinkactions.wire.v1.CallsRecorded;
import io.flinkactions.wire.v1.Cancel;
import io.flinkactions.wire.v1.Credit;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.OperatorFrame;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class OutboxTest {
  private static final Credit PLENTY =
      Credit.newBuilder().setInvocations(1_000_000).setBytes(1L << 40).build();

  private static Invoke invoke(long handle, int payloadBytes) {
    return Invoke.newBuilder()
        .setHandle(handle)
        .setPayload(ByteString.copyFrom(new byte[payloadBytes]))
        .build();
  }

  private static List<Long> handles(OperatorFrame frame) {
    return frame.getInvokesList().stream().map(Invoke::getHandle).toList();
  }

  @Test
  void a_frame_holds_at_most_256_invokes() {
    Outbox outbox = new Outbox(1 << 20, 10, PLENTY);
    LongStream.rangeClosed(1, 300).forEach(handle -> outbox.queue(invoke(handle, 10)));
    assertThat(outbox.next().getInvokesCount()).isEqualTo(256);
    assertThat(outbox.next().getInvokesCount()).isEqualTo(44);
    assertThat(outbox.next()).isNull();
  }

  @Test
  void a_frame_holds_at_most_256_kib_of_invokes_unless_a_single_one() {
    Outbox outbox = new Outbox(1 << 20, 10, PLENTY);
    outbox.queue(invoke(1, 100_000));
    outbox.queue(invoke(2, 100_000));
    outbox.queue(invoke(3, 100_000));
    outbox.queue(invoke(4, 600_000));
    outbox.queue(invoke(5, 10));
    assertThat(handles(outbox.next())).containsExactly(1L, 2L);
    assertThat(handles(outbox.next())).containsExactly(3L);
    assertThat(handles(outbox.next())).containsExactly(4L);
    assertThat(handles(outbox.next())).containsExactly(5L);
  }

  @Test
  void what_has_arrived_is_said_once_with_a_frame_that_goes_anyway() {
    Outbox outbox = new Outbox(1 << 20, 10, PLENTY);
    outbox.received(7);
    outbox.received(8);
    assertThat(outbox.next()).isNull();
    outbox.queue(invoke(1, 10));
    assertThat(outbox.next().getReceived()).isEqualTo(8);
    outbox.queue(invoke(2, 10));
    assertThat(outbox.next().getReceived()).isZero();
  }

  @Test
  void a_cancelled_invoke_that_was_not_sent_never_is() {
    Outbox outbox = new Outbox(1 << 20, 1, PLENTY);
    outbox.queue(invoke(1, 10));
    outbox.next();
    outbox.queue(invoke(2, 10));
    outbox.queue(invoke(3, 10));
    outbox.cancel(List.of(1L, 2L), Cancel.Reason.SUPERSEDED);
    OperatorFrame cancel = outbox.next();
    assertThat(cancel.getCancels(0).getHandlesList()).containsExactly(1L);
    outbox.acknowledge(1);
    assertThat(handles(outbox.next())).containsExactly(3L);
  }

  @Test
  void
      call_records_follow_their_invoke_over_as_many_frames_as_they_need_and_nothing_overtakes_it() {
    Outbox outbox = new Outbox(100_000, 1, PLENTY);
    outbox.queue(invoke(1, 10));
    outbox.next();
    List<CallRecord> following = new ArrayList<>();
    for (int i = 0; i < 5; i++) {
      following.add(
          CallRecord.newBuilder()
              .setHandle(2)
              .setValue(ByteString.copyFrom(new byte[40_000]))
              .setIsLast(i == 4)
              .build());
    }
    outbox.queue(invoke(2, 10).toBuilder().setMoreCalls(true).build(), following);
    // Its Invoke waits for the window, and they with it.
    assertThat(outbox.next()).isNull();
    outbox.acknowledge(1);
    assertThat(handles(outbox.next())).containsExactly(2L);
    List<CallRecord> sent = new ArrayList<>();
    for (OperatorFrame frame; (frame = outbox.next()) != null; ) {
      assertThat(frame.getSerializedSize()).isLessThanOrEqualTo(100_000);
      assertThat(frame.getSequence()).isZero();
      sent.addAll(frame.getCallRecordsList());
    }
    assertThat(sent).isEqualTo(following);
  }

  @Test
  void dropped_invokes_are_not_sent_and_what_was_sent_is_not_forgotten() {
    Outbox outbox = new Outbox(1 << 20, 1, PLENTY);
    outbox.queue(invoke(1, 10));
    outbox.next();
    outbox.queue(invoke(2, 10));
    outbox.dropInvokes();
    outbox.acknowledge(1);
    assertThat(outbox.next()).isNull();
    assertThat(outbox.queuedInvokes()).isZero();
    outbox.closed();
    outbox.closed();
  }

  @Test
  void nothing_is_kept_for_a_stream_that_is_over() {
    Outbox outbox = new Outbox(1 << 20, 1, PLENTY);
    outbox.queue(invoke(1, 10));
    outbox.forgetKey(ByteString.copyFromUtf8("k"));
    outbox.streamIsOver();
    // The mailbox thread has not heard of it yet.
    outbox.queue(invoke(2, 10));
    outbox.closed();
    outbox.closed();
    assertThat(outbox.queuedInvokes()).isZero();
    assertThat(outbox.next()).isNull();
  }

  @Test
  void bye_is_the_last_word() {
    Outbox outbox = new Outbox(1 << 20, 2, PLENTY);
    outbox.queue(invoke(1, 10));
    outbox.callsRecorded(CallsRecorded.newBuilder().setHandle(9).build());
    outbox.bye(Bye.Reason.FINISHED, "done");
    outbox.queue(invoke(2, 10));
    OperatorFrame last = outbox.next();
    assertThat(last.getInvokesCount()).isZero();
    assertThat(last.getCallsRecordedCount()).isEqualTo(1);
    assertThat(last.getBye().getMessage()).isEqualTo("done");
    outbox.ping(1);
    assertThat(outbox.next()).isNull();
  }

  @Test
  void much_control_is_spread_over_frames_and_bye_comes_behind_all_of_it() {
    Outbox outbox = new Outbox(8192, 2, PLENTY);
    for (int i = 1; i <= 100; i++) {
      CallPlace place = CallPlace.newBuilder().setTask("x".repeat(500)).build();
      outbox.callsRecorded(CallsRecorded.newBuilder().setHandle(i).addPlaces(place).build());
    }
    outbox.bye(Bye.Reason.JOB_CANCELLED, "");
    int sent = 0;
    OperatorFrame frame;
    do {
      frame = outbox.next();
      assertThat(frame.getSerializedSize()).isLessThanOrEqualTo(8192);
      sent += frame.getCallsRecordedCount();
    } while (!frame.hasBye());
    assertThat(sent).isEqualTo(100);
    assertThat(outbox.next()).isNull();
  }

  @Test
  void keys_to_forget_make_no_frame_and_ride_with_the_next() {
    Outbox outbox = new Outbox(1 << 20, 2, PLENTY);
    ByteString key = ByteString.copyFromUtf8("\"gone\"");
    outbox.forgetKey(key);
    outbox.forgetKey(key);
    assertThat(outbox.next()).isNull();
    outbox.ping(1);
    assertThat(outbox.next().getForgetKeysList()).containsExactly(key);
    outbox.ping(2);
    assertThat(outbox.next().getForgetKeysCount()).isZero();
  }

  @Test
  void a_key_that_is_invoked_again_is_not_to_be_forgotten() {
    Outbox outbox = new Outbox(1 << 20, 2, PLENTY);
    Invoke again = invoke(1, 10);
    ByteString other = ByteString.copyFromUtf8("\"other\"");
    outbox.forgetKey(again.getKey());
    outbox.forgetKey(other);
    outbox.queue(again);
    assertThat(outbox.next().getForgetKeysList()).containsExactly(other);
  }

  @Test
  void what_is_too_much_to_forget_is_left_to_the_workers_own_bound() {
    for (int frameBytes : List.of(8192, 4 << 20)) {
      Outbox outbox = new Outbox(frameBytes, 2, PLENTY);
      outbox.forgetKey(ByteString.copyFrom(new byte[frameBytes]));
      for (int i = 0; i < 100_000; i++) {
        outbox.forgetKey(ByteString.copyFromUtf8("key " + i));
      }
      long bytes = 0;
      OperatorFrame frame;
      do {
        outbox.ping(1);
        frame = outbox.next();
        assertThat(frame.getSerializedSize()).isLessThanOrEqualTo(frameBytes);
        bytes += frame.getForgetKeysList().stream().mapToLong(ByteString::size).sum();
      } while (frame.getForgetKeysCount() > 0);
      assertThat(bytes).isBetween(1000L, (long) Outbox.MAX_FORGET_BYTES);
      outbox.forgetKey(ByteString.copyFromUtf8("there is room again"));
      outbox.ping(2);
      assertThat(outbox.next().getForgetKeysCount()).isEqualTo(1);
    }
  }

  @Test
  void what_a_reconnect_resumes_waits_for_credit_in_its_order() {
    Outbox outbox =
        new Outbox(1 << 20, 10, Credit.newBuilder().setInvocations(2).setBytes(10_000).build());
    LongStream.rangeClosed(1, 5).forEach(handle -> outbox.queue(invoke(handle, 10)));
    assertThat(handles(outbox.next())).containsExactly(1L, 2L);
    assertThat(outbox.next()).isNull();
    assertThat(outbox.mayInvoke(1)).isFalse();
    outbox.credit(Credit.newBuilder().setInvocations(4).setBytes(10_000).build());
    assertThat(handles(outbox.next())).containsExactly(3L, 4L);
    assertThat(outbox.mayInvoke(1)).isFalse();
  }

  /**
   * Random schedules of everything that may happen to an outbox, checked against the rules of
   * session.proto after each step.
   */
  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
  void random_schedules_keep_every_rule(long seed) {
    Random random = new Random(seed);
    int maxFrame = 4096 + random.nextInt(400_000);
    int window = 1 + random.nextInt(4);
    long credits = 1 + random.nextInt(50);
    long bytes = 1000 + random.nextInt(100_000);
    Outbox outbox =
        new Outbox(
            maxFrame, window, Credit.newBuilder().setInvocations(credits).setBytes(bytes).build());
    Set<Long> open = new HashSet<>();
    ArrayDeque<Long> expected = new ArrayDeque<>();
    Set<Long> onTheWire = new HashSet<>();
    long nextHandle = 1;
    long sentInvokes = 0;
    long sentBytes = 0;
    long sequence = 0;
    long acknowledged = 0;
    for (int step = 0; step < 5000; step++) {
      switch (random.nextInt(7)) {
        case 0, 1 -> {
          int size = random.nextInt(20) == 0 ? random.nextInt(maxFrame - 100) : random.nextInt(300);
          Invoke invoke = invoke(nextHandle, size);
          if (invoke.getSerializedSize() <= outbox.maxInvokeBytes()) {
            outbox.queue(invoke);
            expected.add(nextHandle);
            open.add(nextHandle++);
          }
        }
        case 2 -> {
          credits += random.nextInt(10);
          bytes += random.nextInt(5000);
          outbox.credit(Credit.newBuilder().setInvocations(credits).setBytes(bytes).build());
        }
        case 3 -> {
          acknowledged +=
              sequence > acknowledged ? random.nextInt((int) (sequence - acknowledged) + 1) : 0;
          assertThat(outbox.acknowledge(acknowledged)).isTrue();
        }
        case 4 -> {
          if (!onTheWire.isEmpty()) {
            long answered = onTheWire.iterator().next();
            onTheWire.remove(answered);
            open.remove(answered);
            outbox.closed();
          }
        }
        case 5 -> {
          if (random.nextInt(5) == 0 && !expected.isEmpty()) {
            long victim = expected.pollLast();
            outbox.cancel(List.of(victim), Cancel.Reason.TIMEOUT);
            outbox.closed();
            open.remove(victim);
          }
        }
        default -> {
          boolean wasAlone = onTheWire.isEmpty();
          OperatorFrame frame = outbox.next();
          if (frame == null) {
            boolean creditLeft =
                sentInvokes < credits && !expected.isEmpty() && sequence - acknowledged < window;
            assertThat(creditLeft && wasAlone)
                .as("seed %d: nothing is held back without a reason", seed)
                .isFalse();
            break;
          }
          assertThat(frame.getSerializedSize()).as("seed %d", seed).isLessThanOrEqualTo(maxFrame);
          assertThat(frame.getCancelsCount())
              .as("seed %d: a cancel of what was never sent", seed)
              .isZero();
          assertThat(frame.getSequence()).isEqualTo(++sequence);
          assertThat(sequence - acknowledged).isLessThanOrEqualTo(window);
          assertThat(frame.getInvokesCount()).isBetween(1, 256);
          int payload = 0;
          for (Invoke invoke : frame.getInvokesList()) {
            assertThat(invoke.getHandle()).as("seed %d: order", seed).isEqualTo(expected.poll());
            sentInvokes++;
            sentBytes += invoke.getSerializedSize();
            payload += invoke.getSerializedSize();
            onTheWire.add(invoke.getHandle());
          }
          if (frame.getInvokesCount() > 1) {
            assertThat(payload).isLessThanOrEqualTo(256 * 1024);
          }
          boolean isWithinCredit = sentInvokes <= credits && sentBytes <= bytes;
          assertThat(isWithinCredit || wasAlone && frame.getInvokesCount() == 1)
              .as("seed %d: %d of %d, %d of %d bytes", seed, sentInvokes, credits, sentBytes, bytes)
              .isTrue();
        }
      }
      assertThat(outbox.queuedInvokes()).as("seed %d", seed).isEqualTo(expected.size());
    }
    assertThat(open).hasSize(expected.size() + onTheWire.size());
  }

  @Test
  void that_all_is_resumed_is_said_with_the_last_of_it_and_once() {
    Outbox outbox = new Outbox(1 << 20, 1, PLENTY);
    outbox.queue(invoke(1, 200_000));
    outbox.queue(invoke(2, 200_000));
    outbox.allResumed();
    outbox.queue(invoke(3, 200_000));
    assertThat(outbox.next().getAllResumed()).isFalse();
    outbox.acknowledge(1);
    OperatorFrame last = outbox.next();
    assertThat(handles(last)).containsExactly(2L);
    assertThat(last.getAllResumed()).isTrue();
    outbox.acknowledge(2);
    outbox.allResumed();
    assertThat(outbox.next().getAllResumed()).isFalse();
    assertThat(outbox.next()).isNull();
  }

  @Test
  void that_nothing_is_to_be_resumed_needs_neither_window_nor_credit() {
    Outbox outbox = new Outbox(1 << 20, 1, Credit.getDefaultInstance());
    outbox.queue(invoke(1, 10));
    outbox.queue(invoke(2, 10));
    assertThat(handles(outbox.next())).containsExactly(1L);
    outbox.queue(invoke(3, 10));
    outbox.allResumed();
    assertThat(outbox.next()).isNull();
    // What waits is cancelled, the last one first.
    outbox.cancel(List.of(3L), Cancel.Reason.TIMEOUT);
    assertThat(outbox.next()).isNull();
    outbox.cancel(List.of(2L), Cancel.Reason.TIMEOUT);
    OperatorFrame frame = outbox.next();
    assertThat(frame.getAllResumed()).isTrue();
    assertThat(frame.getSequence()).isZero();
    assertThat(outbox.next()).isNull();
  }
}
