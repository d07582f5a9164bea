package io.flinkactions.operator.session;

import io.flinkactions.wire.v1.DirectoryGrpc;
import io.flinkactions.wire.v1.DirectoryState;
import io.flinkactions.wire.v1.QuarantineRequest;
import io.flinkactions.wire.v1.QuarantineResponse;
import io.flinkactions.wire.v1.WatchRequest;
import io.grpc.Attributes;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/**
 * Follows the directory of one endpoint, for as long as it takes: a stream that ends says nothing
 * about the workers and is opened again. Once nothing was heard for the connect timeout it goes
 * through all endpoints, and stays with the first that answers: a server that is started anew is
 * back by then, and keeps its subtasks. Runs on the fleet's thread; gRPC's callbacks only hand over
 * to it.
 */
final class DirectoryWatch {
  private final Fleet fleet;
  private final SessionSettings settings;
  private final StartIdentity identity;
  private final Backoff backoff = new Backoff();

  // Which of the endpoints, counted from the subtask's own.
  private int rotation;
  // Tells callbacks of this attempt from late ones.
  private int attempt;
  private String endpoint = "";
  private ManagedChannel channel;
  private ClientCall<WatchRequest, DirectoryState> call;
  private ScheduledFuture<?> next;
  private boolean hasState;
  private boolean isClosed;
  private long heardAt = System.nanoTime();

  DirectoryWatch(Fleet fleet, SessionSettings settings, StartIdentity identity) {
    this.fleet = fleet;
    this.settings = settings;
    this.identity = identity;
  }

  void open() {
    if (isClosed) {
      return;
    }
    int count = settings.endpoints().size();
    endpoint = settings.endpoints().get((identity.subtask() + rotation) % count);
    int thisAttempt = ++attempt;
    hasState = false;
    channel =
        Channels.open(
            endpoint, endpoint, settings.security(), settings.maxFrameBytes(), fleet.loops());
    call = channel.newCall(DirectoryGrpc.getWatchMethod(), CallOptions.DEFAULT);
    call.start(new Listener(thisAttempt, call), new Metadata());
    call.sendMessage(
        WatchRequest.newBuilder()
            .setProtocolMin(Fleet.PROTOCOL)
            .setProtocolMax(Fleet.PROTOCOL)
            .setNamespace(identity.namespace())
            .setOperatorUid(identity.operatorUid())
            .build());
    call.halfClose();
    call.request(1);
    next =
        fleet.later(
            settings.connectTimeout().toNanos(),
            () -> {
              if (thisAttempt == attempt && !hasState) {
                call.cancel("said nothing for " + settings.connectTimeout(), null);
              }
            });
  }

  /** Reads the directory anew, at once. For when what it says seems out of date. */
  void reopen() {
    if (hasState) {
      // Its stream was there until now: as when that ends by itself, it has its time to answer.
      heardAt = System.nanoTime();
    }
    drop();
    open();
  }

  /** Asks the server for a quarantine worker; what comes of it is in its next words. */
  void askForQuarantine() {
    if (!hasState || call == null) {
      return;
    }
    DirectoryGrpc.newStub(channel)
        .withDeadlineAfter(settings.connectTimeout().toNanos(), TimeUnit.NANOSECONDS)
        .quarantine(
            QuarantineRequest.newBuilder()
                .setNamespace(identity.namespace())
                .setOperatorUid(identity.operatorUid())
                .build(),
            new Answer());
  }

  private final class Answer implements StreamObserver<QuarantineResponse> {
    @Override
    public void onNext(QuarantineResponse response) {}

    @Override
    public void onError(Throwable error) {
      if (Status.fromThrowable(error).getCode() == Status.Code.UNIMPLEMENTED) {
        fleet.run(fleet::onNoQuarantine);
      }
      // Whatever else it is, it is asked for again.
    }

    @Override
    public void onCompleted() {}
  }

  void close() {
    isClosed = true;
    drop();
  }

  private void drop() {
    attempt++;
    if (next != null) {
      next.cancel(false);
    }
    if (call != null) {
      call.cancel("not needed any more", null);
      channel.shutdownNow();
      call = null;
    }
  }

  boolean hasState() {
    return hasState;
  }

  String endpoint() {
    return endpoint;
  }

  long silentNanos(long now) {
    return now - heardAt;
  }

  ManagedChannel channel() {
    return channel;
  }

  private void onState(int ofAttempt, DirectoryState state, Attributes attributes) {
    if (ofAttempt != attempt) {
      return;
    }
    if (!hasState) {
      hasState = true;
      next.cancel(false);
      backoff.succeeded();
    }
    heardAt = System.nanoTime();
    fleet.onDirectory(state, attributes);
  }

  private void onClose(int ofAttempt, Status status) {
    if (ofAttempt != attempt || isClosed) {
      return;
    }
    next.cancel(false);
    channel.shutdownNow();
    call = null;
    fleet.directoryFailed(endpoint, status);
    long now = System.nanoTime();
    if (hasState) {
      heardAt = now;
      hasState = false;
    } else if (silentNanos(now) >= settings.connectTimeout().toNanos()) {
      rotation = (rotation + 1) % settings.endpoints().size();
    }
    next = fleet.later(backoff.afterFailure(now), this::open);
  }

  private final class Listener extends ClientCall.Listener<DirectoryState> {
    private final int ofAttempt;
    private final ClientCall<WatchRequest, DirectoryState> ofCall;

    Listener(int ofAttempt, ClientCall<WatchRequest, DirectoryState> ofCall) {
      this.ofAttempt = ofAttempt;
      this.ofCall = ofCall;
    }

    @Override
    public void onMessage(DirectoryState state) {
      Attributes attributes = ofCall.getAttributes();
      fleet.run(() -> DirectoryWatch.this.onState(ofAttempt, state, attributes));
      ofCall.request(1);
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      fleet.run(() -> DirectoryWatch.this.onClose(ofAttempt, status));
    }
  }
}
