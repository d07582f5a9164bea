package io.flinkactions.operator;

import io.flinkactions.operator.failure.DefaultFailurePolicy;
import io.flinkactions.operator.failure.MissingAction;
import io.flinkactions.operator.launch.LaunchSettings;
import io.flinkactions.operator.session.ChannelSecurity;
import io.flinkactions.operator.state.MemoryTtl;
import io.flinkactions.operator.store.StoreSettings;
import java.io.Serializable;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Everything a job decides about one action operator, read once when the job graph is built and
 * never changed.
 *
 * <p>Make one with {@link #builder(String, List)}; what is not set has the default named in the
 * builder.
 */
public final class ActionSettings implements Serializable {

  private static final long serialVersionUID = 1L;
  private static final Pattern UNIX_SOCKET = Pattern.compile("unix:\\S+");
  private static final Pattern HOST_AND_PORT =
      Pattern.compile("(?:dns:///)?(?:\\[[0-9a-fA-F:.%]+\\]|[^\\s:/\\[\\]]+):(\\d{1,5})");

  private final String agent;
  private final List<String> endpoints;
  private final LaunchSettings launch;
  private final String namespace;
  private final String jobIdentifier;
  private final int maxRunsInFlight;
  private final long waitingBytesSoftLimit;
  private final long waitingBytesHardLimit;
  private final int residentKeys;
  private final Duration reconnectTimeout;
  private final Duration drainLimit;
  private final Duration runTimeout;
  private final Duration valveDelay;
  private final byte[] pinnedPlanDigest;
  private final MemoryTtl shortTermMemoryTtl;
  private final int hopLimit;
  private final MissingAction missingAction;
  private final DefaultFailurePolicy defaultFailurePolicy;
  private final boolean allowPickle;
  private final boolean unsortedBatchInput;
  private final String configJson;
  private final StoreSettings store;
  private final boolean ignoreStore;
  private final ChannelSecurity security;
  private final boolean events;

  private ActionSettings(Builder builder) {
    this.agent = builder.agent;
    this.endpoints = builder.endpoints;
    this.launch = builder.launch;
    this.namespace = builder.namespace;
    this.jobIdentifier = builder.jobIdentifier;
    this.maxRunsInFlight = builder.maxRunsInFlight;
    this.waitingBytesSoftLimit = builder.waitingBytesSoftLimit;
    this.waitingBytesHardLimit = builder.waitingBytesHardLimit;
    this.residentKeys = builder.residentKeys;
    this.reconnectTimeout = builder.reconnectTimeout;
    this.drainLimit = builder.drainLimit;
    this.runTimeout = builder.runTimeout;
    this.valveDelay = builder.valveDelay;
    this.pinnedPlanDigest = builder.pinnedPlanDigest;
    this.shortTermMemoryTtl = builder.shortTermMemoryTtl;
    this.hopLimit = builder.hopLimit;
    this.missingAction = builder.missingAction;
    this.defaultFailurePolicy = builder.defaultFailurePolicy;
    this.allowPickle = builder.allowPickle;
    this.unsortedBatchInput = builder.unsortedBatchInput;
    this.configJson = builder.configJson;
    this.store = builder.store;
    this.ignoreStore = builder.ignoreStore;
    this.security = builder.security;
    this.events = builder.events;
  }

  /**
   * Begins the settings of an operator that runs {@code agent} at one of {@code endpoints}.
   *
   * @param agent name of the agent, as the server's plan has it
   * @param endpoints addresses of action servers ("host:port" or "unix:/path"); subtask i begins
   *     with the i-th, modulo, and goes on to the next when it cannot be reached
   */
  public static Builder builder(String agent, List<String> endpoints) {
    return new Builder(agent, endpoints, null);
  }

  /**
   * Begins the settings of an operator that runs {@code agent} at a server which it starts itself,
   * one for all its subtasks in a TaskManager.
   */
  public static Builder builder(String agent, LaunchSettings launch) {
    return new Builder(agent, List.of(), Objects.requireNonNull(launch, "launch"));
  }

  /** Name of the agent that this operator runs. */
  public String agent() {
    return agent;
  }

  /** Addresses of the action servers; none if one is launched. */
  public List<String> endpoints() {
    return endpoints;
  }

  /** The server that the operator starts; null: it is given endpoints. */
  public LaunchSettings launch() {
    return launch;
  }

  /**
   * What keeps two jobs' invocations apart: random, made when the graph is built; a restored one
   * wins over it.
   */
  public String namespace() {
    return namespace;
  }

  /** {@code job-identifier}: beats both the minted and the restored namespace; empty if not set. */
  public String jobIdentifier() {
    return jobIdentifier;
  }

  /** Most runs of one subtask that have begun and not ended; beyond it, inputs wait. */
  public int maxRunsInFlight() {
    return maxRunsInFlight;
  }

  /** Bytes of waiting inputs at which {@code processElement} stops taking records. */
  public long waitingBytesSoftLimit() {
    return waitingBytesSoftLimit;
  }

  /** Bytes of waiting inputs which not even a pending checkpoint may exceed. */
  public long waitingBytesHardLimit() {
    return waitingBytesHardLimit;
  }

  /** Most idle keys whose header stays on the heap, so that a hot key costs no state access. */
  public int residentKeys() {
    return residentKeys;
  }

  /** How long a subtask looks for a server before the job fails. */
  public Duration reconnectTimeout() {
    return reconnectTimeout;
  }

  /** How long the end of the input waits for open runs before the job fails; zero: for ever. */
  public Duration drainLimit() {
    return drainLimit;
  }

  /**
   * How long the actions of one run may take together, waits for retries, workers and restarts not
   * counted; zero: no limit.
   */
  public Duration runTimeout() {
    return runTimeout;
  }

  /**
   * How long after a checkpoint's announcement records are let in without limit, if its barrier has
   * not come.
   */
  public Duration valveDelay() {
    return valveDelay;
  }

  /** Digest of the plan that the job insists on; empty: any. */
  public byte[] pinnedPlanDigest() {
    return pinnedPlanDigest.clone();
  }

  /** How long short-term memory lives. BATCH, whose memory is on the heap, does not ask. */
  public MemoryTtl shortTermMemoryTtl() {
    return shortTermMemoryTtl;
  }

  /** How many events deep one input may chain where the plan names no limit. */
  public int hopLimit() {
    return hopLimit;
  }

  /** What becomes of an open run's invocation whose action the server's plan has no more. */
  public MissingAction missingAction() {
    return missingAction;
  }

  /** What the job does about failures of actions that state no policy of their own. */
  public DefaultFailurePolicy defaultFailurePolicy() {
    return defaultFailurePolicy;
  }

  /**
   * The server may load pickled inputs, and values of durable calls that this job has kept, if it
   * allows that itself. Loading a pickle runs code.
   */
  public boolean allowPickle() {
    return allowPickle;
  }

  /**
   * BATCH: leave the input in its order of arrival (needed without timestamps), at the price of all
   * keys' memory on the heap.
   */
  public boolean unsortedBatchInput() {
    return unsortedBatchInput;
  }

  /** The job's settings for agents, a JSON object; handed to the server. */
  public String configJson() {
    return configJson;
  }

  /** The action state store, which durable calls of level synchronous need; null: none. */
  public StoreSettings store() {
    return store;
  }

  /**
   * Nothing that was recorded or kept before this job graph was built is to answer a call: the job
   * begins a namespace of its own.
   */
  public boolean ignoreStore() {
    return ignoreStore;
  }

  /** How connections to the server are protected. */
  public ChannelSecurity security() {
    return security;
  }

  /** Every event of the runs goes into a stream of its own. */
  public boolean events() {
    return events;
  }

  /** Collects settings; every one but agent and endpoints has a default. */
  public static final class Builder {

    private final String agent;
    private final List<String> endpoints;
    private final LaunchSettings launch;
    private String namespace = UUID.randomUUID().toString();
    private String jobIdentifier = "";
    // So that 10,000 actions can wait at the same time in one subtask.
    private int maxRunsInFlight = 16_384;
    private long waitingBytesSoftLimit = 16L << 20;
    private long waitingBytesHardLimit = 256L << 20;
    private int residentKeys = 65_536;
    private Duration reconnectTimeout = Duration.ofMinutes(5);
    private Duration drainLimit = Duration.ZERO;
    private Duration runTimeout = Duration.ZERO;
    private Duration valveDelay = Duration.ofMillis(200);
    private byte[] pinnedPlanDigest = new byte[0];
    private MemoryTtl shortTermMemoryTtl = MemoryTtl.NONE;
    private int hopLimit = 1_000;
    private MissingAction missingAction = MissingAction.FAIL;
    private DefaultFailurePolicy defaultFailurePolicy = DefaultFailurePolicy.FAIL;
    private boolean allowPickle;
    private boolean unsortedBatchInput;
    private String configJson = "{}";
    private StoreSettings store;
    private boolean ignoreStore;
    private ChannelSecurity security = ChannelSecurity.NONE;
    private boolean events;

    private Builder(String agent, List<String> endpoints, LaunchSettings launch) {
      this.agent = require(agent, "agent");
      this.launch = launch;
      if (endpoints.isEmpty() && launch == null) {
        throw new IllegalArgumentException(
            "no endpoint for agent '"
                + agent
                + "'; name at least one action server, in the job's code or as agent.endpoints, or"
                + " have one launched (agent.launch.target)");
      }
      endpoints.forEach(Builder::requireAddress);
      this.endpoints = List.copyOf(endpoints);
    }

    /** Here and not where it is dialled: no task manager need find out. */
    private static void requireAddress(String endpoint) {
      if (UNIX_SOCKET.matcher(endpoint).matches()) {
        return;
      }
      Matcher parts = HOST_AND_PORT.matcher(endpoint);
      if (!parts.matches() || Integer.parseInt(parts.group(1)) > 65_535) {
        throw new IllegalArgumentException(
            "endpoint '"
                + endpoint
                + "' is no address of an action server; write host:port (\"localhost:7077\","
                + " \"[::1]:7077\") or unix:/path, as `flink-actions serve` prints it");
      }
    }

    /** Sets the namespace that the graph carries; by default a random UUID. */
    public Builder namespace(String value) {
      namespace = require(value, "namespace");
      return this;
    }

    /** Sets {@code job-identifier}; by default none. */
    public Builder jobIdentifier(String value) {
      jobIdentifier = Objects.requireNonNull(value, "job-identifier");
      return this;
    }

    /** Sets the limit of runs in flight per subtask; by default 16,384. */
    public Builder maxRunsInFlight(int value) {
      maxRunsInFlight = (int) positive(value, "max-runs-in-flight");
      return this;
    }

    /** Sets the limits of waiting inputs per subtask, in bytes; by default 16 MiB and 256 MiB. */
    public Builder waitingBytes(long soft, long hard) {
      waitingBytesSoftLimit = positive(soft, "waiting-inputs.soft-limit");
      waitingBytesHardLimit = positive(hard, "waiting-inputs.hard-limit");
      if (hard < soft) {
        throw new IllegalArgumentException(
            "waiting-inputs.hard-limit is "
                + hard
                + " and below waiting-inputs.soft-limit, "
                + soft
                + "; raise it");
      }
      return this;
    }

    /** Sets how many idle keys stay on the heap per subtask; by default 65,536. */
    public Builder residentKeys(int value) {
      residentKeys = (int) positive(value, "resident-keys");
      return this;
    }

    /** Sets how long to look for a server; by default 5 minutes. */
    public Builder reconnectTimeout(Duration value) {
      reconnectTimeout = notNegative(value, "reconnect-timeout");
      return this;
    }

    /** Sets how long the end of the input waits; by default for ever. */
    public Builder drainLimit(Duration value) {
      drainLimit = notNegative(value, "drain-limit");
      return this;
    }

    /** Sets the time limit of a run; by default none. */
    public Builder runTimeout(Duration value) {
      runTimeout = notNegative(value, "run-timeout");
      return this;
    }

    /**
     * Sets the time between a checkpoint's announcement and the opening of back pressure; by
     * default 200 ms.
     */
    public Builder valveDelay(Duration value) {
      valveDelay = notNegative(value, "valve-delay");
      return this;
    }

    /** Insists on one plan; by default any. */
    public Builder pinnedPlanDigest(byte[] value) {
      pinnedPlanDigest = value.clone();
      return this;
    }

    /** Sets the time to live of short-term memory; by default it lives for ever. */
    public Builder shortTermMemoryTtl(MemoryTtl value) {
      shortTermMemoryTtl = Objects.requireNonNull(value, "short-term-memory.state-ttl");
      return this;
    }

    /** Sets the hop limit for plans that name none; by default 1,000. */
    public Builder hopLimit(int value) {
      hopLimit = (int) positive(value, "hop-limit");
      return this;
    }

    /** Sets what becomes of invocations whose action is gone; by default the job fails. */
    public Builder missingAction(MissingAction value) {
      missingAction = Objects.requireNonNull(value, "missing-action");
      return this;
    }

    /** Sets the policy of actions that state none; by default the job fails. */
    public Builder defaultFailurePolicy(DefaultFailurePolicy value) {
      defaultFailurePolicy = Objects.requireNonNull(value, "default-failure-policy");
      return this;
    }

    /** Allows pickles between job and server; by default refused. */
    public Builder allowPickle(boolean value) {
      allowPickle = value;
      return this;
    }

    /** BATCH: do not sort this operator's input; by default Flink sorts it by key and timestamp. */
    public Builder unsortedBatchInput(boolean value) {
      unsortedBatchInput = value;
      return this;
    }

    /** Sets the settings that agents see, a JSON object; by default an empty one. */
    public Builder configJson(String value) {
      configJson = require(value, "config");
      return this;
    }

    /** Sets the action state store; by default none. */
    public Builder store(StoreSettings value) {
      store = value;
      return this;
    }

    /** Begins a namespace that nobody has had before; by default the restored one goes on. */
    public Builder ignoreStore(boolean value) {
      ignoreStore = value;
      return this;
    }

    /** Sets how connections are protected; by default not at all. */
    public Builder security(ChannelSecurity value) {
      security = Objects.requireNonNull(value, "security");
      return this;
    }

    /** Asks for {@link ActionStreams#events}; by default nothing is made of events. */
    public Builder events(boolean value) {
      events = value;
      return this;
    }

    /** The settings as they are now. */
    public ActionSettings build() {
      return new ActionSettings(this);
    }

    private static String require(String value, String what) {
      if (value == null || value.isEmpty()) {
        throw new IllegalArgumentException(what + " is empty; it needs a value");
      }
      return value;
    }

    private static long positive(long value, String what) {
      if (value <= 0) {
        throw new IllegalArgumentException(what + " is " + value + "; it must be above 0");
      }
      return value;
    }

    private static Duration notNegative(Duration value, String what) {
      if (value.isNegative()) {
        throw new IllegalArgumentException(what + " is " + value + "; it must not be negative");
      }
      return value;
    }
  }
}
