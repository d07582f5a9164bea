package io.flinkactions.operator.codec;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.ContentType;
import java.io.Serializable;

/**
 * Turns the payload of an output event into a record of the output stream.
 *
 * @param <OUT> type of the output stream's records
 */
public interface OutputCodec<OUT> extends Serializable {

  /**
   * The record that an action sent. Called on the mailbox thread; a new object each time, because
   * records downstream may be kept.
   *
   * @throws Exception if the payload is not a record of this type; it is treated as a failure of
   *     the action that sent it
   */
  OUT decode(ByteString payload, ContentType type) throws Exception;
}
