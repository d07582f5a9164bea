package io.flinkactions.operator;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.stream.IntStream;

/** Ports for those who have to be told theirs before they bind it. */
public final class FreePorts {

  // Below those that systems give to whoever asks for any: nobody else is given one before it is
  // bound. Each comes once.
  private static final Iterator<Integer> CANDIDATES = candidates();

  private FreePorts() {}

  private static Iterator<Integer> candidates() {
    List<Integer> ports = new ArrayList<>(IntStream.range(10_000, 32_768).boxed().toList());
    Collections.shuffle(ports);
    return ports.iterator();
  }

  /** A port of the loopback that is free. */
  public static synchronized int next() {
    while (true) {
      int port = CANDIDATES.next();
      try (ServerSocket socket = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
        return socket.getLocalPort();
      } catch (IOException e) {
        // Somebody has it: the next one.
      }
    }
  }
}
