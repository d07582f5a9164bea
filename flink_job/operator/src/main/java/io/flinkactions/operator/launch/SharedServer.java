package io.flinkactions.operator.launch;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.HashSet;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps a server running at one address until it is closed. One that was killed or told to leave is
 * started again, with backoff; one that says that it cannot start has failed for good. A thread of
 * its own sees to that, and ends with the server's process.
 */
final class SharedServer implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(SharedServer.class);

  private static final Duration SHORTEST_WAIT = Duration.ofMillis(100);
  private static final Duration LONGEST_WAIT = Duration.ofSeconds(10);
  // One that has lived for so long is started again without much ado.
  static final Duration GOOD_LIFE = Duration.ofMinutes(1);
  // What stands behind it in the path of a worker's socket takes up to 58 of the 107 bytes that
  // such a path may have.
  private static final int LONGEST_TEMPORARY_FOLDER = 49;

  // Guarded by whoever shares this out.
  final Set<LaunchedServer> shares = new HashSet<>();

  private final LaunchSettings settings;
  private final BiConsumer<SharedServer, LaunchException> onFailure;
  private final Path folder;
  private final Thread thread;

  SharedServer(LaunchSettings settings, BiConsumer<SharedServer, LaunchException> onFailure)
      throws IOException {
    this.settings = settings;
    this.onFailure = onFailure;
    this.folder = socketFolder();
    this.thread = new Thread(this::run, "flink-actions-launch-" + settings.targets().get(0));
    thread.setDaemon(true);
    thread.start();
  }

  /** Of its own, and nobody else's to look into. */
  private static Path socketFolder() throws IOException {
    Path temporary = Path.of(System.getProperty("java.io.tmpdir")).toAbsolutePath();
    int length = temporary.toString().getBytes(StandardCharsets.UTF_8).length;
    return Files.createTempDirectory(
        length <= LONGEST_TEMPORARY_FOLDER ? temporary : Path.of("/tmp"), "actions-");
  }

  LaunchSettings settings() {
    return settings;
  }

  String endpoint() {
    return "unix:" + folder.resolve("server.sock");
  }

  private void run() {
    try {
      keepRunning();
    } catch (InterruptedException e) {
      // Closed.
    } catch (LaunchException e) {
      onFailure.accept(this, e);
    } catch (RuntimeException | Error e) {
      // Else the job would wait for a server that nobody starts.
      onFailure.accept(this, LaunchException.notStarted(settings, e.toString(), e));
    } finally {
      deleteFolder();
    }
  }

  private void keepRunning() throws InterruptedException, LaunchException {
    Duration wait = SHORTEST_WAIT;
    while (true) {
      long began = System.nanoTime();
      String end;
      // An interrupt ends the process, too.
      try (ServerProcess process = ServerProcess.start(settings, endpoint())) {
        end = process.awaitEnd();
      }
      if (System.nanoTime() - began > GOOD_LIFE.toNanos()) {
        wait = SHORTEST_WAIT;
      }
      LOG.warn(
          "The launched action server has ended ({}); next start in {} ms", end, wait.toMillis());
      Thread.sleep(wait.toMillis());
      wait = wait.multipliedBy(2);
      wait = wait.compareTo(LONGEST_WAIT) < 0 ? wait : LONGEST_WAIT;
    }
  }

  /** Ends the process and waits for its end, which is near: see {@link ServerProcess#close}. */
  @Override
  public void close() {
    thread.interrupt();
    try {
      thread.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private void deleteFolder() {
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : (Iterable<Path>) files.sorted(Comparator.reverseOrder())::iterator) {
        Files.deleteIfExists(file);
      }
    } catch (IOException | UncheckedIOException e) {
      LOG.warn("{} could not be removed", folder, e);
    }
  }
}
