package io.flinkactions.operator.plan;

/** The server's plan asks for what this version of the operator cannot do. */
public final class UnsupportedPlanException extends Exception {

  private static final long serialVersionUID = 1L;

  UnsupportedPlanException(String agent, String action, String what, String wayOut) {
    super(
        "action '"
            + action
            + "' of agent '"
            + agent
            + "' "
            + what
            + ", and this operator "
            + wayOut
            + ", or run the job with a newer operator jar");
  }
}
