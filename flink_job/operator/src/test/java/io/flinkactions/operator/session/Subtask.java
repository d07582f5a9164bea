package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.Invoke;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/** The operator's side for tests: the test's thread is the mailbox thread. */
final class Subtask implements AutoCloseable {
  private final Semaphore wakes = new Semaphore(0);
  private final List<SessionEvent> seen = new ArrayList<>();
  final StartIdentity identity;
  final Sessions sessions;

  Subtask(SessionSettings settings, StartIdentity identity) {
    this.identity = identity;
    this.sessions = new Sessions(settings, identity, wakes::release);
    this.sessions.open();
  }

  static Subtask of(String endpoint) {
    return new Subtask(settings(endpoint), identity().build());
  }

  static SessionSettings settings(String endpoint) {
    return SessionSettings.of(endpoint)
        .withReconnectTimeout(Duration.ofSeconds(20))
        .withGrace(Duration.ofMillis(200));
  }

  static StartIdentity.Builder identity() {
    return StartIdentity.of("namespace-1", "operator-1", "echo").job("job-1", "a job");
  }

  static Invoke invoke(long handle) {
    return invoke(handle, "\"input\"");
  }

  static Invoke invoke(long handle, String payload) {
    return Invoke.newBuilder()
        .setHandle(handle)
        .setInvocationId(
            ByteString.copyFromUtf8(String.format("invocation-%05d", handle % 100_000)))
        .setKey(ByteString.copyFromUtf8("\"key-" + handle % 10 + "\""))
        .setAttempt(1)
        .setEventType("_input_event")
        .setEventSource(ByteString.copyFromUtf8("run-000000000000"))
        .setPayload(ByteString.copyFromUtf8(payload))
        .build();
  }

  /** The next event but NoServer and CapacityAvailable, which come when they like. */
  SessionEvent next() throws InterruptedException {
    return next(SessionEvent.class, 10_000);
  }

  /** The next event must be of this type (the two above aside, unless asked for). */
  <E extends SessionEvent> E next(Class<E> type) throws InterruptedException {
    return next(type, 10_000);
  }

  <E extends SessionEvent> E next(Class<E> type, long millis) throws InterruptedException {
    E event = nextWithin(type, millis);
    if (event == null) {
      fail("no %s within %d ms; so far: %s", type.getSimpleName(), millis, seen);
    }
    return event;
  }

  <E extends SessionEvent> E nextWithin(Class<E> type, long millis) throws InterruptedException {
    long deadline = System.nanoTime() + millis * 1_000_000;
    while (true) {
      SessionEvent event = sessions.poll();
      if (event != null) {
        seen.add(event);
        if (type.isInstance(event) && !(type == SessionEvent.class && isChatter(event))) {
          return type.cast(event);
        }
        assertThat(isChatter(event))
            .as("waiting for %s, got %s", type.getSimpleName(), event)
            .isTrue();
      } else if (!wakes.tryAcquire(deadline - System.nanoTime(), TimeUnit.NANOSECONDS)) {
        return null;
      }
    }
  }

  private static boolean isChatter(SessionEvent event) {
    return event instanceof SessionEvent.NoServer
        || event instanceof SessionEvent.AwaitingQuarantine
        || event instanceof SessionEvent.CapacityAvailable;
  }

  WorkerSession welcomed() throws InterruptedException {
    return next(SessionEvent.Welcomed.class).session();
  }

  <X extends SessionException> X fatal(Class<X> type) throws InterruptedException {
    SessionException error = next(SessionEvent.Fatal.class).error();
    assertThat(error).isInstanceOf(type);
    return type.cast(error);
  }

  void invoke(WorkerSession session, long... handles) {
    for (long handle : handles) {
      session.queue(invoke(handle));
    }
    sessions.flush();
  }

  @Override
  public void close() {
    sessions.close();
  }
}
