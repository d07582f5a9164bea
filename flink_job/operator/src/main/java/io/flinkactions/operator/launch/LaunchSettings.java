package io.flinkactions.operator.launch;

import java.io.Serializable;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * How a server is started. All paths are those of the TaskManagers' machines, where the agents'
 * code has to be.
 *
 * @param targets what it serves, as {@code flink-actions serve} takes it
 * @param python of the environment that has flink-actions and what the agents need
 * @param workers processes that run actions; 0: the server's default
 * @param folder where it is started; empty: where the TaskManager is
 * @param arguments more of {@code flink-actions serve}
 */
public record LaunchSettings(
    List<String> targets, String python, int workers, String folder, List<String> arguments)
    implements Serializable {

  /** Of the environment in which the TaskManager was started. */
  public static final String DEFAULT_PYTHON = "python3";

  public LaunchSettings {
    targets = List.copyOf(targets);
    arguments = List.copyOf(arguments);
    if (targets.isEmpty()) {
      throw new IllegalArgumentException(
          "launch.target is empty; name what to serve, such as agent.py:agent");
    }
    if (python.isBlank()) {
      throw new IllegalArgumentException(
          "launch.python is empty; name the interpreter of the server's environment, such as"
              + " /opt/agents/venv/bin/python");
    }
    if (arguments.stream().anyMatch(it -> it.equals("--listen") || it.startsWith("--listen="))) {
      throw new IllegalArgumentException(
          "launch.arguments has --listen, and the job would look for its server elsewhere: a"
              + " launched server listens where the job says; leave it out, or start the server"
              + " yourself and name its address in endpoints");
    }
    if (workers < 0) {
      throw new IllegalArgumentException(
          "launch.workers is " + workers + "; it must be above 0, or 0 for the server's default");
    }
  }

  /** The defaults, for these targets. */
  public static LaunchSettings of(String... targets) {
    return new LaunchSettings(List.of(targets), DEFAULT_PYTHON, 0, "", List.of());
  }

  public LaunchSettings withPython(String value) {
    return new LaunchSettings(targets, value, workers, folder, arguments);
  }

  public LaunchSettings withWorkers(int value) {
    return new LaunchSettings(targets, python, value, folder, arguments);
  }

  public LaunchSettings withFolder(String value) {
    return new LaunchSettings(targets, python, workers, value, arguments);
  }

  public LaunchSettings withArguments(String... values) {
    return new LaunchSettings(targets, python, workers, folder, List.of(values));
  }

  /** The command that serves at this address for as long as its standard input is open. */
  List<String> command(String endpoint) {
    List<String> command = new ArrayList<>();
    // A bare name is looked up in the PATH; a path would be read from the server's folder.
    command.add(python.contains("/") ? Path.of(python).toAbsolutePath().toString() : python);
    command.addAll(List.of("-m", "flink_actions", "serve"));
    command.addAll(targets);
    command.addAll(List.of("--listen", endpoint, "--exit-with-stdin"));
    if (workers > 0) {
      command.addAll(List.of("--workers", Integer.toString(workers)));
    }
    command.addAll(arguments);
    return command;
  }
}
