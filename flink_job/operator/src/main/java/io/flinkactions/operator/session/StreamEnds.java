package io.flinkactions.operator.session;

import io.grpc.Status;
import java.io.FileNotFoundException;
import java.net.ConnectException;
import java.nio.channels.ClosedChannelException;

/** What the status says with which a stream has ended. */
final class StreamEnds {

  private StreamEnds() {}

  /** For people. */
  static String words(Status status) {
    if (status.isOk()) {
      return "the stream ended without Bye";
    }
    String text =
        status.getDescription() == null ? status.getCode().name() : status.getDescription();
    Throwable cause = status.getCause();
    return cause == null || cause.getMessage() == null
        ? text
        : text + " (" + cause.getMessage() + ")";
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
