package io.flinkactions.operator.codec;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.ContentType;
import java.io.Serializable;

/**
 * Turns one record of the stream into the payload of its input event.
 *
 * <p>Called once per record, on the mailbox thread, before the record is kept anywhere: with object
 * reuse on, Flink may change the record as soon as the call is over.
 *
 * @param <IN> type of the stream's records
 */
public interface InputCodec<IN> extends Serializable {

  /**
   * The record as it travels.
   *
   * @throws Exception if the record has no wire form; the job fails and names the record's key
   */
  ByteString encode(IN value) throws Exception;

  /** How a worker is to read what {@link #encode} makes; the same for every record. */
  ContentType contentType();
}
