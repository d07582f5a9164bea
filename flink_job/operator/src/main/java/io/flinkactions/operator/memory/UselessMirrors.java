package io.flinkactions.operator.memory;

import com.google.protobuf.ByteString;

/**
 * Tells workers of mirrors that no Invoke will build on any more, so that they may free them before
 * their own bound makes them.
 *
 * <p>Hints: one that is lost, or that nobody hears, costs a worker some memory for a while. A
 * mirror is useless once the operator has forgotten who holds it, for then the next Invoke brings
 * all of the memory. Mailbox thread only.
 */
public final class UselessMirrors {

  /** Who can reach the worker behind a claim. */
  @FunctionalInterface
  public interface Workers {

    /**
     * The worker of the session that this token stands for has no use for its mirror of the key.
     */
    void forget(Object token, ByteString key);
  }

  private Workers workers = (token, key) -> {};

  /** Until this is called, nobody is told. */
  public void tell(Workers whoReachesThem) {
    workers = whoReachesThem;
  }

  /** Nothing of this key will be said to build on what a worker has. */
  public void onUseless(MirrorClaim claim, ByteString key) {
    if (claim.holder() != null) {
      workers.forget(claim.holder(), key);
      claim.drop();
    }
  }

  /** The key's next Invoke goes to another session than its last one. */
  public void onSent(MirrorClaim claim, Object token, ByteString key) {
    if (claim.holder() != null && claim.holder() != token) {
      workers.forget(claim.holder(), key);
    }
  }
}
