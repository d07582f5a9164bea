package io.flinkactions.operator.launch;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One life of a server. What it says goes into this JVM's log. Its standard input is a pipe which
 * the system closes when this JVM ends, however it ends: then the server leaves by itself.
 */
final class ServerProcess implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(ServerProcess.class);

  // With no job left there is nothing that it would have to wait for.
  private static final Duration STOP_LIMIT = Duration.ofSeconds(10);
  private static final Duration LAST_WORDS = Duration.ofSeconds(1);
  private static final int REMEMBERED_LINES = 40;

  private final LaunchSettings settings;
  private final Process process;
  private final Thread reader;
  private final long startedAt = System.nanoTime();
  // Guarded by itself.
  private final ArrayDeque<String> lastLines = new ArrayDeque<>();

  private ServerProcess(LaunchSettings settings, Process process) {
    this.settings = settings;
    this.process = process;
    this.reader = new Thread(this::readLines, "flink-actions-launch-log-" + process.pid());
    reader.setDaemon(true);
    reader.start();
  }

  static ServerProcess start(LaunchSettings settings, String endpoint) throws LaunchException {
    ProcessBuilder builder =
        new ProcessBuilder(settings.command(endpoint)).redirectErrorStream(true);
    if (!settings.folder().isEmpty()) {
      builder.directory(new File(settings.folder()));
    }
    // Else what actions print would come when some kilobytes of it are there.
    builder.environment().put("PYTHONUNBUFFERED", "1");
    try {
      ServerProcess started = adopt(settings, builder.start());
      LOG.info("Launched action server {} at {}: {}", started.process.pid(), endpoint, settings);
      return started;
    } catch (IOException e) {
      throw LaunchException.notStarted(
          settings,
          e.getMessage()
              + ". launch.python and launch.folder are read on the TaskManager's machine",
          e);
    }
  }

  private static ServerProcess adopt(LaunchSettings settings, Process process) {
    try {
      return new ServerProcess(settings, process);
    } catch (RuntimeException | Error e) {
      // No thread to be had, say. Nobody else knows of the process.
      process.destroyForcibly();
      throw e;
    }
  }

  private void readLines() {
    // Workers have this stream too, and may hold it for longer than the process lives.
    try (BufferedReader lines = process.inputReader(StandardCharsets.UTF_8)) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        LOG.info("action server {}: {}", process.pid(), line);
        synchronized (lastLines) {
          lastLines.add(line);
          if (lastLines.size() > REMEMBERED_LINES) {
            lastLines.remove();
          }
        }
      }
    } catch (IOException e) {
      LOG.debug("The output of action server {} has broken off", process.pid(), e);
    }
  }

  /**
   * Waits until it has ended by itself, and says how.
   *
   * @throws LaunchException if it has ended because it cannot serve, which another try would not
   *     change
   */
  String awaitEnd() throws InterruptedException, LaunchException {
    int code = process.waitFor();
    // See the exit codes of `flink-actions`.
    if (code == 1 || code == 2) {
      reader.join(LAST_WORDS.toMillis());
      Duration life = Duration.ofNanos(System.nanoTime() - startedAt);
      throw LaunchException.ended(settings, code, life, lastWords());
    }
    return "exit code " + code;
  }

  /** From where the server explains itself, else all that is remembered. */
  private String lastWords() {
    StringBuilder words = new StringBuilder();
    synchronized (lastLines) {
      for (String line : lastLines) {
        if (line.startsWith("flink-actions")) {
          words.setLength(0);
        }
        words.append(line).append('\n');
      }
    }
    return words.toString().strip();
  }

  /** SIGTERM, and when that does not help within some seconds, the end of it and its workers. */
  @Override
  public void close() {
    // Not by the process itself, which would throw its last words away.
    process.toHandle().destroy();
    try {
      if (process.waitFor(STOP_LIMIT.toMillis(), TimeUnit.MILLISECONDS)) {
        return;
      }
      LOG.warn("Action server {} does not end within {}: killed", process.pid(), STOP_LIMIT);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    process.descendants().forEach(ProcessHandle::destroyForcibly);
    process.destroyForcibly();
  }
}
