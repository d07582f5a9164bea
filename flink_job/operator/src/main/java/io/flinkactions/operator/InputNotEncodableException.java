package io.flinkactions.operator;

/** A record has no wire form. */
public final class InputNotEncodableException extends Exception {

  private static final long serialVersionUID = 1L;

  InputNotEncodableException(String key, Exception cause) {
    super(
        "a record of key "
            + key
            + " cannot be sent to an action: "
            + cause.getMessage()
            + "; map the stream to a type that has a JSON form, or to bytes, before the operator",
        cause);
  }
}
