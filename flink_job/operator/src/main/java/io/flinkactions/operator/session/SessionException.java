package io.flinkactions.operator.session;

import java.time.Duration;

/**
 * Why a job cannot talk to its server. Each names the thing, the value and the way out.
 *
 * <pre>
 * SessionException
 * ├── ServerUnreachable      nobody there for reconnect-timeout
 * ├── NotAnActionServer      something else answers at the address
 * ├── ProtocolVersion        no common version
 * ├── UnknownAgent           the server offers no such agent
 * ├── StaleEpoch             a later start of this subtask is known: this one must end
 * ├── NamespaceInUse         another job is live under this namespace
 * ├── PlanMismatch           the server offers another plan than the job insists on
 * ├── ContentTypeRefused     one side needs a content type that the other does not take
 * ├── Unauthenticated        the server does not accept this job
 * ├── ProtocolViolation      a frame broke a rule of session.proto: a bug on one side
 * ├── MessageTooLarge        one Invoke exceeds the frame limit; the session goes on
 * └── Defect                 a bug in this package
 * </pre>
 */
public abstract sealed class SessionException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private SessionException(String message, Throwable cause) {
    super(message, cause);
  }

  public static final class ServerUnreachable extends SessionException {
    private static final long serialVersionUID = 1;

    public ServerUnreachable(String endpoints, Duration waited, String detail, Throwable cause) {
      super(
          "No worker of the action server at "
              + endpoints
              + " could be reached for "
              + waited.toMillis() / 1000.0
              + " s (reconnect-timeout). Last error: "
              + detail
              + ". Start it with `flink-actions serve`, or correct the job's endpoint",
          cause);
    }
  }

  public static final class NotAnActionServer extends SessionException {
    private static final long serialVersionUID = 1;

    public NotAnActionServer(String address, String detail, Throwable cause) {
      super(
          "What answers at "
              + address
              + " is not an action server: "
              + detail
              + ". Is the endpoint's port the one `flink-actions serve` prints?",
          cause);
    }
  }

  public static final class ProtocolVersion extends SessionException {
    private static final long serialVersionUID = 1;

    public ProtocolVersion(String message) {
      super(message, null);
    }
  }

  public static final class UnknownAgent extends SessionException {
    private static final long serialVersionUID = 1;

    public UnknownAgent(String message) {
      super(message, null);
    }
  }

  public static final class StaleEpoch extends SessionException {
    private static final long serialVersionUID = 1;

    public StaleEpoch(String message) {
      super(message, null);
    }
  }

  public static final class NamespaceInUse extends SessionException {
    private static final long serialVersionUID = 1;

    public NamespaceInUse(String message) {
      super(message, null);
    }
  }

  public static final class PlanMismatch extends SessionException {
    private static final long serialVersionUID = 1;

    public PlanMismatch(String message) {
      super(message, null);
    }
  }

  public static final class ContentTypeRefused extends SessionException {
    private static final long serialVersionUID = 1;

    public ContentTypeRefused(String message) {
      super(message, null);
    }
  }

  public static final class Unauthenticated extends SessionException {
    private static final long serialVersionUID = 1;

    public Unauthenticated(String message, Throwable cause) {
      super(message, cause);
    }
  }

  public static final class ProtocolViolation extends SessionException {
    private static final long serialVersionUID = 1;

    public ProtocolViolation(String message) {
      super(message, null);
    }
  }

  /** Better a failed task than one that waits for ever. */
  public static final class Defect extends SessionException {
    private static final long serialVersionUID = 1;

    public Defect(RuntimeException cause) {
      super("A bug in the operator's session with its server: " + cause, cause);
    }
  }

  /** Thrown by {@link WorkerSession#queue} before anything is sent. */
  public static final class MessageTooLarge extends SessionException {
    private static final long serialVersionUID = 1;

    public MessageTooLarge(String action, String key, int bytes, int limit) {
      super(
          "The invocation of action "
              + action
              + " for key "
              + key
              + " takes "
              + bytes
              + " bytes on the wire; its worker takes at most "
              + limit
              + ". Send less in one event or keep less in memory, or raise the server's"
              + " --max-frame-bytes",
          null);
    }
  }
}
