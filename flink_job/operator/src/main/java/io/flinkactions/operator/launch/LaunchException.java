package io.flinkactions.operator.launch;

/** A server that the job was to start, and that does not start. Names why in the server's words. */
public final class LaunchException extends Exception {
  private static final long serialVersionUID = 1;

  LaunchException(LaunchSettings settings, String detail, Throwable cause) {
    super(
        "The action server that this job launches ("
            + settings.python()
            + " -m flink_actions serve "
            + String.join(" ", settings.targets())
            + ") does not start: "
            + detail,
        cause);
  }
}
