package io.flinkactions.operator.session;

import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** A time without any worker: since when, and when people are to be told again. */
final class Outage {
  private static final long FIRST_NOTICE = TimeUnit.SECONDS.toNanos(1);
  private static final long LONGEST_BETWEEN_NOTICES = TimeUnit.SECONDS.toNanos(10);

  private boolean isOn;
  private long since;
  private long nextNotice;
  private long noticeInterval;

  void begin(long now) {
    isOn = true;
    since = now;
    noticeInterval = FIRST_NOTICE;
    nextNotice = now + noticeInterval;
  }

  void end() {
    isOn = false;
  }

  boolean isOn() {
    return isOn;
  }

  Duration lastsFor(long now) {
    return Duration.ofNanos(now - since);
  }

  /** True every now and then, less often as it goes on. */
  boolean isNoticeDue(long now) {
    if (now - nextNotice < 0) {
      return false;
    }
    noticeInterval = Math.min(LONGEST_BETWEEN_NOTICES, noticeInterval * 2);
    nextNotice = now + noticeInterval;
    return true;
  }
}
