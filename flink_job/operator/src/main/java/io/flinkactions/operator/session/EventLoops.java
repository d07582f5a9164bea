package io.flinkactions.operator.session;

import io.grpc.netty.shaded.io.netty.channel.Channel;
import io.grpc.netty.shaded.io.netty.channel.EventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.IoHandlerFactory;
import io.grpc.netty.shaded.io.netty.channel.MultiThreadIoEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.epoll.Epoll;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollIoHandler;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.nio.NioIoHandler;
import io.grpc.netty.shaded.io.netty.channel.socket.nio.NioSocketChannel;
import io.grpc.netty.shaded.io.netty.util.concurrent.DefaultThreadFactory;
import java.util.concurrent.TimeUnit;

/**
 * The threads that read and write sockets: shared by all subtasks of a job in this JVM, and ended
 * with the last of them.
 *
 * <p>Those that gRPC would share end a second after the last channel. When a job has left a
 * TaskManager its class loader is closed by then, and a thread that needs one more class to end
 * dies of that: with Flink's {@code cluster.uncaught-exception-handling: FAIL} its TaskManager
 * would, too, and with it other jobs.
 */
final class EventLoops {
  private static final boolean HAS_EPOLL = Epoll.isAvailable();

  /** Of connections by TCP. */
  static final Class<? extends Channel> TCP_CHANNEL =
      HAS_EPOLL ? EpollSocketChannel.class : NioSocketChannel.class;

  private static EventLoopGroup group;
  private static int users;

  private EventLoops() {}

  /** Each call is to be followed by one of {@link #release}. */
  static synchronized EventLoopGroup acquire() {
    if (users++ == 0) {
      IoHandlerFactory handlers =
          HAS_EPOLL ? EpollIoHandler.newFactory() : NioIoHandler.newFactory();
      // As many as netty thinks right; each starts with its first connection.
      group =
          new MultiThreadIoEventLoopGroup(
              0, new DefaultThreadFactory("flink-actions-io", true), handlers);
    }
    return group;
  }

  /** The last one ends the threads, and waits for that until the deadline at most. */
  static void release(long deadlineNanos) {
    EventLoopGroup ending;
    synchronized (EventLoops.class) {
      if (--users > 0) {
        return;
      }
      ending = group;
      group = null;
    }
    ending.shutdownGracefully(0, 0, TimeUnit.SECONDS);
    try {
      ending.awaitTermination(Math.max(0, deadlineNanos - System.nanoTime()), TimeUnit.NANOSECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
