package io.flinkactions.operator.session;

import io.grpc.Status;
import java.io.FileNotFoundException;
import java.net.ConnectException;
import java.nio.channels.ClosedChannelException;
import java.util.ArrayList;
import java.util.List;

/** What the status says with which a stream has ended. */
final class StreamEnds {

  private StreamEnds() {}

  /** For people. */
  static String words(Status status) {
    if (status.isOk()) {
      return "the stream ended without Bye";
    }
    // Of netty's "io exception" the second line lists handlers. What has happened is behind it:
    // of a handshake that failed, why the certificate was not taken.
    String text =
        firstLine(
            status.getDescription() == null ? status.getCode().name() : status.getDescription());
    List<String> causes = new ArrayList<>();
    for (Throwable cause = status.getCause(); cause != null; cause = cause.getCause()) {
      String said =
          cause.getMessage() == null
              ? cause.getClass().getSimpleName()
              : firstLine(cause.getMessage());
      if (!text.contains(said) && causes.stream().noneMatch(earlier -> earlier.contains(said))) {
        causes.add(said);
      }
    }
    return causes.isEmpty() ? text : text + " (" + String.join(": ", causes) + ")";
  }

  private static String firstLine(String text) {
    return text.lines().findFirst().orElse("");
  }

  /** Whether there is nobody at the address. */
  static boolean nothingListens(Status status) {
    for (Throwable cause = status.getCause(); cause != null; cause = cause.getCause()) {
      if (cause instanceof ConnectException || cause instanceof FileNotFoundException) {
        return true;
      }
      if (cause instanceof ClosedChannelException) {
        return false;
      }
    }
    return false;
  }
}
