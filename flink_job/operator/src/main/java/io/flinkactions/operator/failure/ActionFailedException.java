package io.flinkactions.operator.failure;

/** An action failed and its policy is to fail the job. */
public final class ActionFailedException extends Exception {

  private static final long serialVersionUID = 1L;

  private final transient ActionFailure failure;

  ActionFailedException(ActionFailure failure, Throwable cause) {
    super(describe(failure), cause);
    this.failure = failure;
  }

  /**
   * What failed; null in an exception that was sent over the network, whose message says the same.
   */
  public ActionFailure failure() {
    return failure;
  }

  private static String describe(ActionFailure failure) {
    StringBuilder text = new StringBuilder(256);
    text.append("action '").append(failure.action()).append("' of agent '").append(failure.agent());
    text.append("' failed (").append(failure.kind()).append("): ");
    text.append(failure.exception()).append(": ").append(failure.message());
    text.append(" [key ").append(failure.key()).append(", run ").append(failure.runNumber());
    text.append(", attempt ").append(failure.attempt());
    if (!failure.worker().isEmpty()) {
      text.append(", worker ")
          .append(failure.worker())
          .append(", generation ")
          .append(failure.generation());
    }
    text.append(']');
    if (!failure.stack().isEmpty()) {
      text.append('\n').append(failure.stack());
    }
    return text.toString();
  }
}
