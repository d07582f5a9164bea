package io.flinkactions.operator;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * The real action server, as a process of its own, serving an agent that the test has written. The
 * address stays the same over restarts. Use in try-with-resources: no process is left behind.
 */
public final class ActionServerProcess implements AutoCloseable {

  private static final Duration START_LIMIT = Duration.ofSeconds(30);
  private static final Duration STOP_LIMIT = Duration.ofSeconds(20);

  private final Path folder;
  private final String endpoint;
  private final String[] options;
  private Process process;
  private int starts;

  private ActionServerProcess(Path folder, String endpoint, String... options) {
    this.folder = folder;
    this.endpoint = endpoint;
    this.options = options;
  }

  /**
   * Starts a server and waits until it serves.
   *
   * @param agentSource a Python module that binds the agent to {@code agent}
   * @param options of {@code flink-actions serve}
   */
  public static ActionServerProcess serving(String agentSource, String... options)
      throws Exception {
    ActionServerProcess server =
        new ActionServerProcess(
            Files.createTempDirectory("action-server"), "127.0.0.1:" + FreePorts.next(), options);
    server.start(agentSource);
    return server;
  }

  /** "host:port". */
  public String endpoint() {
    return endpoint;
  }

  /** A folder of this server's own, for what its actions write. */
  public Path folder() {
    return folder;
  }

  /** How many files with this prefix actions have written into {@link #folder}. */
  public int fileCount(String prefix) {
    String[] names = folder.toFile().list((dir, name) -> name.startsWith(prefix));
    return names == null ? 0 : names.length;
  }

  /** Starts the server again, with other code. */
  public void start(String agentSource) throws Exception {
    if (process != null && process.isAlive()) {
      throw new IllegalStateException("the server at " + endpoint + " still runs");
    }
    Files.writeString(folder.resolve("agent.py"), agentSource);
    Path log = folder.resolve("server-" + starts++ + ".log");
    List<String> command = new ArrayList<>();
    command.add(System.getProperty("flinkactions.server"));
    command.addAll(List.of("serve", "agent.py:agent", "--listen", endpoint));
    command.addAll(List.of(options));
    process =
        new ProcessBuilder(command)
            .directory(folder.toFile())
            .redirectErrorStream(true)
            .redirectOutput(log.toFile())
            .start();
    awaitServing(log);
  }

  private void awaitServing(Path log) throws Exception {
    long deadline = System.nanoTime() + START_LIMIT.toNanos();
    while (!Files.readString(log).contains("serving ")) {
      if (!process.isAlive() || System.nanoTime() > deadline) {
        String said = Files.readString(log);
        close();
        throw new IllegalStateException("the server did not start:\n" + said);
      }
      Thread.sleep(20);
    }
  }

  /** Ends it as an operator of servers would: SIGTERM, and it drains. */
  public void stop() throws Exception {
    process.destroy();
    if (!process.waitFor(STOP_LIMIT.toMillis(), TimeUnit.MILLISECONDS)) {
      throw new IllegalStateException("the server at " + endpoint + " does not end:\n" + log());
    }
  }

  /** Ends it and its workers without a chance to say anything. */
  public void kill() {
    List<ProcessHandle> workers = process.descendants().toList();
    process.destroyForcibly();
    workers.forEach(ProcessHandle::destroyForcibly);
    process.onExit().join();
  }

  /** Kills its workers; it starts others. */
  public void killWorkers() {
    process.descendants().forEach(ProcessHandle::destroyForcibly);
  }

  /** All that the server has said, over its restarts. */
  public String log() throws IOException {
    StringBuilder said = new StringBuilder();
    for (int i = 0; i < starts; i++) {
      said.append(Files.readString(folder.resolve("server-" + i + ".log")));
    }
    return said.toString();
  }

  @Override
  public void close() throws IOException {
    kill();
    try (Stream<Path> files = Files.walk(folder)) {
      files.sorted(Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
    }
  }
}
