package io.flinkactions.operator.session;

import io.flinkactions.wire.v1.OperatorFrame;
import io.flinkactions.wire.v1.WorkerFrame;
import io.flinkactions.wire.v1.WorkerGrpc;
import io.grpc.KnownLength;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.ProtoUtils;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;

/**
 * A message as it came: its frame and size, or what is wrong with it. gRPC would end the call
 * without telling a malformed frame from a lost connection.
 */
record Inbound(WorkerFrame frame, int bytes, String complaint) {

  /** The one rpc for work, with this type in the place of the bare frame. */
  static final MethodDescriptor<OperatorFrame, Inbound> SESSION =
      MethodDescriptor.<OperatorFrame, Inbound>newBuilder()
          .setType(MethodDescriptor.MethodType.BIDI_STREAMING)
          .setFullMethodName(WorkerGrpc.getSessionMethod().getFullMethodName())
          .setRequestMarshaller(ProtoUtils.marshaller(OperatorFrame.getDefaultInstance()))
          .setResponseMarshaller(new Marshaller())
          .build();

  private static final class Marshaller implements MethodDescriptor.Marshaller<Inbound> {
    private final MethodDescriptor.Marshaller<WorkerFrame> frames =
        ProtoUtils.marshaller(WorkerFrame.getDefaultInstance());

    @Override
    public Inbound parse(InputStream stream) {
      int bytes = 0;
      try {
        bytes = stream instanceof KnownLength ? stream.available() : 0;
        return new Inbound(frames.parse(stream), bytes, null);
      } catch (StatusRuntimeException e) {
        return new Inbound(null, bytes, e.getMessage());
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    @Override
    public InputStream stream(Inbound value) {
      throw new UnsupportedOperationException("A worker's frames are only read here");
    }
  }
}
