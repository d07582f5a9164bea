package io.flinkactions.operator.session;

import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * Whether this side wants a quarantine worker, when the server is to be asked for one, and for how
 * long it has been waited for in vain.
 */
final class QuarantineWish {
  // A server that was asked is asked again, should it have forgotten.
  private static final long PATIENCE = TimeUnit.SECONDS.toNanos(1);
  // To start a process takes some time, which is nothing to tell people of.
  private static final Duration UNREMARKABLE = Duration.ofSeconds(5);

  private boolean isOn;
  private long askedAt = System.nanoTime() - PATIENCE;
  private final Outage vain = new Outage();

  void set(boolean isWanted) {
    isOn = isWanted;
  }

  boolean isOn() {
    return isOn;
  }

  /** Another one is needed: no need to wait before asking. */
  void askAtOnce() {
    askedAt = System.nanoTime() - PATIENCE;
  }

  /** True if the server is to be asked, which the caller does then. */
  boolean isAskDue(long now) {
    if (!isOn || now - askedAt < PATIENCE) {
      return false;
    }
    askedAt = now;
    return true;
  }

  /** There is one, though it may have no time for us; or there is no server at all. */
  void isNotInVain() {
    vain.end();
  }

  /** There is none now. */
  void isInVain(long now) {
    if (!vain.isOn()) {
      vain.begin(now);
    }
  }

  /** For how long there has been none; zero if that is not so. */
  Duration vainFor(long now) {
    return vain.isOn() ? vain.lastsFor(now) : Duration.ZERO;
  }

  /** True every now and then while there is none. */
  boolean isNoticeDue(long now) {
    return vain.isOn() && vain.isNoticeDue(now) && vain.lastsFor(now).compareTo(UNREMARKABLE) >= 0;
  }
}
