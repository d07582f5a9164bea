package io.flinkactions.operator.lane;

import com.google.protobuf.ByteString;
import io.flinkactions.operator.EventRecord;
import io.flinkactions.operator.Outputs;
import io.flinkactions.operator.identity.Identities;
import java.nio.ByteBuffer;
import java.util.UUID;

/**
 * Emits every event of the runs, for a job that asks for them: an input when it goes into its lane,
 * what an action has sent when its Result is applied. Both happen once in each course of things
 * that a checkpoint knows, so the records are as exact as the outputs. Mailbox thread only.
 */
public final class EventTrail {

  private final Outputs<?> outputs;
  private final RunIdentity runIdentity;
  private final Identities identities;

  public EventTrail(Outputs<?> outputs, RunIdentity runIdentity) {
    this.outputs = outputs;
    this.runIdentity = runIdentity;
    this.identities = runIdentity.identities();
  }

  void onInput(Lane lane, Input input) {
    byte[] runId = runIdentity.runId(runIdentity.namespace(), lane, input);
    outputs.emit(
        new EventRecord(
            identities.eventId(runId, 0),
            EventTypes.INPUT,
            EventTypes.valueName(EventTypes.INPUT),
            input.payload(),
            input.contentType(),
            lane.key(),
            input.runNumber(),
            null,
            null),
        input);
  }

  /**
   * Emits what the Result that the cursor stands at has sent, outputs too.
   *
   * @param receivedId of the event that its sender was given, 16 bytes
   */
  void onResult(Lane lane, Invocation sender, ByteString receivedId, ResultsCursor result) {
    Input cause = lane.run().input();
    String upstreamEventId = result.eventCount() == 0 ? null : uuid(receivedId);
    for (int i = 0; i < result.eventCount(); i++) {
      String type = result.eventType(i);
      outputs.emit(
          new EventRecord(
              identities.eventId(sender.id(), i),
              type,
              EventTypes.valueName(type),
              result.eventPayload(i),
              result.eventContentType(i),
              lane.key(),
              cause.runNumber(),
              sender.action(),
              upstreamEventId),
          cause);
    }
  }

  private static String uuid(ByteString bytes) {
    ByteBuffer id = bytes.asReadOnlyByteBuffer();
    return new UUID(id.getLong(), id.getLong()).toString();
  }
}
