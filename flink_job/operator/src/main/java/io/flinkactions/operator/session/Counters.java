package io.flinkactions.operator.session;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.ToLongFunction;
import java.util.stream.LongStream;

/** Counts where things happen; sums over the open sessions when it is asked. */
final class Counters implements SessionCounters {
  final LongAdder reconnects = new LongAdder();
  final LongAdder interruptions = new LongAdder();
  final LongAdder framesSent = new LongAdder();
  final LongAdder framesReceived = new LongAdder();
  final LongAdder bytesSent = new LongAdder();
  final LongAdder bytesReceived = new LongAdder();
  final LongAdder invokesSent = new LongAdder();
  volatile InvokeFrames invokeFrames = (bytes, invokes) -> {};
  volatile long roundTripMicros;
  volatile String state = "connecting";
  final Set<WorkerSession> open = ConcurrentHashMap.newKeySet();

  @Override
  public int openSessions() {
    return open.size();
  }

  @Override
  public long reconnects() {
    return reconnects.sum();
  }

  @Override
  public long interruptions() {
    return interruptions.sum();
  }

  @Override
  public long framesSent() {
    return framesSent.sum();
  }

  @Override
  public long framesReceived() {
    return framesReceived.sum();
  }

  @Override
  public long bytesSent() {
    return bytesSent.sum();
  }

  @Override
  public long bytesReceived() {
    return bytesReceived.sum();
  }

  @Override
  public long invokesSent() {
    return invokesSent.sum();
  }

  @Override
  public void tellInvokeFrames(InvokeFrames listener) {
    invokeFrames = listener;
  }

  @Override
  public int unacknowledgedFrames() {
    return (int) overOpen(session -> session.outbox().unacknowledgedFrames());
  }

  @Override
  public int queuedInvokes() {
    return (int) overOpen(session -> session.outbox().queuedInvokes());
  }

  @Override
  public long freeCredit() {
    return overOpen(session -> session.outbox().freeCredit());
  }

  @Override
  public long roundTripMicros() {
    return roundTripMicros;
  }

  @Override
  public long loopLagMicros() {
    return open.stream().mapToLong(session -> session.lastPong().getLoopLagUs()).max().orElse(0);
  }

  @Override
  public long keptBytes() {
    return overOpen(session -> session.lastPong().getKeptBytes());
  }

  @Override
  public long keptDropped() {
    return overOpen(session -> session.lastPong().getKeptDropped());
  }

  @Override
  public long keptMissed() {
    return overOpen(session -> session.lastPong().getKeptMissed());
  }

  @Override
  public String state() {
    return state;
  }

  @Override
  public boolean isConnected() {
    return state.equals("connected");
  }

  @Override
  public WorkerCounters ofWorker(String name) {
    return new OfWorker(name);
  }

  private final class OfWorker implements WorkerCounters {
    private final String name;

    OfWorker(String name) {
      this.name = name;
    }

    private LongStream each(ToLongFunction<WorkerSession> number) {
      return open.stream().filter(session -> session.worker().equals(name)).mapToLong(number);
    }

    @Override
    public int openSessions() {
      return (int) each(session -> 1).sum();
    }

    @Override
    public long openInvocations() {
      return each(session -> session.outbox().openInvocations()).sum();
    }

    @Override
    public long freeCredit() {
      return each(session -> session.outbox().freeCredit()).sum();
    }

    @Override
    public int unacknowledgedFrames() {
      return (int) each(session -> session.outbox().unacknowledgedFrames()).sum();
    }

    @Override
    public long loopLagMicros() {
      return each(session -> session.lastPong().getLoopLagUs()).max().orElse(0);
    }

    @Override
    public long keptBytes() {
      return each(session -> session.lastPong().getKeptBytes()).sum();
    }
  }

  private long overOpen(ToLongFunction<WorkerSession> number) {
    return open.stream().mapToLong(number).sum();
  }
}
