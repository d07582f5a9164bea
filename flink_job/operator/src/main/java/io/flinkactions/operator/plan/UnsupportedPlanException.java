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

  private UnsupportedPlanException(String message) {
    super(message);
  }

  static UnsupportedPlanException noStore(String agent, String action) {
    return new UnsupportedPlanException(
        "action '"
            + action
            + "' of agent '"
            + agent
            + "' has durability \"synchronous\", which needs an action state store, and the job"
            + " has none: set agent.actionStateStoreBackend to 'kafka', with"
            + " agent.kafkaBootstrapServers and agent.kafkaActionStateTopic, or declare the action"
            + " \"checkpoint\"");
  }

  /** State is opened before any plan is known, so the job has the only word about its lifetime. */
  UnsupportedPlanException(String agent, long shortTermTtlMillis) {
    super(
        "agent '"
            + agent
            + "' wants its short-term memory to live for "
            + shortTermTtlMillis
            + " ms, which a plan cannot ask for; set the job's agent.short-term-memory.state-ttl.ms"
            + " instead");
  }
}
