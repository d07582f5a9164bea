package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.Bye;
import io.flinkactions.wire.v1.Hello;
import io.flinkactions.wire.v1.OperatorFrame;
import io.flinkactions.wire.v1.Plan;
import io.flinkactions.wire.v1.Pong;
import io.flinkactions.wire.v1.Reject;
import io.flinkactions.wire.v1.Welcome;
import io.flinkactions.wire.v1.WorkerFrame;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import java.time.Duration;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * One attempt to talk to one worker: channel, call, handshake, and the frames of the session that
 * comes of it.
 *
 * <p>Rules. Nothing is sent before Welcome but Hello. Frames are sent by one thread at a time,
 * whichever comes first ({@link #pump}); the others leave it their work. gRPC's callbacks run on
 * netty's thread, in order: they answer what needs no operator (acknowledgements, credit, Ping),
 * put the rest into the inbox, and tell the fleet of beginnings and ends. The end is told after
 * every frame.
 *
 * <p>Reading goes on while fewer than {@link #MAX_UNAPPLIED_BYTES} wait to be applied: enough that
 * acknowledgements and Pongs, which stand in line behind the results, get through while a slow sink
 * holds the operator up, and a bound on what it may cost: that, and {@link #FRAMES_READ_AHEAD}
 * frames, which were asked for before.
 */
final class WorkerStream {
  private static final int MAX_UNAPPLIED_BYTES = 16 << 20;
  // Fewer cost throughput: two runs in a row, on a noisy machine, took 41 us of both sides' CPU for
  // an invocation with 2, and 25 with 16.
  private static final int FRAMES_READ_AHEAD = 16;
  private static final int READY_THRESHOLD_BYTES = 1 << 20;
  private static final int DEFAULT_MAX_FRAME_BYTES = 4 << 20;
  private static final int SMALLEST_MAX_FRAME_BYTES = 4096;

  private final Fleet fleet;
  private final String address;
  // Of the directory that has named the worker.
  private final String endpoint;
  private final ByteString incarnation;
  // The session that the worker is asked to go on with, or null.
  private final WorkerSession resumes;
  private final boolean isQuarantine;
  private final Inbox inbox;
  private final Counters counters;
  private final PlanCache plans;

  private ManagedChannel channel;
  private ClientCall<OperatorFrame, Inbound> call;

  // Netty's thread.
  private long lastSequence;
  private boolean handshakeIsOver;

  // Written on netty's thread, read on the fleet's.
  private volatile WorkerSession session;
  private volatile Reject reject;
  private volatile Bye bye;
  private volatile String violation;
  private volatile Pong lastPong = Pong.getDefaultInstance();

  private final AtomicInteger pumping = new AtomicInteger();
  private volatile boolean isOver;
  // Whoever decides first what becomes of a session that was interrupted: it is resumed, or it has
  // ended.
  private final AtomicBoolean isSettled = new AtomicBoolean();

  // Sizes of the frames that wait to be applied, in their order.
  private final Queue<Integer> unapplied = new ConcurrentLinkedQueue<>();
  private final AtomicLong unappliedBytes = new AtomicLong();
  private final AtomicInteger unrequested = new AtomicInteger();

  private volatile long pingSentAt = System.nanoTime();
  private volatile long pingId;
  private volatile boolean isPongDue;
  // The fleet's thread. When the first Ping that is not answered went, or reading went on.
  private long silentSince;

  WorkerStream(Fleet fleet, Link link) {
    this.fleet = fleet;
    this.address = link.address;
    this.endpoint = link.endpoint;
    this.incarnation = link.incarnation;
    this.resumes = link.interrupted;
    this.isQuarantine = link.isQuarantine();
    this.inbox = fleet.inbox();
    this.counters = fleet.counters();
    this.plans = fleet.plans();
  }

  /** On the fleet's thread. Whatever comes of it is told to the fleet. */
  void start(Hello hello) {
    channel =
        Channels.open(
            address,
            endpoint,
            fleet.security(),
            Math.toIntExact(hello.getMaxFrameBytes()) + 1024,
            fleet.loops());
    call =
        channel.newCall(
            Inbound.SESSION, CallOptions.DEFAULT.withOnReadyThreshold(READY_THRESHOLD_BYTES));
    call.start(new Listener(), new Metadata());
    call.sendMessage(OperatorFrame.newBuilder().setHello(hello).build());
    call.request(1);
  }

  // ---- sending: any thread ----

  /** Sends what may go now. Another thread that is at it already does it for this one. */
  void pump() {
    if (pumping.getAndIncrement() != 0) {
      return;
    }
    int missed = 1;
    do {
      sendWhatMayGo();
      missed = pumping.addAndGet(-missed);
    } while (missed != 0);
  }

  private void sendWhatMayGo() {
    WorkerSession welcomed = session;
    if (welcomed == null) {
      return;
    }
    try {
      for (OperatorFrame frame;
          !isOver && call.isReady() && (frame = welcomed.outbox().next()) != null; ) {
        call.sendMessage(frame);
        count(frame);
        if (frame.hasBye()) {
          call.halfClose();
          return;
        }
      }
    } catch (IllegalStateException e) {
      // The call was cancelled meanwhile, which gRPC shows in no other way. Its listener hears of
      // it.
      if (!isOver) {
        abort("the stream takes no more frames: " + e.getMessage());
      }
    }
  }

  private void count(OperatorFrame frame) {
    counters.framesSent.increment();
    int bytes = frame.getSerializedSize();
    counters.bytesSent.add(bytes);
    if (frame.getInvokesCount() > 0) {
      counters.invokeFrames.onSent(bytes, frame.getInvokesCount());
      counters.invokesSent.add(frame.getInvokesCount());
    }
  }

  void sayBye(Bye.Reason reason, String message) {
    WorkerSession welcomed = session;
    if (welcomed == null) {
      abort(message);
    } else {
      welcomed.outbox().bye(reason, message);
      pump();
    }
  }

  /**
   * Ends the stream without a word; the worker takes it for an abort. The fleet is told by the
   * listener.
   */
  void abort(String why) {
    if (call == null) {
      isOver = true;
      fleet.streamIsOver(this, Status.CANCELLED.withDescription(why));
    } else {
      call.cancel(why, null);
    }
  }

  void closeChannel(long deadlineNanos) {
    if (channel != null) {
      Channels.close(channel, deadlineNanos);
    }
  }

  // ---- pings: the fleet's thread ----

  /**
   * Asks whether the worker lives, unless it has not answered the last time: then says since when,
   * in nanoseconds.
   */
  long pingOrSilence(long now, long interval) {
    // A Pong stands behind frames that are not read while too much waits to be applied: then
    // silence means nothing. The worker, whose Invokes may be held up by that as well, goes on to
    // hear that this side lives.
    boolean isHeldUp = unrequested.get() > 0;
    boolean isAnswered = !isPongDue;
    if (isAnswered || isHeldUp) {
      silentSince = now;
    }
    if ((isAnswered || isHeldUp) && now - pingSentAt >= interval) {
      pingSentAt = now;
      isPongDue = true;
      session.outbox().ping(++pingId);
      pump();
    }
    return now - silentSince;
  }

  // ---- the mailbox thread ----

  void applied() {
    Integer bytes = unapplied.poll();
    if (bytes == null) {
      throw new IllegalStateException("applied() was called more often than frames came");
    }
    unappliedBytes.addAndGet(-bytes);
    if (unrequested.get() > 0 && unappliedBytes.get() < MAX_UNAPPLIED_BYTES) {
      int frames = unrequested.getAndSet(0);
      if (frames > 0) {
        call.request(frames);
      }
    }
  }

  void capacityAvailable() {
    inbox.addCapacityAvailable();
  }

  // ---- reading: netty's thread ----

  private final class Listener extends ClientCall.Listener<Inbound> {

    @Override
    public void onMessage(Inbound message) {
      if (isOver || violation != null) {
        return;
      }
      if (message.complaint() != null) {
        violate("a frame that is no WorkerFrame: " + message.complaint());
      } else if (handshakeIsOver) {
        onFrame(message.frame(), message.bytes());
      } else {
        onAnswer(message.frame());
      }
    }

    @Override
    public void onReady() {
      pump();
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      isOver = true;
      if (session != null) {
        session.outbox().streamIsOver();
      }
      fleet.streamIsOver(WorkerStream.this, status);
    }
  }

  private void onAnswer(WorkerFrame frame) {
    handshakeIsOver = true;
    if (frame.hasReject()) {
      reject = frame.getReject();
      // The worker ends the stream; not to wait for it costs nothing.
      call.cancel("rejected", null);
      return;
    }
    if (!frame.hasWelcome()) {
      violate("a first frame with neither Welcome nor Reject");
      return;
    }
    Welcome welcome = frame.getWelcome();
    fleet.identity().welcomed();
    if (!welcome.getIncarnation().equals(incarnation)) {
      // The directory was read before the worker was replaced. It will say so.
      call.cancel("the worker at this address is another one by now", null);
      return;
    }
    Plan plan =
        welcome.hasPlan()
            ? plans.intern(welcome.getPlanDigest(), welcome.getPlan())
            : plans.get(welcome.getPlanDigest());
    String complaint = complaintAbout(welcome, plan);
    if (complaint != null) {
      violate(complaint);
      return;
    }
    WorkerSession welcomed = sessionOf(welcome, plan);
    boolean isResumed = resumes != null && resumes.stream().settle();
    // Before its first frame, and before the fleet can say that it ended.
    session = welcomed;
    inbox.add(new SessionEvent.Welcomed(welcomed, plan, isResumed ? resumes : null));
    fleet.streamIsWelcomed(this, welcomed);
    call.request(FRAMES_READ_AHEAD);
  }

  private static String complaintAbout(Welcome welcome, Plan plan) {
    if (welcome.getProtocol() != Fleet.PROTOCOL) {
      return "a Welcome of protocol version " + welcome.getProtocol() + ", which was not offered";
    }
    if (plan == null) {
      return "a Welcome without the plan, which this side does not have";
    }
    if (welcome.getFrameWindow() == 0) {
      return "a Welcome with a frame window of 0";
    }
    long limit = welcome.getMaxFrameBytes();
    return limit != 0 && limit < SMALLEST_MAX_FRAME_BYTES
        ? "a Welcome with max_frame_bytes " + limit
        : null;
  }

  private WorkerSession sessionOf(Welcome welcome, Plan plan) {
    int maxFrameBytes =
        welcome.getMaxFrameBytes() == 0
            ? DEFAULT_MAX_FRAME_BYTES
            : (int) Math.min(welcome.getMaxFrameBytes(), Integer.MAX_VALUE);
    return new WorkerSession(
        this,
        new WorkerSession.Welcomed(
            welcome.getWorker(),
            welcome.getIncarnation(),
            welcome.getGeneration(),
            plan,
            welcome.getLingerMs(),
            isQuarantine,
            welcome.getTellsHoldings()),
        new Outbox(maxFrameBytes, welcome.getFrameWindow(), welcome.getCredit()),
        resumes);
  }

  private void onFrame(WorkerFrame frame, int bytes) {
    counters.framesReceived.increment();
    counters.bytesReceived.add(bytes);
    String complaint = complaintAbout(frame);
    if (complaint != null) {
      violate(complaint);
      return;
    }
    lastSequence = frame.getSequence();
    Outbox outbox = session.outbox();
    if (frame.getAck() != 0 && !outbox.acknowledge(frame.getAck())) {
      violate("an acknowledgement of frame " + frame.getAck() + ", which was never sent");
      return;
    }
    if (frame.hasCredit() && outbox.credit(frame.getCredit())) {
      inbox.addCapacityAvailable();
    }
    if (frame.hasPing()) {
      outbox.pong(frame.getPing().getId());
    }
    if (frame.hasPong()) {
      onPong(frame);
    }
    if (frame.hasHoldings()) {
      inbox.add(new SessionEvent.HoldingsTold(session, frame.getHoldings()));
    }
    if (carriesWork(frame)) {
      unapplied.add(bytes);
      unappliedBytes.addAndGet(bytes);
      inbox.add(new SessionEvent.FrameReceived(session, frame));
    }
    // Not before it is in the queue: an interruption must come behind every frame that was claimed.
    outbox.received(frame.getSequence());
    if (frame.hasDrain()) {
      inbox.add(
          new SessionEvent.Draining(
              session,
              frame.getDrain().getReason(),
              Duration.ofMillis(frame.getDrain().getLimitMs())));
    }
    if (frame.hasBye()) {
      bye = frame.getBye();
    }
    readOn();
    pump();
  }

  private void readOn() {
    if (unappliedBytes.get() < MAX_UNAPPLIED_BYTES) {
      call.request(1);
      return;
    }
    unrequested.incrementAndGet();
    // The operator may have applied the last of them just before the line above.
    if (unappliedBytes.get() < MAX_UNAPPLIED_BYTES) {
      int frames = unrequested.getAndSet(0);
      if (frames > 0) {
        call.request(frames);
      }
    }
  }

  private void onPong(WorkerFrame frame) {
    lastPong = frame.getPong();
    if (frame.getPong().getId() == pingId) {
      isPongDue = false;
      counters.roundTripMicros = (System.nanoTime() - pingSentAt) / 1000;
    }
  }

  private String complaintAbout(WorkerFrame frame) {
    if (frame.getSequence() != lastSequence + 1) {
      return "frame " + frame.getSequence() + " after frame " + lastSequence;
    }
    if (frame.hasWelcome() || frame.hasReject()) {
      return "a second answer to Hello";
    }
    return frame.hasResults() ? FrameCheck.complaintAbout(frame.getResults()) : null;
  }

  private static boolean carriesWork(WorkerFrame frame) {
    return frame.hasResults()
        || frame.getFailuresCount() > 0
        || frame.getBouncesCount() > 0
        || frame.getNeedMemoryCount() > 0
        || frame.getCallsStartedCount() > 0
        || frame.getCallsCompletedCount() > 0
        || frame.getProgressCount() > 0
        || frame.getMetricsCount() > 0;
  }

  private void violate(String what) {
    violation =
        "The worker at " + address + " sent " + what + ". That is a bug on one of the two sides";
    call.cancel(violation, null);
  }

  // ---- what the fleet asks ----

  /** True for the first who asks. */
  boolean settle() {
    return isSettled.compareAndSet(false, true);
  }

  String address() {
    return address;
  }

  ByteString incarnation() {
    return incarnation;
  }

  /** Null if the worker never welcomed this stream. */
  WorkerSession session() {
    return session;
  }

  Reject reject() {
    return reject;
  }

  Bye bye() {
    return bye;
  }

  String violation() {
    return violation;
  }

  Pong lastPong() {
    return lastPong;
  }
}
