package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.DescribeRequest;
import io.flinkactions.wire.v1.DescribeResponse;
import io.flinkactions.wire.v1.DirectoryGrpc;
import io.flinkactions.wire.v1.DirectoryState;
import io.flinkactions.wire.v1.Generation;
import io.flinkactions.wire.v1.QuarantineRequest;
import io.flinkactions.wire.v1.QuarantineResponse;
import io.flinkactions.wire.v1.WatchRequest;
import io.flinkactions.wire.v1.WorkerEntry;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/**
 * A directory whose every word a test chooses, over real gRPC: for the edges of the protocol that a
 * real server never shows. What a real server does is tested against the real one.
 */
final class ScriptedServer extends DirectoryGrpc.DirectoryImplBase implements AutoCloseable {
  static final ByteString GENERATION = ByteString.copyFromUtf8("generation-1....");

  private final Server server;
  private final ExecutorService threads = Executors.newCachedThreadPool();
  private final List<StreamObserver<DirectoryState>> watchers = new ArrayList<>();
  private final Map<String, WorkerEntry> entries = new LinkedHashMap<>();
  private final List<ScriptedWorker> workers = new ArrayList<>();
  private List<Generation> generations = List.of(Generation.newBuilder().setId(GENERATION).build());
  private ByteString supervisor = ByteString.copyFromUtf8("supervisor-1....");
  private int protocolMin = 1;
  private int protocolMax = 1;
  private WorkerEntry afterRefusal;

  ScriptedServer() throws IOException {
    server =
        NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0))
            .executor(threads)
            .addService(this)
            .build()
            .start();
  }

  String endpoint() {
    return "127.0.0.1:" + server.getPort();
  }

  /** Starts a worker, and says that it serves. */
  ScriptedWorker worker(String name, String incarnation) throws IOException {
    return worker(name, incarnation, GENERATION);
  }

  ScriptedWorker worker(String name, String incarnation, ByteString generation) throws IOException {
    ScriptedWorker worker = unannounced(name, incarnation, generation);
    announce(worker, WorkerEntry.State.SERVING);
    return worker;
  }

  /** Starts a worker of which the directory says nothing yet. */
  ScriptedWorker unannounced(String name, String incarnation, ByteString generation)
      throws IOException {
    ScriptedWorker worker = new ScriptedWorker(name, incarnation, generation);
    workers.add(worker);
    return worker;
  }

  ScriptedWorker worker(String name) throws IOException {
    return worker(name, name + "-incarnation-1");
  }

  void announce(ScriptedWorker worker, WorkerEntry.State state) {
    announce(worker.entry().setState(state).build());
  }

  synchronized void announce(WorkerEntry entry) {
    entries.put(entry.getIncarnation().toStringUtf8(), entry);
    push();
  }

  synchronized void drop(ScriptedWorker worker) {
    entries.remove(worker.entry().getIncarnation().toStringUtf8());
    push();
  }

  synchronized void generations(Generation... oldestFirst) {
    generations = List.of(oldestFirst);
    push();
  }

  /** As if the supervisor had been replaced: no worker of the former is listed. */
  synchronized void replaceSupervisor() {
    supervisor = ByteString.copyFromUtf8("supervisor-2....");
    entries.clear();
    push();
  }

  /** The same, and the new one has this worker. */
  synchronized void replaceSupervisorBy(ScriptedWorker worker, Generation... oldestFirst) {
    supervisor = ByteString.copyFromUtf8("supervisor-2....");
    entries.clear();
    entries.put(
        worker.entry().getIncarnation().toStringUtf8(),
        worker.entry().setState(WorkerEntry.State.SERVING).build());
    generations = List.of(oldestFirst);
    push();
  }

  synchronized void protocols(int min, int max) {
    protocolMin = min;
    protocolMax = max;
  }

  /** Refuses whoever asks next for the directory, and has this worker for those after that. */
  synchronized void refusesOnce(ScriptedWorker worker) {
    afterRefusal = worker.entry().setState(WorkerEntry.State.SERVING).build();
  }

  private void push() {
    watchers.forEach(watcher -> watcher.onNext(state()));
  }

  private DirectoryState state() {
    return DirectoryState.newBuilder()
        .setSupervisorId(supervisor)
        .setServerVersion("9.9")
        .setProtocolMin(protocolMin)
        .setProtocolMax(protocolMax)
        .addAllGenerations(generations)
        .addAllWorkers(entries.values())
        .build();
  }

  @Override
  public synchronized void watch(WatchRequest request, StreamObserver<DirectoryState> observer) {
    if (afterRefusal != null) {
      entries.put(afterRefusal.getIncarnation().toStringUtf8(), afterRefusal);
      afterRefusal = null;
      observer.onError(Status.UNAVAILABLE.asRuntimeException());
      return;
    }
    watchers.add(observer);
    observer.onNext(state());
  }

  /** It has heard it; whether a worker comes is the test's matter. */
  @Override
  public void quarantine(QuarantineRequest request, StreamObserver<QuarantineResponse> observer) {
    observer.onNext(QuarantineResponse.getDefaultInstance());
    observer.onCompleted();
  }

  @Override
  public void describe(DescribeRequest request, StreamObserver<DescribeResponse> observer) {
    throw new UnsupportedOperationException();
  }

  @Override
  public void close() {
    workers.forEach(ScriptedWorker::close);
    server.shutdownNow();
    try {
      server.awaitTermination(5, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    threads.shutdownNow();
  }
}
