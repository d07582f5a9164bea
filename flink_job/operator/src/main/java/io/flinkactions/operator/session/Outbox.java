package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.MessageLite;
import io.flinkactions.wire.v1.Bye;
import io.flinkactions.wire.v1.CallRecord;
import io.flinkactions.wire.v1.CallsRecorded;
import io.flinkactions.wire.v1.Cancel;
import io.flinkactions.wire.v1.CheckpointCompleted;
import io.flinkactions.wire.v1.Credit;
import io.flinkactions.wire.v1.Invoke;
import io.flinkactions.wire.v1.OperatorFrame;
import io.flinkactions.wire.v1.Ping;
import io.flinkactions.wire.v1.Pong;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What one session has still to send, and the rules of session.proto about when: frames, window,
 * credit. Knows no gRPC. The mailbox thread fills it, whoever pumps the stream takes from it,
 * acknowledgements and credit come from gRPC's threads; all under its own lock, which is held for
 * moments only (nothing is serialized under it).
 */
final class Outbox {
  static final int MAX_INVOKES_PER_FRAME = 256;
  static final int MAX_INVOKE_BYTES_PER_FRAME = 256 * 1024;
  // Of keys that the worker may forget; beyond it the hint is lost.
  static final int MAX_FORGET_BYTES = 64 * 1024;
  // Room in a frame for what stands around its messages: sequence numbers, ping, pong.
  private static final int FRAME_OVERHEAD = 64;
  // Tag and length of a key.
  private static final int KEY_OVERHEAD = 6;

  private final int maxFrameBytes;
  private final int frameWindow;

  private final ArrayDeque<Invoke> invokes = new ArrayDeque<>();
  private long queuedBytes;
  private long sentInvocations;
  private long sentBytes;
  private long grantedInvocations;
  private long grantedBytes;
  // Queued or sent, and not over for the operator.
  private int open;
  private boolean capacityWanted;

  private long sequence;
  private long acknowledged;
  // Of the worker's frames; 0 once it was said.
  private long received;

  private final ArrayDeque<MessageLite> control = new ArrayDeque<>();
  // Records of Invokes that wait here, and then of those that have gone.
  private final Map<Long, List<CallRecord>> callsOfQueued = new HashMap<>();
  private final ArrayDeque<CallRecord> followingCalls = new ArrayDeque<>();
  // Hints: they ride along, and those that have no room here are lost.
  private final Set<ByteString> forgetKeys = new LinkedHashSet<>();
  private long forgetBytes;
  private AllResumed allResumed = AllResumed.NOT_YET;
  // The last of those that an earlier session left open, while it waits here.
  private Invoke lastResumed;
  private CheckpointCompleted checkpointCompleted;
  private Ping ping;
  private Pong pong;
  private Bye bye;
  private boolean byeTaken;
  private boolean isStreamOver;

  /** Whether the worker has been told that nothing more comes of what an earlier session had. */
  private enum AllResumed {
    NOT_YET,
    WITH_LAST,
    TO_BE_SAID,
    SAID
  }

  Outbox(int maxFrameBytes, int frameWindow, Credit credit) {
    this.maxFrameBytes = maxFrameBytes;
    this.frameWindow = frameWindow;
    this.grantedInvocations = credit.getInvocations();
    this.grantedBytes = credit.getBytes();
  }

  /** Largest Invoke that fits into a frame of its own. */
  int maxInvokeBytes() {
    return maxFrameBytes - FRAME_OVERHEAD;
  }

  synchronized boolean mayInvoke(int bytes) {
    if (open == 0) {
      return true;
    }
    boolean may =
        sentInvocations + invokes.size() < grantedInvocations
            && sentBytes + queuedBytes + bytes <= grantedBytes;
    capacityWanted |= !may;
    return may;
  }

  synchronized void queue(Invoke invoke) {
    queue(invoke, List.of());
  }

  /** Records in {@code following} go right behind the frame that carries the Invoke. */
  synchronized void queue(Invoke invoke, List<CallRecord> following) {
    if (bye != null) {
      return;
    }
    open++;
    if (isStreamOver) {
      return;
    }
    if (!following.isEmpty()) {
      callsOfQueued.put(invoke.getHandle(), following);
    }
    invokes.add(invoke);
    queuedBytes += invoke.getSerializedSize();
    // Else the hint might arrive behind what builds the mirror anew.
    if (!forgetKeys.isEmpty() && forgetKeys.remove(invoke.getKey())) {
      forgetBytes -= invoke.getKey().size();
    }
  }

  /** True if that makes room for someone who had found none. */
  synchronized boolean closed() {
    if (open == 0) {
      throw new IllegalStateException("closed() was called more often than queue()");
    }
    open--;
    return open == 0 && takeCapacityWanted();
  }

  synchronized void cancel(Collection<Long> handles, Cancel.Reason reason) {
    Set<Long> wanted = new HashSet<>(handles);
    Invoke before = null;
    // Cancel overtakes Invokes, so one that is still here must not follow it.
    for (Iterator<Invoke> i = invokes.iterator(); i.hasNext(); ) {
      Invoke invoke = i.next();
      if (wanted.remove(invoke.getHandle())) {
        queuedBytes -= invoke.getSerializedSize();
        i.remove();
        callsOfQueued.remove(invoke.getHandle());
        if (invoke == lastResumed) {
          resumedUpTo(before);
        }
      } else {
        before = invoke;
      }
    }
    if (!wanted.isEmpty()) {
      control.add(Cancel.newBuilder().addAllHandles(wanted).setReason(reason).build());
    }
  }

  synchronized void callsRecorded(CallsRecorded recorded) {
    control.add(recorded);
  }

  /**
   * All that an earlier session left open has been queued here, or is over: the worker hears of it
   * with the last of them. The first time counts.
   */
  synchronized void allResumed() {
    if (allResumed == AllResumed.NOT_YET) {
      allResumed = AllResumed.WITH_LAST;
      resumedUpTo(invokes.peekLast());
    }
  }

  private void resumedUpTo(Invoke last) {
    lastResumed = last;
    if (last == null) {
      allResumed = AllResumed.TO_BE_SAID;
    }
  }

  /** Cumulative: a later one stands for all before. */
  synchronized void checkpointCompleted(long checkpointId, long cut) {
    checkpointCompleted =
        CheckpointCompleted.newBuilder().setCheckpointId(checkpointId).setCut(cut).build();
  }

  synchronized void forgetKey(ByteString key) {
    int room = Math.min(MAX_FORGET_BYTES, maxInvokeBytes() - KEY_OVERHEAD);
    if (!isStreamOver && forgetBytes + key.size() <= room && forgetKeys.add(key)) {
      forgetBytes += key.size();
    }
  }

  synchronized void ping(long id) {
    ping = Ping.newBuilder().setId(id).build();
  }

  synchronized void pong(long id) {
    pong = Pong.newBuilder().setId(id).build();
  }

  /** Nothing follows it; Invokes that were not sent are dropped. */
  synchronized void bye(Bye.Reason reason, String message) {
    bye = Bye.newBuilder().setReason(reason).setMessage(message).build();
    dropInvokes();
  }

  /** Invokes that were not sent never are. They stay open, as they are for the operator. */
  synchronized void dropInvokes() {
    invokes.clear();
    callsOfQueued.clear();
    queuedBytes = 0;
  }

  /** The stream is over: nothing is sent any more, and nothing need be kept. */
  synchronized void streamIsOver() {
    isStreamOver = true;
    dropInvokes();
    control.clear();
    followingCalls.clear();
    forgetKeys.clear();
    forgetBytes = 0;
  }

  /** Grants are totals. True if that makes room for someone who had found none. */
  synchronized boolean credit(Credit credit) {
    grantedInvocations = Math.max(grantedInvocations, credit.getInvocations());
    grantedBytes = Math.max(grantedBytes, credit.getBytes());
    return sentInvocations + invokes.size() < grantedInvocations
        && sentBytes + queuedBytes < grantedBytes
        && takeCapacityWanted();
  }

  /** False if the worker acknowledges what was never sent. */
  synchronized boolean acknowledge(long ack) {
    acknowledged = Math.max(acknowledged, ack);
    return ack <= sequence;
  }

  /**
   * The worker's frames up to this one have arrived. That rides along and makes no frame of its
   * own: it only lets the worker forget sooner.
   */
  synchronized void received(long workerSequence) {
    received = workerSequence;
  }

  private boolean takeCapacityWanted() {
    boolean wanted = capacityWanted;
    capacityWanted = false;
    return wanted;
  }

  /**
   * The next frame that may go now, or null. The caller sends it; frames must go in the order in
   * which they are taken.
   */
  synchronized OperatorFrame next() {
    boolean invokeMayGo = invokeMayGo();
    if (byeTaken || !invokeMayGo && !hasControl() && bye == null) {
      return null;
    }
    OperatorFrame.Builder frame = OperatorFrame.newBuilder().setReceived(received);
    received = 0;
    int bytes = FRAME_OVERHEAD + takeControl(frame);
    if (invokeMayGo) {
      takeInvokes(frame, bytes);
    } else if (bye != null && !hasControl()) {
      frame.setBye(bye);
      byeTaken = true;
    }
    return frame.build();
  }

  private boolean hasControl() {
    return !control.isEmpty()
        || !followingCalls.isEmpty()
        || checkpointCompleted != null
        || allResumed == AllResumed.TO_BE_SAID
        || ping != null
        || pong != null;
  }

  /** Needs neither window nor credit. */
  private int takeControl(OperatorFrame.Builder frame) {
    int bytes = 0;
    if (ping != null) {
      frame.setPing(ping);
      ping = null;
    }
    if (pong != null) {
      frame.setPong(pong);
      pong = null;
    }
    if (checkpointCompleted != null) {
      frame.setCheckpointCompleted(checkpointCompleted);
      checkpointCompleted = null;
    }
    if (allResumed == AllResumed.TO_BE_SAID) {
      frame.setAllResumed(true);
      allResumed = AllResumed.SAID;
    }
    int limit = Math.min(MAX_INVOKE_BYTES_PER_FRAME, maxInvokeBytes());
    while (!control.isEmpty()) {
      int size = sizeInFrame(control.peek());
      if (bytes > 0 && bytes + size > limit) {
        return bytes;
      }
      bytes += size;
      MessageLite message = control.poll();
      if (message instanceof Cancel cancel) {
        frame.addCancels(cancel);
      } else {
        frame.addCallsRecorded((CallsRecorded) message);
      }
    }
    while (!followingCalls.isEmpty()) {
      int size = sizeInFrame(followingCalls.peek());
      if (bytes > 0 && bytes + size > limit) {
        return bytes;
      }
      bytes += size;
      frame.addCallRecords(followingCalls.poll());
    }
    for (Iterator<ByteString> keys = forgetKeys.iterator(); keys.hasNext(); ) {
      ByteString key = keys.next();
      if (bytes + key.size() + KEY_OVERHEAD > limit) {
        return bytes;
      }
      bytes += key.size() + KEY_OVERHEAD;
      forgetBytes -= key.size();
      frame.addForgetKeys(key);
      keys.remove();
    }
    return bytes;
  }

  private boolean invokeMayGo() {
    if (bye != null || invokes.isEmpty() || sequence - acknowledged >= frameWindow) {
      return false;
    }
    // One may always go when the worker has none of this session: else one that is larger than all
    // credit would wait for ever.
    return open == invokes.size() || hasCreditFor(invokes.peek());
  }

  private boolean hasCreditFor(Invoke invoke) {
    return sentInvocations < grantedInvocations
        && sentBytes + invoke.getSerializedSize() <= grantedBytes;
  }

  private void takeInvokes(OperatorFrame.Builder frame, int bytesBefore) {
    int invokeBytes = 0;
    for (Invoke invoke; (invoke = invokes.peek()) != null; ) {
      int size = sizeInFrame(invoke);
      boolean isAlone = frame.getInvokesCount() == 0;
      boolean fits =
          isAlone
              // Beside control messages even one may be too much; then it has the next frame to
              // itself.
              ? bytesBefore == FRAME_OVERHEAD || bytesBefore + size <= maxFrameBytes
              : frame.getInvokesCount() < MAX_INVOKES_PER_FRAME
                  && invokeBytes + size <= MAX_INVOKE_BYTES_PER_FRAME
                  && bytesBefore + invokeBytes + size <= maxFrameBytes
                  && hasCreditFor(invoke);
      if (!fits) {
        break;
      }
      invokes.poll();
      queuedBytes -= invoke.getSerializedSize();
      sentInvocations++;
      sentBytes += invoke.getSerializedSize();
      invokeBytes += size;
      frame.addInvokes(invoke);
      if (invoke == lastResumed) {
        frame.setAllResumed(true);
        allResumed = AllResumed.SAID;
        lastResumed = null;
      }
      if (invoke.getMoreCalls()) {
        followingCalls.addAll(callsOfQueued.remove(invoke.getHandle()));
      }
    }
    if (frame.getInvokesCount() > 0) {
      frame.setSequence(++sequence);
    }
  }

  /** With its tag and length. */
  private static int sizeInFrame(MessageLite message) {
    int size = message.getSerializedSize();
    return 1 + CodedOutputStream.computeUInt32SizeNoTag(size) + size;
  }

  synchronized int unacknowledgedFrames() {
    return (int) (sequence - acknowledged);
  }

  synchronized int openInvocations() {
    return open;
  }

  synchronized int queuedInvokes() {
    return invokes.size();
  }

  synchronized long freeCredit() {
    return Math.max(0, grantedInvocations - sentInvocations - invokes.size());
  }
}
