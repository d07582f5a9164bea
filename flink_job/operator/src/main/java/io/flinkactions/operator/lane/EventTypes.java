package io.flinkactions.operator.lane;

/** Types of events that mean something to the operator itself. */
public final class EventTypes {

  /** Starts a run. */
  public static final String INPUT = "_input_event";

  /** Leaves the run downstream. */
  public static final String OUTPUT = "_output_event";

  private EventTypes() {}
}
