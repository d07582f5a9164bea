package io.flinkactions.operator.lane;

/** Types of events that mean something to the operator itself. */
public final class EventTypes {

  /** Starts a run. */
  public static final String INPUT = "_input_event";

  /** Leaves the run downstream. */
  public static final String OUTPUT = "_output_event";

  private EventTypes() {}

  /** What the one value of such an event is called; null: its payload is all of its attributes. */
  static String valueName(String type) {
    return switch (type) {
      case INPUT -> "input";
      case OUTPUT -> "output";
      default -> null;
    };
  }
}
