/**
 * The action state store: durable calls of level {@code synchronous}, in a compacted Kafka topic.
 *
 * <p>The order is store, lane, acknowledgement: a call returns in the action when its record is in
 * the topic and in its lane. A lane comes back from a checkpoint with what it knew then; what the
 * store has learned since is read when a start begins ({@link
 * io.flinkactions.operator.store.Rebuild}) and united with the lane, call by call, when the
 * invocation of that id is about to be sent again.
 */
package io.flinkactions.operator.store;
