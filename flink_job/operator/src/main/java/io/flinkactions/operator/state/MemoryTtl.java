package io.flinkactions.operator.state;

import java.io.Serializable;
import java.time.Duration;
import org.apache.flink.api.common.state.StateTtlConfig;
import org.apache.flink.api.common.state.StateTtlConfig.StateVisibility;
import org.apache.flink.api.common.state.StateTtlConfig.UpdateType;

/**
 * How long the entries of short-term memory live, each for itself. Processing time counts.
 *
 * @param time zero: for ever
 * @param update what makes an entry's time begin anew
 * @param visibility whether an entry whose time is over may still be read
 */
public record MemoryTtl(Duration time, Update update, Visibility visibility)
    implements Serializable {

  private static final long serialVersionUID = 1L;

  /** Memory lives for ever. */
  public static final MemoryTtl NONE = of(Duration.ZERO);

  /** What makes an entry's time begin anew; the names are those of apache/flink-agents. */
  public enum Update {
    /** That it is written. */
    ON_CREATE_AND_WRITE(UpdateType.OnCreateAndWrite),
    /** That it is written, or that an action runs: each is given all memory of its key. */
    ON_READ_AND_WRITE(UpdateType.OnReadAndWrite);

    private final UpdateType type;

    Update(UpdateType type) {
      this.type = type;
    }
  }

  /**
   * Whether an entry whose time is over may be read; the names are those of apache/flink-agents.
   */
  public enum Visibility {
    /** It may not. */
    NEVER_RETURN_EXPIRED(StateVisibility.NeverReturnExpired),
    /** It may, until Flink has cleaned it up. */
    RETURN_EXPIRED_IF_NOT_CLEANED_UP(StateVisibility.ReturnExpiredIfNotCleanedUp);

    private final StateVisibility visibility;

    Visibility(StateVisibility visibility) {
      this.visibility = visibility;
    }
  }

  public MemoryTtl {
    if (time.isNegative()) {
      throw new IllegalArgumentException(
          "short-term-memory.state-ttl is " + time + "; it must not be negative");
    }
  }

  /** Renewed by reads too, and never seen afterwards. */
  public static MemoryTtl of(Duration time) {
    return new MemoryTtl(time, Update.ON_READ_AND_WRITE, Visibility.NEVER_RETURN_EXPIRED);
  }

  /** Whether memory ever expires. */
  public boolean isOn() {
    return !time.isZero();
  }

  StateTtlConfig config() {
    return StateTtlConfig.newBuilder(time)
        .setUpdateType(update.type)
        .setStateVisibility(visibility.visibility)
        .build();
  }
}
