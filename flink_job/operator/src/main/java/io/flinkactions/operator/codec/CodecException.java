package io.flinkactions.operator.codec;

/**
 * A record, or a declared type, that has no form on the other side. The message names the place,
 * the value and the way out.
 */
public class CodecException extends RuntimeException {

  private static final long serialVersionUID = 1L;

  /** The message is for a person. */
  public CodecException(String message) {
    super(message);
  }

  /** The message is for a person; the cause is what the parser said. */
  public CodecException(String message, Throwable cause) {
    super(message, cause);
  }

  /** At most 200 characters of a record, so that an error never carries megabytes. */
  static String excerpt(String text) {
    return text.length() <= 200
        ? text
        : text.substring(0, 200) + "... (" + text.length() + " characters)";
  }
}
