package io.flinkactions.operator.launch;

import java.time.Duration;

/**
 * A server that the job was to start, and that does not start, or has ended for good. Names why, in
 * the server's words if it has said any.
 */
public final class LaunchException extends Exception {
  private static final long serialVersionUID = 1;

  private LaunchException(LaunchSettings settings, String what, Throwable cause) {
    super(
        "The action server that this job launches ("
            + settings.python()
            + " -m flink_actions serve "
            + String.join(" ", settings.targets())
            + ") "
            + what,
        cause);
  }

  static LaunchException notStarted(LaunchSettings settings, String detail, Throwable cause) {
    return new LaunchException(settings, "does not start: " + detail, cause);
  }

  /** It has ended by itself, as one that cannot serve. */
  static LaunchException ended(
      LaunchSettings settings, int exitCode, Duration life, String lastWords) {
    if (life.compareTo(SharedServer.GOOD_LIFE) <= 0) {
      return notStarted(settings, lastWords, null);
    }
    return new LaunchException(
        settings,
        "has ended with exit code "
            + exitCode
            + ", "
            + life.toSeconds()
            + " s after its start: "
            + lastWords,
        null);
  }
}
