package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.Plan;

/** A session by which nothing can be said: for tests in which an invocation only has to be sent. */
public final class UnconnectedSession {

  private UnconnectedSession() {}

  public static WorkerSession open() {
    return new WorkerSession(
        null,
        new WorkerSession.Welcomed(
            "worker",
            ByteString.copyFromUtf8("incarnation"),
            ByteString.copyFromUtf8("generation"),
            Plan.getDefaultInstance(),
            0,
            false,
            false),
        null,
        null);
  }
}
