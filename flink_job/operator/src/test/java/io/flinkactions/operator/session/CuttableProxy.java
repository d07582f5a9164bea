package io.flinkactions.operator.session;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A network between two processes that can be cut: connections break, and new ones are made at
 * once.
 */
final class CuttableProxy implements AutoCloseable {
  private final ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
  private final InetSocketAddress target;
  private final List<Socket> sockets = new CopyOnWriteArrayList<>();
  private final AtomicLong bytesToWorker = new AtomicLong();

  CuttableProxy(int targetPort) throws IOException {
    target = new InetSocketAddress(InetAddress.getLoopbackAddress(), targetPort);
    start("accept", this::accept);
  }

  int port() {
    return listener.getLocalPort();
  }

  void cut() throws IOException {
    for (Socket socket : sockets) {
      socket.close();
    }
    sockets.clear();
  }

  private void accept() throws IOException {
    while (true) {
      Socket client = listener.accept();
      Socket server = new Socket();
      server.connect(target);
      sockets.add(client);
      sockets.add(server);
      start("to worker", () -> copy(client, server, bytesToWorker));
      start("to operator", () -> copy(server, client, new AtomicLong()));
    }
  }

  long bytesToWorker() {
    return bytesToWorker.get();
  }

  private static void copy(Socket from, Socket to, AtomicLong bytes) throws IOException {
    try (from;
        to) {
      InputStream in = from.getInputStream();
      OutputStream out = to.getOutputStream();
      byte[] buffer = new byte[16 << 10];
      for (int read; (read = in.read(buffer)) >= 0; ) {
        out.write(buffer, 0, read);
        bytes.addAndGet(read);
      }
    }
  }

  @Override
  public void close() throws IOException {
    listener.close();
    cut();
  }

  private interface Task {
    void run() throws IOException;
  }

  private static void start(String name, Task task) {
    Thread thread =
        new Thread(
            () -> {
              try {
                task.run();
              } catch (IOException e) {
                // Cut, or closed.
              }
            },
            "proxy " + name);
    thread.setDaemon(true);
    thread.start();
  }
}
