/**
 * Talks to the action server: finds its workers, keeps a session with each, and carries frames.
 *
 * <p>{@link io.flinkactions.operator.session.Sessions} is the whole of it for the operator: it is
 * called on the mailbox thread, and what happens elsewhere comes to it as {@link
 * io.flinkactions.operator.session.SessionEvent}s, in order. Nothing in this package touches Flink.
 * What an invocation is, and what becomes of it when its session ends, is the operator's to decide.
 */
package io.flinkactions.operator.session;
