package io.flinkactions.operator.lane;

import io.flinkactions.operator.identity.Identities;

/** What names the runs of one operator: its namespace and its uid. Mailbox thread only. */
public final class RunIdentity {

  private final Identities identities = new Identities();
  private final String namespace;
  private final String operatorUid;

  public RunIdentity(String namespace, String operatorUid) {
    this.namespace = namespace;
    this.operatorUid = operatorUid;
  }

  public Identities identities() {
    return identities;
  }

  /** Of runs that begin now; one that was restored keeps its own. */
  public String namespace() {
    return namespace;
  }

  /** Names the run of this input, and so the input: no other input ever has this id. */
  public byte[] runId(String ofNamespace, Lane lane, Input input) {
    return identities.runId(
        ofNamespace,
        operatorUid,
        lane.keyBytes().toByteArray(),
        input.runNumber(),
        Invokes.inputDigest(identities, input));
  }
}
