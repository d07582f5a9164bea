package io.flinkactions.operator.launch;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** An agent to be launched from the environment that all tests have their servers from. */
public final class LaunchedAgent {

  private static final long LIMIT_SECONDS = 30;

  private LaunchedAgent() {}

  /** Settings that launch the agent of this source, which is put into the folder. */
  public static LaunchSettings in(Path folder, String source) throws IOException {
    Path file = Files.writeString(folder.resolve("agent.py"), source);
    return LaunchSettings.of(file + ":agent").withPython(python());
  }

  static String python() {
    return Path.of(System.getProperty("flinkactions.server")).resolveSibling("python").toString();
  }

  /** The server's process, once it listens. */
  static ProcessHandle awaitListening(String endpoint) throws Exception {
    Path socket = Path.of(endpoint.substring("unix:".length()));
    return await(
        () -> Files.exists(socket) ? find(endpoint) : Optional.empty(), "a server at " + endpoint);
  }

  /** The server's process, once it is another one than this. */
  static ProcessHandle awaitAnother(String endpoint, ProcessHandle than) throws Exception {
    return await(
        () -> find(endpoint).filter(process -> !process.equals(than)),
        "another server at " + endpoint);
  }

  /** Waits for what has ended to be gone. */
  static void awaitEnd(ProcessHandle process) throws Exception {
    process.onExit().get(LIMIT_SECONDS, TimeUnit.SECONDS);
  }

  /** The process that was started with something like this on its command line, if there is one. */
  public static Optional<ProcessHandle> find(String argument) {
    return ProcessHandle.allProcesses()
        .filter(process -> process.info().commandLine().orElse("").contains(argument))
        .filter(process -> process.info().commandLine().orElse("").contains("flink_actions serve"))
        .findFirst();
  }

  private static <T> T await(Supplier<Optional<T>> look, String what) throws Exception {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_SECONDS);
    while (System.nanoTime() < deadline) {
      Optional<T> found = look.get();
      if (found.isPresent()) {
        return found.get();
      }
      Thread.sleep(10);
    }
    throw new AssertionError("not within " + LIMIT_SECONDS + " s: " + what);
  }
}
