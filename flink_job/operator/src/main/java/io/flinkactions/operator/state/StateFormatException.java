package io.flinkactions.operator.state;

/** The snapshot was written by an operator whose format this one cannot read. */
public final class StateFormatException extends Exception {

  private static final long serialVersionUID = 1L;

  StateFormatException(String message) {
    super(message);
  }
}
