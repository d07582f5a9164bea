package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import java.util.Set;

/**
 * Why a session is over for good.
 *
 * @param cause for people
 * @param suspectsKnown see {@link SessionEvent.Ended}
 * @param suspects see {@link SessionEvent.Ended}
 */
record Death(String cause, boolean suspectsKnown, Set<ByteString> suspects) {

  /** Nothing is known of what it did last, or it lives and is merely not used any more. */
  static Death of(String cause) {
    return new Death(cause, false, Set.of());
  }

  /** Nothing that it ran has ended it: it left as it was told, say. */
  boolean isInGoodOrder() {
    return suspectsKnown && suspects.isEmpty();
  }
}
