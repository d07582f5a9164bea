package io.flinkactions.operator.session;

import io.grpc.Attributes;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.ManagedChannelRegistry.ProviderNotFoundException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.EventLoopGroup;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.util.concurrent.TimeUnit;

/** Opens connections, and reads the addresses that a directory gives. */
final class Channels {

  private Channels() {}

  /**
   * A channel for one attempt. A new one each time, because a channel keeps a back-off, a resolved
   * name and a failure of its own, and would answer from them; this side decides when to try again,
   * and nobody else.
   *
   * @param endpoint the server that the job was given, of which the target is a part
   * @param loops of {@link EventLoops}, until the channel is closed
   * @throws IllegalArgumentException if the target is no address
   * @throws SessionException.Unauthenticated if a file of {@code security} cannot be read, or is
   *     not what it should be
   */
  static ManagedChannel open(
      String target,
      String endpoint,
      ChannelSecurity security,
      int maxMessageBytes,
      EventLoopGroup loops) {
    ManagedChannelBuilder<?> channel;
    try {
      channel = Grpc.newChannelBuilder(target, security.credentials(target));
    } catch (ProviderNotFoundException | IllegalArgumentException e) {
      // What is no certificate comes as either; the target has been looked at before.
      throw security.protects(target) ? security.unusable(e) : e;
    }
    if (channel instanceof NettyChannelBuilder netty) {
      netty.eventLoopGroup(loops);
      if (!target.startsWith("unix:")) {
        netty.channelType(EventLoops.TCP_CHANNEL, InetSocketAddress.class);
      }
    }
    String authority = security.authority(target, endpoint);
    if (authority != null) {
      channel.overrideAuthority(authority);
    }
    return channel
        .intercept(security.interceptors())
        // Parsing on netty's thread saves a hop; nothing that runs there blocks.
        .directExecutor()
        .disableRetry()
        .disableServiceConfigLookUp()
        .proxyDetector(address -> null)
        .maxInboundMessageSize(maxMessageBytes)
        .userAgent("flink-actions-operator")
        .build();
  }

  static void close(ManagedChannel channel, long deadlineNanos) {
    channel.shutdownNow();
    try {
      channel.awaitTermination(
          Math.max(0, deadlineNanos - System.nanoTime()), TimeUnit.NANOSECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /**
   * A worker's address as this side can use it: ":port" is a port of the host that the directory
   * was read from.
   *
   * @param directory attributes of the directory's stream: whom a name with several addresses has
   *     led to, only the socket knows
   */
  static String resolve(String address, Attributes directory) {
    if (!address.startsWith(":")) {
      return address;
    }
    SocketAddress remote = directory.get(Grpc.TRANSPORT_ATTR_REMOTE_ADDR);
    if (remote instanceof InetSocketAddress inet && inet.getAddress() != null) {
      String host = inet.getAddress().getHostAddress();
      return (host.indexOf(':') >= 0 ? "[" + host + "]" : host) + address;
    }
    return "localhost" + address;
  }
}
