package io.flinkactions.operator;

import java.time.Duration;

/** The input has ended, and its actions have not within the limit. */
public final class DrainLimitException extends Exception {

  private static final long serialVersionUID = 1L;

  DrainLimitException(Duration limit, int lanes) {
    super(
        "the input has ended, and after "
            + limit.toMillis() / 1000.0
            + " s (drain limit) "
            + lanes
            + " keys still have inputs whose actions are not over; raise the limit, or give the"
            + " actions a timeout");
  }
}
