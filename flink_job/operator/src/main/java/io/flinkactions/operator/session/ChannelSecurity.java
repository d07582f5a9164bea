package io.flinkactions.operator.session;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;
import java.io.Serializable;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * How a subtask shows the server who it is, and makes sure of the server. Files are those of the
 * task manager's machine, and are read for each connection: a certificate that was renewed counts
 * from the next one on.
 *
 * @param isTls connections are encrypted; sockets of the file system never are
 * @param ca file of authorities (PEM), one of which has signed the server's certificate; empty: the
 *     JVM's own
 * @param certificate file of the certificate (PEM) that is shown to the server; empty: none
 * @param key file of its private key (PEM)
 * @param serverName in the server's certificate; empty: the host of the endpoint
 * @param tokenFile file of the token that the server asks for; empty: none
 */
public record ChannelSecurity(
    boolean isTls, String ca, String certificate, String key, String serverName, String tokenFile)
    implements Serializable {

  private static final long serialVersionUID = 1L;
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /** Neither encrypted nor asked for a token. */
  public static final ChannelSecurity NONE = new ChannelSecurity(false, "", "", "", "", "");

  /** What goes together has to be there together. */
  public ChannelSecurity {
    if (certificate.isEmpty() != key.isEmpty()) {
      throw new IllegalArgumentException(
          "tls.certificate is '" + certificate + "' and tls.key '" + key + "'; give both or none");
    }
    boolean needsTls = !ca.isEmpty() || !certificate.isEmpty() || !serverName.isEmpty();
    if (needsTls && !isTls) {
      throw new IllegalArgumentException(
          "tls.enabled is false, and tls.ca, tls.certificate or tls.server-name is set; set"
              + " tls.enabled to true, or leave them out");
    }
  }

  /**
   * For connections to this target.
   *
   * @throws SessionException.Unauthenticated if a file cannot be read
   */
  ChannelCredentials credentials(String target) {
    if (!protects(target)) {
      return InsecureChannelCredentials.create();
    }
    TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
    String reading = ca;
    try {
      if (!ca.isEmpty()) {
        tls.trustManager(new File(ca));
      }
      if (!certificate.isEmpty()) {
        reading = certificate + ", " + key;
        tls.keyManager(new File(certificate), new File(key));
      }
    } catch (IOException e) {
      throw unreadable("agent.tls", reading, e);
    }
    return tls.build();
  }

  /** Whether connections to this target are encrypted: sockets have their permissions. */
  boolean protects(String target) {
    return isTls && !target.startsWith("unix:");
  }

  /**
   * The name that the certificate of whoever answers has to have; null to go by the target.
   *
   * @param endpoint the server's address as the job has it: a worker's own names a number only
   */
  String authority(String target, String endpoint) {
    if (!protects(target)) {
      return null;
    }
    if (!serverName.isEmpty()) {
      return serverName;
    }
    String address = endpoint.substring(endpoint.lastIndexOf('/') + 1);
    return address.substring(0, address.lastIndexOf(':'));
  }

  /**
   * What every call has to bring.
   *
   * @throws SessionException.Unauthenticated if the token cannot be read
   */
  List<ClientInterceptor> interceptors() {
    if (tokenFile.isEmpty()) {
      return List.of();
    }
    try {
      return List.of(
          new Bearer(Files.readString(Path.of(tokenFile), StandardCharsets.US_ASCII).strip()));
    } catch (IOException e) {
      throw unreadable("agent.token-file", tokenFile, e);
    }
  }

  private static SessionException unreadable(String setting, String file, IOException cause) {
    return new SessionException.Unauthenticated(
        setting
            + " names "
            + file
            + ", which cannot be read on this task manager: "
            + cause
            + ". Mount it there, or correct the name",
        cause);
  }

  /** Of files that were read, and are no certificates and no key. */
  SessionException unusable(RuntimeException cause) {
    return new SessionException.Unauthenticated(
        "agent.tls names "
            + Stream.of(ca, certificate, key)
                .filter(file -> !file.isEmpty())
                .collect(Collectors.joining(", "))
            + ", of which one is not what it should be: a file with certificates, or with the"
            + " unencrypted private key of the job's own, in PEM: "
            + cause.getMessage(),
        cause);
  }

  private static final class Bearer implements ClientInterceptor {

    private final String header;

    Bearer(String token) {
      this.header = "Bearer " + token;
    }

    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(
        MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
        @Override
        public void start(Listener<A> listener, Metadata headers) {
          headers.put(AUTHORIZATION, header);
          super.start(listener, headers);
        }
      };
    }
  }
}
