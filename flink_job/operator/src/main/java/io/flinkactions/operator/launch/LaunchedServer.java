package io.flinkactions.operator.launch;

import java.io.IOException;
import java.util.HashMap;
import java.util.Map;

/**
 * A subtask's share in the server that was launched for it and for all others in this JVM which
 * have the same settings: the first share starts it, the last one that is closed ends it.
 */
public final class LaunchedServer implements AutoCloseable {

  // Of this class loader. Flink has one per job, so that each job has a server of its own, unless
  // the jar lies in Flink's own lib folder.
  private static final Map<LaunchSettings, SharedServer> SERVERS = new HashMap<>();

  private final SharedServer server;
  private final Runnable onFailure;
  private volatile LaunchException failure;

  private LaunchedServer(SharedServer server, Runnable onFailure) {
    this.server = server;
    this.onFailure = onFailure;
  }

  /**
   * Begins a share, and does not wait until the server serves.
   *
   * @param onFailure called on a thread of the server's if {@link #check} has something to say
   */
  public static LaunchedServer open(LaunchSettings settings, Runnable onFailure)
      throws IOException {
    synchronized (SERVERS) {
      SharedServer server = SERVERS.get(settings);
      if (server == null) {
        server = new SharedServer(settings, LaunchedServer::failed);
        SERVERS.put(settings, server);
      }
      LaunchedServer share = new LaunchedServer(server, onFailure);
      server.shares.add(share);
      return share;
    }
  }

  private static void failed(SharedServer server, LaunchException failure) {
    LaunchedServer[] shares;
    synchronized (SERVERS) {
      // Whoever comes now, a job that was restarted say, tries again.
      SERVERS.remove(server.settings(), server);
      shares = server.shares.toArray(LaunchedServer[]::new);
    }
    for (LaunchedServer share : shares) {
      share.failure = failure;
      share.onFailure.run();
    }
  }

  /** Where the server listens, or will in a moment. */
  public String endpoint() {
    return server.endpoint();
  }

  /** Throws if the server cannot be started; it is not tried again then. */
  public void check() throws LaunchException {
    if (failure != null) {
      throw failure;
    }
  }

  /** Ends the share, and with the last one the server. */
  @Override
  public void close() {
    synchronized (SERVERS) {
      if (!server.shares.remove(this) || !server.shares.isEmpty()) {
        return;
      }
      SERVERS.remove(server.settings(), server);
    }
    server.close();
  }
}
