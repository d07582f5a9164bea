package io.flinkactions.operator.session;

import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.regex.Pattern;

/**
 * How a subtask reaches its action server. Read once from the job's configuration, then passed on.
 *
 * @param endpoints addresses of the servers: {@code host:port}, {@code unix:/path}, or any gRPC
 *     target such as {@code dns:///name:port}. A subtask begins with {@code endpoints[subtask %
 *     n]}, and goes on to the next when it has not been reached for {@code connectTimeout}
 * @param reconnectTimeout how long there may be no worker at all before the job fails
 * @param connectTimeout longest time for one connection to be made and the peer to say its first
 *     word: the directory its state, a worker its Welcome
 * @param pingInterval how often a quiet session is asked whether it lives
 * @param pingTimeout how long an unanswered Ping is waited for. Generous, because code that blocks
 *     a worker's event loop is not a dead worker
 * @param grace how much longer than the worker's own linger time a silent worker is waited for
 *     before its work goes elsewhere
 * @param closeTimeout how long closing waits for the peers to say goodbye
 * @param maxFrameBytes largest frame that this side takes; what it may send, the worker says
 * @param security how connections are protected
 */
public record SessionSettings(
    List<String> endpoints,
    Duration reconnectTimeout,
    Duration connectTimeout,
    Duration pingInterval,
    Duration pingTimeout,
    Duration grace,
    Duration closeTimeout,
    int maxFrameBytes,
    ChannelSecurity security) {

  private static final Pattern ADDRESS = Pattern.compile("unix:.+|[a-z]+://.*|[^/]+:\\d+");

  public SessionSettings {
    endpoints = List.copyOf(endpoints);
    if (endpoints.isEmpty()) {
      throw new IllegalArgumentException(
          "endpoints is empty: name at least one server, such as localhost:7077");
    }
    for (String endpoint : endpoints) {
      if (!ADDRESS.matcher(endpoint).matches()) {
        throw new IllegalArgumentException(
            "endpoint is \""
                + endpoint
                + "\": it must be host:port, unix:/path or a gRPC target such as dns:///name:port");
      }
    }
    Objects.requireNonNull(reconnectTimeout);
    if (maxFrameBytes < 64 * 1024) {
      throw new IllegalArgumentException(
          "max frame bytes is " + maxFrameBytes + ": less than 64 KiB cannot hold a plan");
    }
  }

  /** The defaults, for these endpoints. */
  public static SessionSettings of(String... endpoints) {
    return new SessionSettings(
        List.of(endpoints),
        Duration.ofMinutes(2),
        Duration.ofSeconds(5),
        Duration.ofSeconds(3),
        Duration.ofSeconds(30),
        Duration.ofSeconds(2),
        Duration.ofSeconds(1),
        16 << 20,
        ChannelSecurity.NONE);
  }

  public SessionSettings withReconnectTimeout(Duration value) {
    return changed(copy -> copy.reconnectTimeout = value);
  }

  public SessionSettings withConnectTimeout(Duration value) {
    return changed(copy -> copy.connectTimeout = value);
  }

  public SessionSettings withPing(Duration interval, Duration timeout) {
    return changed(
        copy -> {
          copy.pingInterval = interval;
          copy.pingTimeout = timeout;
        });
  }

  public SessionSettings withGrace(Duration value) {
    return changed(copy -> copy.grace = value);
  }

  public SessionSettings withMaxFrameBytes(int value) {
    return changed(copy -> copy.maxFrameBytes = value);
  }

  public SessionSettings withSecurity(ChannelSecurity value) {
    return changed(copy -> copy.security = value);
  }

  private SessionSettings changed(Consumer<Copy> change) {
    Copy copy = new Copy(this);
    change.accept(copy);
    return new SessionSettings(
        endpoints,
        copy.reconnectTimeout,
        copy.connectTimeout,
        copy.pingInterval,
        copy.pingTimeout,
        copy.grace,
        closeTimeout,
        copy.maxFrameBytes,
        copy.security);
  }

  /** What can be changed, until it has been. */
  private static final class Copy {
    Duration reconnectTimeout;
    Duration connectTimeout;
    Duration pingInterval;
    Duration pingTimeout;
    Duration grace;
    int maxFrameBytes;
    ChannelSecurity security;

    Copy(SessionSettings settings) {
      reconnectTimeout = settings.reconnectTimeout;
      connectTimeout = settings.connectTimeout;
      pingInterval = settings.pingInterval;
      pingTimeout = settings.pingTimeout;
      grace = settings.grace;
      maxFrameBytes = settings.maxFrameBytes;
      security = settings.security;
    }
  }
}
