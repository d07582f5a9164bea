package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.ContentType;
import io.flinkactions.wire.v1.Hello;
import java.security.SecureRandom;
import java.util.List;

/**
 * Who talks: one start of one operator subtask, as Hello presents it. All but the epoch is fixed.
 *
 * <p>The epoch may be raised, and only as long as no worker has welcomed this start: a start that
 * was welcomed once and is told that a later one exists is the stale one, whatever its clock says
 * (CORRECTNESS.md 8).
 */
public final class StartIdentity {
  // What this operator says beyond version 1's floor; see session.proto on reconnects.
  private static final String ALL_RESUMED = "all_resumed";

  private final String namespace;
  private final String jobId;
  private final String jobName;
  private final String operatorUid;
  private final String agent;
  private final int subtask;
  private final int parallelism;
  private final int maxParallelism;
  private final int keyGroupFirst;
  private final int keyGroupLast;
  private final ByteString startId;
  private final String configJson;
  private final boolean hasCheckpoints;
  private final boolean isRestart;
  private final List<ContentType> acceptedContentTypes;
  private final ByteString pinnedPlanDigest;

  // Guarded by this: the mailbox thread reads it for a snapshot while the handshake raises it.
  private long epoch;
  private boolean wasWelcomed;

  private StartIdentity(Builder from) {
    this.namespace = from.namespace;
    this.jobId = from.jobId;
    this.jobName = from.jobName;
    this.operatorUid = from.operatorUid;
    this.agent = from.agent;
    this.subtask = from.subtask;
    this.parallelism = from.parallelism;
    this.maxParallelism = from.maxParallelism;
    this.keyGroupFirst = from.keyGroupFirst;
    this.keyGroupLast = from.keyGroupLast;
    this.configJson = from.configJson;
    this.hasCheckpoints = from.hasCheckpoints;
    this.isRestart = from.isRestart;
    this.acceptedContentTypes = List.copyOf(from.acceptedContentTypes);
    this.pinnedPlanDigest = from.pinnedPlanDigest;
    this.epoch = from.epoch;
    byte[] random = new byte[16];
    new SecureRandom().nextBytes(random);
    this.startId = ByteString.copyFrom(random);
  }

  /**
   * @param namespace keeps two jobs' invocations apart
   * @param operatorUid the operator's own id, stable over restarts
   * @param agent the agent's name on the server
   */
  public static Builder of(String namespace, String operatorUid, String agent) {
    return new Builder(namespace, operatorUid, agent);
  }

  /** What opens a session of this start. */
  Hello hello(int maxFrameBytes, ByteString knownPlanDigest) {
    return Hello.newBuilder()
        .setProtocolMin(Fleet.PROTOCOL)
        .setProtocolMax(Fleet.PROTOCOL)
        .setNamespace(namespace)
        .setJobId(jobId)
        .setJobName(jobName)
        .setOperatorUid(operatorUid)
        .setAgent(agent)
        .setSubtask(subtask)
        .setParallelism(parallelism)
        .setMaxParallelism(maxParallelism)
        .setKeyGroupFirst(keyGroupFirst)
        .setKeyGroupLast(keyGroupLast)
        .setStartId(startId)
        .setEpoch(epoch())
        .setWasWelcomed(wasWelcomed())
        .setKnownPlanDigest(knownPlanDigest)
        .setPinnedPlanDigest(pinnedPlanDigest)
        .addCapabilities(ALL_RESUMED)
        .addAllAcceptedContentTypes(acceptedContentTypes)
        .setMaxFrameBytes(maxFrameBytes)
        .setConfig(ByteString.copyFromUtf8(configJson))
        .setHasCheckpoints(hasCheckpoints)
        .setAsksForHoldings(isRestart)
        .setOperatorVersion(BuildInfo.VERSION)
        .build();
  }

  public String namespace() {
    return namespace;
  }

  public String jobId() {
    return jobId;
  }

  public String jobName() {
    return jobName;
  }

  public String operatorUid() {
    return operatorUid;
  }

  public String agent() {
    return agent;
  }

  public int subtask() {
    return subtask;
  }

  public int parallelism() {
    return parallelism;
  }

  public int maxParallelism() {
    return maxParallelism;
  }

  public int keyGroupFirst() {
    return keyGroupFirst;
  }

  public int keyGroupLast() {
    return keyGroupLast;
  }

  /** Random, 16 bytes. */
  public ByteString startId() {
    return startId;
  }

  public String configJson() {
    return configJson;
  }

  public boolean hasCheckpoints() {
    return hasCheckpoints;
  }

  /** Whether another start may have left work behind that workers have kept for this one. */
  public boolean isRestart() {
    return isRestart;
  }

  public List<ContentType> acceptedContentTypes() {
    return acceptedContentTypes;
  }

  /** Digest of the plan that the job insists on; empty: any. */
  public ByteString pinnedPlanDigest() {
    return pinnedPlanDigest;
  }

  /** What a checkpoint must keep, so that the next start has a higher one. Any thread. */
  public synchronized long epoch() {
    return epoch;
  }

  public synchronized boolean wasWelcomed() {
    return wasWelcomed;
  }

  synchronized void welcomed() {
    wasWelcomed = true;
  }

  /**
   * Makes the epoch higher than one that a worker knows, if it is not yet: another worker may have
   * said so first. False if this start may not do that any more.
   */
  synchronized boolean raiseEpochAbove(long known) {
    if (epoch > known) {
      return true;
    }
    if (wasWelcomed) {
      return false;
    }
    epoch = known + 1;
    return true;
  }

  /** Collects the parts; what is not set has the value of a single subtask without checkpoints. */
  public static final class Builder {
    private final String namespace;
    private final String operatorUid;
    private final String agent;
    private String jobId = "";
    private String jobName = "";
    private int subtask;
    private int parallelism = 1;
    private int maxParallelism = 128;
    private int keyGroupFirst;
    private int keyGroupLast = 127;
    private String configJson = "{}";
    private boolean hasCheckpoints;
    private List<ContentType> acceptedContentTypes = List.of();
    private ByteString pinnedPlanDigest = ByteString.EMPTY;
    private boolean isRestart;
    private long epoch = System.currentTimeMillis();

    private Builder(String namespace, String operatorUid, String agent) {
      this.namespace = namespace;
      this.operatorUid = operatorUid;
      this.agent = agent;
    }

    public Builder job(String id, String name) {
      this.jobId = id;
      this.jobName = name;
      return this;
    }

    public Builder subtask(int index, int parallelism, int maxParallelism) {
      this.subtask = index;
      this.parallelism = parallelism;
      this.maxParallelism = maxParallelism;
      return this;
    }

    /** First and last key group that this subtask owns. */
    public Builder keyGroups(int first, int last) {
      this.keyGroupFirst = first;
      this.keyGroupLast = last;
      return this;
    }

    /** Wall clock in ms at this start, made monotonic by state. */
    public Builder epoch(long value) {
      this.epoch = value;
      return this;
    }

    public Builder config(String json) {
      this.configJson = json;
      return this;
    }

    public Builder hasCheckpoints(boolean value) {
      this.hasCheckpoints = value;
      return this;
    }

    /** Another start was before this one, or may have been. */
    public Builder isRestart(boolean value) {
      this.isRestart = value;
      return this;
    }

    public Builder accepts(List<ContentType> contentTypes) {
      this.acceptedContentTypes = contentTypes;
      return this;
    }

    public Builder pinnedPlan(ByteString digest) {
      this.pinnedPlanDigest = digest;
      return this;
    }

    public StartIdentity build() {
      return new StartIdentity(this);
    }
  }
}
