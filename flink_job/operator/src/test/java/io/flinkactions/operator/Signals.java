package io.flinkactions.operator;

import java.io.IOException;
import java.io.UncheckedIOException;

/** Signals that Java has no word for. */
public final class Signals {

  private Signals() {}

  /**
   * Sends a signal.
   *
   * @param name such as "STOP"
   * @return whether there is such a process
   */
  public static boolean send(Process process, String name) {
    try {
      String pid = Long.toString(process.pid());
      return new ProcessBuilder("kill", "-" + name, pid).start().onExit().join().exitValue() == 0;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
