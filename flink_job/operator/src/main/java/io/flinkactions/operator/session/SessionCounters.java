package io.flinkactions.operator.session;

/**
 * What the sessions of a subtask have done, for metrics: totals since the start, and where things
 * stand. Any thread.
 */
public interface SessionCounters {

  /** Sessions that take work now. */
  int openSessions();

  /** Welcomes after the first of each worker incarnation. */
  long reconnects();

  /** Streams that ended without Bye. */
  long interruptions();

  long framesSent();

  long framesReceived();

  long bytesSent();

  long bytesReceived();

  long invokesSent();

  /** From now on this one is told of each frame with Invokes that is sent. */
  void tellInvokeFrames(InvokeFrames listener);

  /** Frames that are sent and not acknowledged, over all sessions. */
  int unacknowledgedFrames();

  /** Invokes that wait to be sent: for window, socket or credit. */
  int queuedInvokes();

  /** Invocations that the workers' credit still allows, over all sessions. */
  long freeCredit();

  /** Round trip of the last Ping, in microseconds. */
  long roundTripMicros();

  /**
   * How late the worst worker's event loop ran its last timer, as its last Pong said, in
   * microseconds.
   */
  long loopLagMicros();

  /**
   * Bytes of finished work that the workers keep for this operator, all its subtasks together,
   * until a checkpoint covers it.
   */
  long keptBytes();

  /** Results and calls that they have dropped before that. */
  long keptDropped();

  /** Results that they could not hand back, because the key's memory was another one by then. */
  long keptMissed();

  /** "connected", "connecting" or "failed". */
  String state();

  /** Whether the state is "connected". */
  boolean isConnected();

  /** Where things stand with one of the workers, by its name. */
  WorkerCounters ofWorker(String name);

  /** Hears of frames with Invokes. Any thread, several at once. */
  interface InvokeFrames {
    void onSent(int bytes, int invokes);
  }

  /** Of one worker; 0 while there is no session with it. */
  interface WorkerCounters {

    /** Sessions with it that take work now: 1, or during a reload more. */
    int openSessions();

    /** Invocations that it has or that wait to be sent to it. */
    long openInvocations();

    long freeCredit();

    int unacknowledgedFrames();

    long loopLagMicros();

    long keptBytes();
  }
}
