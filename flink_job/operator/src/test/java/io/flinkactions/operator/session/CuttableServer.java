package io.flinkactions.operator.session;

import io.flinkactions.wire.v1.DirectoryGrpc;
import io.flinkactions.wire.v1.DirectoryState;
import io.flinkactions.wire.v1.Generation;
import io.flinkactions.wire.v1.WatchRequest;
import io.flinkactions.wire.v1.WorkerEntry;
import io.grpc.ManagedChannel;
import java.io.IOException;
import java.time.Duration;

/** The way to the only worker of a real server, which can be cut. */
public final class CuttableServer implements AutoCloseable {
  private final ScriptedServer directory = new ScriptedServer();
  private final CuttableProxy network;

  public CuttableServer(String endpoint) throws IOException {
    WorkerEntry real = onlyWorkerOf(endpoint);
    String address = real.getAddress();
    network = new CuttableProxy(Integer.parseInt(address.substring(address.indexOf(':') + 1)));
    directory.generations(Generation.newBuilder().setId(real.getGeneration()).build());
    directory.announce(real.toBuilder().setAddress(":" + network.port()).build());
  }

  static WorkerEntry onlyWorkerOf(String endpoint) {
    ManagedChannel channel =
        Channels.open(endpoint, endpoint, ChannelSecurity.NONE, 1 << 20, EventLoops.acquire());
    try {
      DirectoryState state =
          DirectoryGrpc.newBlockingStub(channel)
              .withDeadlineAfter(Duration.ofSeconds(10))
              .watch(WatchRequest.newBuilder().setProtocolMin(1).setProtocolMax(1).build())
              .next();
      if (state.getWorkersCount() != 1) {
        throw new IllegalStateException("the server has not one worker: " + state);
      }
      return state.getWorkers(0);
    } finally {
      Channels.close(channel, System.nanoTime());
      EventLoops.release(System.nanoTime());
    }
  }

  /** Where jobs find the directory. */
  public String endpoint() {
    return directory.endpoint();
  }

  /** Breaks every connection to the worker; new ones can be made at once. */
  public void cut() throws IOException {
    network.cut();
  }

  /** What jobs have sent to the worker. */
  public long bytesToWorker() {
    return network.bytesToWorker();
  }

  @Override
  public void close() throws IOException {
    network.close();
    directory.close();
  }
}
