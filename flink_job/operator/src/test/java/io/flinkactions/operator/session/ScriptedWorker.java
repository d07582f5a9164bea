package io.flinkactions.operator.session;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.flinkactions.wire.v1.Action;
import io.flinkactions.wire.v1.Bye;
import io.flinkactions.wire.v1.Credit;
import io.flinkactions.wire.v1.OperatorFrame;
import io.flinkactions.wire.v1.Plan;
import io.flinkactions.wire.v1.Reject;
import io.flinkactions.wire.v1.Results;
import io.flinkactions.wire.v1.Welcome;
import io.flinkactions.wire.v1.WorkerEntry;
import io.flinkactions.wire.v1.WorkerFrame;
import io.flinkactions.wire.v1.WorkerGrpc;
import io.grpc.MethodDescriptor;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/**
 * A worker whose every frame a test chooses, over real gRPC on a port of its own. Unless told
 * otherwise it welcomes everybody, and then says nothing by itself. Frames travel as bytes, so that
 * it can also send what is no frame.
 */
final class ScriptedWorker implements AutoCloseable {
  static final Plan PLAN =
      Plan.newBuilder()
          .setAgent("echo")
          .setDigest(ByteString.copyFromUtf8("plan-digest-1"))
          .addActions(Action.newBuilder().setName("echo"))
          .build();
  private static final MethodDescriptor<byte[], byte[]> SESSION =
      MethodDescriptor.<byte[], byte[]>newBuilder()
          .setType(MethodDescriptor.MethodType.BIDI_STREAMING)
          .setFullMethodName(WorkerGrpc.getSessionMethod().getFullMethodName())
          .setRequestMarshaller(new Bytes())
          .setResponseMarshaller(new Bytes())
          .build();

  private final WorkerEntry entry;
  private final Server server;
  private final ExecutorService threads = Executors.newCachedThreadPool();
  private final BlockingQueue<Peer> peers = new LinkedBlockingQueue<>();
  private volatile Function<OperatorFrame, WorkerFrame> answer = hello -> welcome().build();
  private volatile Welcome settings;

  ScriptedWorker(String name, String incarnation, ByteString generation) throws IOException {
    server =
        NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0))
            .executor(threads)
            .maxInboundMessageSize(64 << 20)
            .addService(
                ServerServiceDefinition.builder("flink_actions.wire.v1.Worker")
                    .addMethod(SESSION, ServerCalls.asyncBidiStreamingCall(this::session))
                    .build())
            .build()
            .start();
    entry =
        WorkerEntry.newBuilder()
            .setWorker(name)
            .setIncarnation(ByteString.copyFromUtf8(incarnation))
            .setGeneration(generation)
            .setAddress(":" + server.getPort())
            .setRole(WorkerEntry.Role.REGULAR)
            .build();
    settings =
        Welcome.newBuilder()
            .setProtocol(1)
            .setWorker(name)
            .setIncarnation(entry.getIncarnation())
            .setGeneration(generation)
            .setPlan(PLAN)
            .setPlanDigest(PLAN.getDigest())
            .setMaxFrameBytes(1 << 20)
            .setFrameWindow(2)
            .setCredit(Credit.newBuilder().setInvocations(1000).setBytes(10 << 20))
            .setLingerMs(300)
            .build();
  }

  WorkerEntry.Builder entry() {
    return entry.toBuilder();
  }

  WorkerFrame.Builder welcome() {
    return WorkerFrame.newBuilder().setWelcome(settings);
  }

  void welcomesWith(Welcome.Builder changes) {
    settings = settings.toBuilder().mergeFrom(changes.build()).build();
  }

  void answers(Function<OperatorFrame, WorkerFrame> function) {
    answer = function;
  }

  void rejects(Reject.Reason reason, String message) {
    answers(
        hello ->
            WorkerFrame.newBuilder()
                .setReject(Reject.newBuilder().setReason(reason).setMessage(message))
                .build());
  }

  void welcomesAgain() {
    answers(hello -> welcome().build());
  }

  /** Says nothing to a Hello. */
  void keepsSilent() {
    answers(hello -> null);
  }

  /** The next stream that an operator opens. */
  Peer peer() throws InterruptedException {
    Peer peer = peers.poll(10, TimeUnit.SECONDS);
    assertThat(peer).as("a stream to " + entry.getWorker()).isNotNull();
    return peer;
  }

  /** Whether an operator has opened a stream of which nobody has asked yet. */
  boolean hasPeer() {
    return !peers.isEmpty();
  }

  /** The last stream that an operator has opened so far. */
  Peer lastPeer() throws InterruptedException {
    Peer last = peer();
    for (Peer later; (later = peers.poll()) != null; ) {
      last = later;
    }
    return last;
  }

  /** Nothing listens at its address any more, and its streams break. */
  @Override
  public void close() {
    server.shutdownNow();
    try {
      server.awaitTermination(5, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    threads.shutdownNow();
  }

  private StreamObserver<byte[]> session(StreamObserver<byte[]> toOperator) {
    Peer peer = new Peer(toOperator);
    return new StreamObserver<>() {
      @Override
      public void onNext(byte[] bytes) {
        OperatorFrame frame = parse(bytes);
        if (frame.hasHello()) {
          peer.hello = frame;
          WorkerFrame reply = answer.apply(frame);
          peers.add(peer);
          if (reply != null) {
            toOperator.onNext(reply.toByteArray());
          }
        } else {
          peer.frames.add(frame);
        }
      }

      @Override
      public void onError(Throwable error) {
        peer.ended.add("aborted");
      }

      @Override
      public void onCompleted() {
        peer.ended.add("completed");
        toOperator.onCompleted();
      }
    };
  }

  private static OperatorFrame parse(byte[] bytes) {
    try {
      return OperatorFrame.parseFrom(bytes);
    } catch (InvalidProtocolBufferException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The worker's side of one stream. */
  static final class Peer {
    private final StreamObserver<byte[]> toOperator;
    private final BlockingQueue<OperatorFrame> frames = new LinkedBlockingQueue<>();
    private final BlockingQueue<String> ended = new LinkedBlockingQueue<>();
    private volatile OperatorFrame hello;
    private long sequence;

    Peer(StreamObserver<byte[]> toOperator) {
      this.toOperator = toOperator;
    }

    OperatorFrame hello() {
      return hello;
    }

    /** The next frame that is not a mere Ping. */
    OperatorFrame frame() throws InterruptedException {
      OperatorFrame frame = frameWithin(10_000);
      assertThat(frame).as("a frame of the operator").isNotNull();
      return frame;
    }

    OperatorFrame frameWithin(long millis) throws InterruptedException {
      long deadline = System.nanoTime() + millis * 1_000_000;
      while (true) {
        OperatorFrame frame = frames.poll(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
        if (frame == null || !isPing(frame)) {
          return frame;
        }
      }
    }

    OperatorFrame anyFrame() throws InterruptedException {
      return frames.poll(10, TimeUnit.SECONDS);
    }

    private static boolean isPing(OperatorFrame frame) {
      return frame.equals(OperatorFrame.newBuilder().setPing(frame.getPing()).build());
    }

    String end() throws InterruptedException {
      return ended.poll(10, TimeUnit.SECONDS);
    }

    /** Numbers the frame and sends it. */
    void send(WorkerFrame.Builder frame) {
      sendAsIs(frame.setSequence(++sequence).build().toByteArray());
    }

    void sendAsIs(byte[] bytes) {
      synchronized (toOperator) {
        toOperator.onNext(bytes);
      }
    }

    void result(long... handles) {
      send(WorkerFrame.newBuilder().setResults(results(handles)));
    }

    void bye(Bye.Reason reason, String message) {
      send(WorkerFrame.newBuilder().setBye(Bye.newBuilder().setReason(reason).setMessage(message)));
      toOperator.onCompleted();
    }

    /** Ends the stream without Bye. */
    void breakOff() {
      toOperator.onError(io.grpc.Status.UNAVAILABLE.withDescription("broken off").asException());
    }
  }

  /** Results without events. */
  static Results.Builder results(long... handles) {
    Results.Builder results = Results.newBuilder();
    for (long handle : handles) {
      results.addHandle(handle).addEventCount(0);
    }
    return results;
  }

  private static final class Bytes implements MethodDescriptor.Marshaller<byte[]> {
    @Override
    public InputStream stream(byte[] value) {
      return new ByteArrayInputStream(value);
    }

    @Override
    public byte[] parse(InputStream stream) {
      try {
        return stream.readAllBytes();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }
}
