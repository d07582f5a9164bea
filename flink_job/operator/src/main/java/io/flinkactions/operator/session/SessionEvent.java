package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.Drain;
import io.flinkactions.wire.v1.Holdings;
import io.flinkactions.wire.v1.Plan;
import io.flinkactions.wire.v1.WorkerFrame;
import java.time.Duration;
import java.util.Set;

/**
 * What happened to the sessions of a subtask, in order: the end of a session comes behind all its
 * frames.
 *
 * <p>The life of a session, as the operator sees it:
 *
 * <pre>
 *   Welcomed ─▶ FrameReceived* ─▶ Interrupted ─▶ Welcomed(another session, resumes = this one)   same worker, same attempts
 *                      │               └────────▶ Ended                                          the worker is given up
 *                      └─────────────▶ Ended                                                     it is dead, or said goodbye
 * </pre>
 */
public sealed interface SessionEvent {

  /**
   * A worker takes work on {@code session}; {@link WorkerSession#plan()} says which. A plan that
   * the operator knows already is the same object as before.
   *
   * @param plan what this worker's generation offers
   * @param resumes the interrupted session with the same incarnation of the same worker, or null.
   *     Its open Invokes must be queued here again with the same handles and the same attempts: the
   *     worker attaches them to what it still runs. Nothing is left to do for {@code resumes} then
   */
  record Welcomed(WorkerSession session, Plan plan, WorkerSession resumes)
      implements SessionEvent {}

  /**
   * Its worker tells what it holds of earlier starts, behind {@link Welcomed}. With the last page
   * invocations may have another way than before; {@link Sessions} knows.
   */
  record HoldingsTold(WorkerSession session, Holdings page) implements SessionEvent {}

  /**
   * Work came back. Say {@link WorkerSession#applied} when it has been applied: only then is
   * another frame read.
   */
  record FrameReceived(WorkerSession session, WorkerFrame frame) implements SessionEvent {}

  /**
   * The stream is gone, and nothing says that the worker is: what it runs goes on. Its open Invokes
   * wait for a {@link Welcomed} that resumes this session, or for {@link Ended}.
   */
  record Interrupted(WorkerSession session, String cause) implements SessionEvent {}

  /**
   * The worker answers nothing of this session any more: its open Invokes go elsewhere with another
   * attempt. Comes once for a session that was not resumed.
   *
   * @param cause for people: "signal 9 (SIGKILL)", "said Bye: drained"
   * @param workerIsDead it has died: its supervisor says so, or it is plain from the directory. Not
   *     if it has merely ended, in good order
   * @param suspectsKnown whether {@code suspects} is to be believed. Else, if the worker is dead,
   *     all that it ran are suspects
   * @param suspects ids of the invocations that it was stepping when it died
   */
  record Ended(
      WorkerSession session,
      String cause,
      boolean workerIsDead,
      boolean suspectsKnown,
      Set<ByteString> suspects)
      implements SessionEvent {}

  /**
   * The worker asks for no new work. With {@link Drain.Reason#RELOAD} it still takes Invokes of
   * runs that began in its generation; {@link Sessions#route} knows.
   */
  record Draining(WorkerSession session, Drain.Reason reason, Duration limit)
      implements SessionEvent {}

  /** What found no session or no credit may try again. */
  record CapacityAvailable() implements SessionEvent {}

  /**
   * There is no quarantine worker, and none is waited for any more: the server never has one, or
   * reconnect-timeout is over. Whoever has suspects again may want one again.
   */
  record NoQuarantine(String cause) implements SessionEvent {}

  /** A quarantine worker is wanted and does not come. Comes again every few seconds. */
  record AwaitingQuarantine(Duration since, String detail) implements SessionEvent {}

  /**
   * There is no worker at all just now. Comes again every few seconds, for people to see; {@link
   * Fatal} follows when reconnect-timeout is over.
   */
  record NoServer(Duration since, String detail) implements SessionEvent {}

  /** Nothing helps: the task must fail with this. The last event. */
  record Fatal(SessionException error) implements SessionEvent {}
}
