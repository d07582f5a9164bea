package io.flinkactions.operator;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.flinkactions.operator.failure.DefaultFailurePolicy;
import io.flinkactions.operator.failure.DefaultFailurePolicy.OnFailure;
import io.flinkactions.operator.failure.MissingAction;
import io.flinkactions.operator.launch.LaunchSettings;
import io.flinkactions.operator.session.ChannelSecurity;
import io.flinkactions.operator.state.MemoryTtl;
import io.flinkactions.operator.store.StoreSettings;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.ReadableConfig;

/**
 * The {@code agent:} section of Flink's configuration, and how it becomes {@link ActionSettings}.
 * What the job's code sets beats {@code -D}, and that beats {@code $FLINK_CONF_DIR/config.yaml}.
 * Keys of the section that are not listed here are the agents' own: they travel to the server,
 * where {@code ctx.config} has them.
 */
final class JobOptions {

  static final String SECTION = "agent.";

  static final ConfigOption<List<String>> ENDPOINTS =
      ConfigOptions.key("agent.endpoints")
          .stringType()
          .asList()
          .noDefaultValue()
          .withDescription(
              "Addresses of action servers, host:port or unix:/path; subtask i begins with the"
                  + " i-th, and goes on to the next when it cannot be reached.");

  static final ConfigOption<List<String>> LAUNCH_TARGET =
      ConfigOptions.key("agent.launch.target")
          .stringType()
          .asList()
          .noDefaultValue()
          .withDescription(
              "Agents to serve, module:name or /path/file.py:name: each TaskManager starts a server"
                  + " for the job, and agent.endpoints does not count.");

  static final ConfigOption<String> LAUNCH_PYTHON =
      ConfigOptions.key("agent.launch.python")
          .stringType()
          .defaultValue(LaunchSettings.DEFAULT_PYTHON)
          .withDescription("The interpreter of that server's virtual environment.");

  static final ConfigOption<Integer> LAUNCH_WORKERS =
      ConfigOptions.key("agent.launch.workers")
          .intType()
          .defaultValue(0)
          .withDescription("Its processes that run actions; 0: the server's own default.");

  static final ConfigOption<String> LAUNCH_FOLDER =
      ConfigOptions.key("agent.launch.folder")
          .stringType()
          .defaultValue("")
          .withDescription("The folder that it is started in; empty: the TaskManager's.");

  static final ConfigOption<List<String>> LAUNCH_ARGUMENTS =
      ConfigOptions.key("agent.launch.arguments")
          .stringType()
          .asList()
          .noDefaultValue()
          .withDescription("More arguments of `flink-actions serve`, a list.");

  static final ConfigOption<String> JOB_IDENTIFIER =
      ConfigOptions.key("agent.job-identifier")
          .stringType()
          .defaultValue("")
          .withDescription(
              "Keeps this job's invocations apart from others' and stays the same when it is"
                  + " submitted anew.");

  static final ConfigOption<Duration> RECONNECT_TIMEOUT =
      ConfigOptions.key("agent.reconnect-timeout")
          .durationType()
          .defaultValue(Duration.ofMinutes(5))
          .withDescription("How long the job looks for a server before it fails.");

  static final ConfigOption<Integer> MAX_RUNS_IN_FLIGHT =
      ConfigOptions.key("agent.max-runs-in-flight")
          .intType()
          .defaultValue(16_384)
          .withDescription("Most runs of one subtask that have begun and not ended.");

  static final ConfigOption<MemorySize> WAITING_SOFT_LIMIT =
      ConfigOptions.key("agent.waiting-inputs.soft-limit")
          .memoryType()
          .defaultValue(MemorySize.ofMebiBytes(16))
          .withDescription(
              "Bytes of waiting inputs per subtask from which on upstream is held back.");

  static final ConfigOption<MemorySize> WAITING_HARD_LIMIT =
      ConfigOptions.key("agent.waiting-inputs.hard-limit")
          .memoryType()
          .defaultValue(MemorySize.ofMebiBytes(256))
          .withDescription(
              "Bytes of waiting inputs per subtask which not even a pending checkpoint may"
                  + " exceed.");

  static final ConfigOption<Integer> RESIDENT_KEYS =
      ConfigOptions.key("agent.resident-keys")
          .intType()
          .defaultValue(65_536)
          .withDescription("Most idle keys per subtask whose header stays on the heap.");

  static final ConfigOption<Duration> DRAIN_LIMIT =
      ConfigOptions.key("agent.drain-limit")
          .durationType()
          .defaultValue(Duration.ZERO)
          .withDescription("How long the end of the input waits for open runs; 0: for ever.");

  static final ConfigOption<Duration> RUN_TIMEOUT =
      ConfigOptions.key("agent.run-timeout")
          .durationType()
          .defaultValue(Duration.ZERO)
          .withDescription(
              "How long the actions of one run may take together, waits not counted; 0: no limit.");

  static final ConfigOption<String> PLAN_DIGEST =
      ConfigOptions.key("agent.plan-digest")
          .stringType()
          .defaultValue("")
          .withDescription(
              "The plan that the job insists on, in hex, as `flink-actions describe` prints it;"
                  + " empty: any.");

  static final ConfigOption<Long> SHORT_TERM_TTL_MS =
      ConfigOptions.key("agent.short-term-memory.state-ttl.ms")
          .longType()
          .defaultValue(0L)
          .withDescription(
              "Time to live of each entry of short-term memory in milliseconds; 0: for ever."
                  + " Without effect in BATCH.");

  static final ConfigOption<MemoryTtl.Update> SHORT_TERM_TTL_UPDATE =
      ConfigOptions.key("agent.short-term-memory.state-ttl.update-type")
          .enumType(MemoryTtl.Update.class)
          .defaultValue(MemoryTtl.Update.ON_READ_AND_WRITE)
          .withDescription(
              "What makes an entry's time begin anew: that it is written, or also that an action"
                  + " of its key runs.");

  static final ConfigOption<MemoryTtl.Visibility> SHORT_TERM_TTL_VISIBILITY =
      ConfigOptions.key("agent.short-term-memory.state-ttl.visibility")
          .enumType(MemoryTtl.Visibility.class)
          .defaultValue(MemoryTtl.Visibility.NEVER_RETURN_EXPIRED)
          .withDescription(
              "Whether an entry whose time is over may be read until Flink removes it.");

  static final ConfigOption<Integer> HOP_LIMIT =
      ConfigOptions.key("agent.hop-limit")
          .intType()
          .defaultValue(1_000)
          .withDescription(
              "How many events deep one input may chain, where the agent names no limit.");

  static final ConfigOption<MissingAction> MISSING_ACTION =
      ConfigOptions.key("agent.missing-action")
          .enumType(MissingAction.class)
          .defaultValue(MissingAction.FAIL)
          .withDescription(
              "What becomes of an open run's invocation whose action the server's code has no more:"
                  + " fail (the job), dead_letter or ignore.");

  static final ConfigOption<OnFailure> FAILURE_DECISION =
      ConfigOptions.key("agent.default-failure-policy.on-failure")
          .enumType(OnFailure.class)
          .defaultValue(OnFailure.FAIL)
          .withDescription(
              "What follows the last attempt of an action that states no failure policy of its own:"
                  + " fail (the job), dead_letter or ignore.");

  static final ConfigOption<Integer> FAILURE_MAX_ATTEMPTS =
      ConfigOptions.key("agent.default-failure-policy.max-attempts")
          .intType()
          .defaultValue(1)
          .withDescription(
              "How often such an action is tried, the first attempt included; 1: no retry.");

  static final ConfigOption<Duration> FAILURE_BACKOFF_INITIAL =
      ConfigOptions.key("agent.default-failure-policy.backoff.initial")
          .durationType()
          .defaultValue(Duration.ofSeconds(1))
          .withDescription("How long it waits before its second attempt.");

  static final ConfigOption<Double> FAILURE_BACKOFF_MULTIPLIER =
      ConfigOptions.key("agent.default-failure-policy.backoff.multiplier")
          .doubleType()
          .defaultValue(2.0)
          .withDescription("Factor between two of its waits.");

  static final ConfigOption<Duration> FAILURE_BACKOFF_MAX =
      ConfigOptions.key("agent.default-failure-policy.backoff.max")
          .durationType()
          .defaultValue(Duration.ofMinutes(1))
          .withDescription("No wait is longer, unless its RetryableError asks for it.");

  static final ConfigOption<Double> FAILURE_BACKOFF_JITTER =
      ConfigOptions.key("agent.default-failure-policy.backoff.jitter")
          .doubleType()
          .defaultValue(0.1)
          .withDescription("Share of a wait, from 0 to 1, that is random.");

  static final ConfigOption<Boolean> ALLOW_PICKLE =
      ConfigOptions.key("agent.allow-pickle")
          .booleanType()
          .defaultValue(false)
          .withDescription(
              "Lets pickled objects travel, as inputs and values of durable calls, if the server"
                  + " allows it too. Loading a pickle runs code.");

  static final ConfigOption<Boolean> UNSORTED_BATCH_INPUT =
      ConfigOptions.key("agent.unsorted-batch-input")
          .booleanType()
          .defaultValue(false)
          .withDescription(
              "BATCH: keep the input in its order of arrival, with all keys' memory on the heap.");

  static final ConfigOption<String> STORE_BACKEND =
      ConfigOptions.key("agent.actionStateStoreBackend")
          .stringType()
          .defaultValue("")
          .withDescription(
              "'kafka': durable calls of level synchronous are recorded in a Kafka topic; empty:"
                  + " there is no such level.");

  static final ConfigOption<String> KAFKA_BROKERS =
      ConfigOptions.key("agent.kafkaBootstrapServers")
          .stringType()
          .defaultValue("localhost:9092")
          .withDescription("Brokers of the action state store, host:port separated by commas.");

  static final ConfigOption<String> KAFKA_TOPIC =
      ConfigOptions.key("agent.kafkaActionStateTopic")
          .stringType()
          .defaultValue("")
          .withDescription(
              "Topic of the action state store; several jobs may share it. Created, compacted, if"
                  + " it is not there.");

  static final ConfigOption<Integer> KAFKA_PARTITIONS =
      ConfigOptions.key("agent.kafkaActionStateTopicNumPartitions")
          .intType()
          .defaultValue(64)
          .withDescription("Partitions of that topic when it is created.");

  static final ConfigOption<Integer> KAFKA_REPLICATION =
      ConfigOptions.key("agent.kafkaActionStateTopicReplicationFactor")
          .intType()
          .defaultValue(1)
          .withDescription("Replicas of that topic when it is created.");

  static final ConfigOption<Duration> STORE_TIMEOUT =
      ConfigOptions.key("agent.action-state-store.timeout")
          .durationType()
          .defaultValue(Duration.ofMinutes(2))
          .withDescription(
              "How long the store's brokers may be away before the job fails; at most 290 s.");

  static final ConfigOption<MemorySize> STORE_BYTES_IN_FLIGHT =
      ConfigOptions.key("agent.action-state-store.bytes-in-flight")
          .memoryType()
          .defaultValue(MemorySize.ofMebiBytes(32))
          .withDescription(
              "Bytes of records per subtask on their way to the store from which on workers wait.");

  static final ConfigOption<MemorySize> STORE_REBUILD_LIMIT =
      ConfigOptions.key("agent.action-state-store.rebuild-limit")
          .memoryType()
          .defaultValue(MemorySize.ofMebiBytes(256))
          .withDescription(
              "Most bytes of records that a subtask reads back when it starts: of the calls since"
                  + " the checkpoint it came from.");

  static final ConfigOption<Boolean> IGNORE_STORE =
      ConfigOptions.key("agent.ignore-store")
          .booleanType()
          .defaultValue(false)
          .withDescription(
              "Nothing that was recorded or kept before this submission answers a call; records"
                  + " in the restored state still do.");

  /** What follows is a setting of Kafka's clients, and none of the agents': it may be a secret. */
  static final String KAFKA_PROPERTIES = "agent.kafka-properties.";

  static final ConfigOption<Boolean> TLS =
      ConfigOptions.key("agent.tls.enabled")
          .booleanType()
          .defaultValue(false)
          .withDescription("Encrypts connections to the server, but those to Unix sockets.");

  static final ConfigOption<String> TLS_CA =
      ConfigOptions.key("agent.tls.ca")
          .stringType()
          .defaultValue("")
          .withDescription(
              "File with the authorities (PEM) that have signed the server's certificate; empty:"
                  + " the JVM's own.");

  static final ConfigOption<String> TLS_CERTIFICATE =
      ConfigOptions.key("agent.tls.certificate")
          .stringType()
          .defaultValue("")
          .withDescription("File with the certificate (PEM) that the server asks for.");

  static final ConfigOption<String> TLS_KEY =
      ConfigOptions.key("agent.tls.key")
          .stringType()
          .defaultValue("")
          .withDescription("File with its private key (PEM).");

  static final ConfigOption<String> TLS_SERVER_NAME =
      ConfigOptions.key("agent.tls.server-name")
          .stringType()
          .defaultValue("")
          .withDescription("Name in the server's certificate, if it is not the endpoint's host.");

  static final ConfigOption<String> TOKEN_FILE =
      ConfigOptions.key("agent.token-file")
          .stringType()
          .defaultValue("")
          .withDescription("File with the token that the server asks for.");

  static final ConfigOption<Duration> BUFFER_TIMEOUT =
      ConfigOptions.key("agent.buffer-timeout")
          .durationType()
          .defaultValue(Duration.ZERO)
          .withDescription(
              "execution.buffer-timeout.interval of a job that sets none: Flink's own 100 ms would"
                  + " cost each record 50 ms.");

  private static final List<ConfigOption<?>> ALL =
      List.of(
          ENDPOINTS,
          LAUNCH_TARGET,
          LAUNCH_PYTHON,
          LAUNCH_WORKERS,
          LAUNCH_FOLDER,
          LAUNCH_ARGUMENTS,
          JOB_IDENTIFIER,
          RECONNECT_TIMEOUT,
          MAX_RUNS_IN_FLIGHT,
          WAITING_SOFT_LIMIT,
          WAITING_HARD_LIMIT,
          RESIDENT_KEYS,
          DRAIN_LIMIT,
          RUN_TIMEOUT,
          PLAN_DIGEST,
          SHORT_TERM_TTL_MS,
          SHORT_TERM_TTL_UPDATE,
          SHORT_TERM_TTL_VISIBILITY,
          HOP_LIMIT,
          MISSING_ACTION,
          FAILURE_DECISION,
          FAILURE_MAX_ATTEMPTS,
          FAILURE_BACKOFF_INITIAL,
          FAILURE_BACKOFF_MULTIPLIER,
          FAILURE_BACKOFF_MAX,
          FAILURE_BACKOFF_JITTER,
          ALLOW_PICKLE,
          UNSORTED_BATCH_INPUT,
          STORE_BACKEND,
          KAFKA_BROKERS,
          KAFKA_TOPIC,
          KAFKA_PARTITIONS,
          KAFKA_REPLICATION,
          STORE_TIMEOUT,
          STORE_BYTES_IN_FLIGHT,
          STORE_REBUILD_LIMIT,
          IGNORE_STORE,
          TLS,
          TLS_CA,
          TLS_CERTIFICATE,
          TLS_KEY,
          TLS_SERVER_NAME,
          TOKEN_FILE,
          BUFFER_TIMEOUT);

  private static final ObjectMapper JSON = new ObjectMapper();

  private final Configuration section;

  private JobOptions(Configuration section) {
    this.section = section;
  }

  /**
   * Reads the section from all its places.
   *
   * @param folder where {@code config.yaml} is; null for none
   * @param environment the configuration of the job's environment, with {@code -D} in it
   * @param code what the job's code sets, keys without {@code agent.}
   */
  static JobOptions read(String folder, ReadableConfig environment, Map<String, String> code) {
    // `python job.py` makes an environment that has not read config.yaml; `flink run` has read it.
    Map<String, String> merged =
        new TreeMap<>(folder == null ? Map.of() : FlinkInternals.configurationFile(folder));
    merged.putAll(environment.toMap());
    merged.keySet().removeIf(key -> !key.startsWith(SECTION));
    code.forEach((key, value) -> merged.put(SECTION + key, value));
    return new JobOptions(Configuration.fromMap(merged));
  }

  <T> T get(ConfigOption<T> option) {
    try {
      return section.get(option);
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(
          option.key()
              + " is '"
              + section.toMap().get(option.key())
              + "', which cannot be read; write "
              + form(option.defaultValue()),
          e);
    }
  }

  /** What a value has to look like, by the class of the default. */
  private static String form(Object defaultValue) {
    if (defaultValue instanceof Duration) {
      return "a duration, such as '30 s' or '5 min'";
    }
    if (defaultValue instanceof MemorySize) {
      return "a size, such as '64 mb'";
    }
    if (defaultValue instanceof Boolean) {
      return "true or false";
    }
    if (defaultValue instanceof Enum<?> constant) {
      return Stream.of(constant.getDeclaringClass().getEnumConstants())
          .map(Object::toString)
          .collect(Collectors.joining(" or "));
    }
    if (defaultValue instanceof Double) {
      return "a number, such as '1.5'";
    }
    return defaultValue instanceof Number ? "a whole number" : "a text, or a list of texts";
  }

  /**
   * The settings of an operator.
   *
   * @param agentConfig the agents' configuration that the job's code gives, a JSON object; it beats
   *     the section's
   */
  ActionSettings settings(String agent, List<String> endpoints, ObjectNode agentConfig) {
    return begin(agent, endpoints, agentConfig).build();
  }

  /** The same, for what is not a matter of configuration to be added. */
  ActionSettings.Builder begin(String agent, List<String> endpoints, ObjectNode agentConfig) {
    return server(agent, endpoints)
        .jobIdentifier(get(JOB_IDENTIFIER))
        .reconnectTimeout(get(RECONNECT_TIMEOUT))
        .maxRunsInFlight(get(MAX_RUNS_IN_FLIGHT))
        .waitingBytes(get(WAITING_SOFT_LIMIT).getBytes(), get(WAITING_HARD_LIMIT).getBytes())
        .residentKeys(get(RESIDENT_KEYS))
        .drainLimit(get(DRAIN_LIMIT))
        .runTimeout(get(RUN_TIMEOUT))
        .pinnedPlanDigest(planDigest())
        .shortTermMemoryTtl(
            new MemoryTtl(
                Duration.ofMillis(get(SHORT_TERM_TTL_MS)),
                get(SHORT_TERM_TTL_UPDATE),
                get(SHORT_TERM_TTL_VISIBILITY)))
        .hopLimit(get(HOP_LIMIT))
        .missingAction(get(MISSING_ACTION))
        .defaultFailurePolicy(defaultFailurePolicy())
        .allowPickle(get(ALLOW_PICKLE))
        .unsortedBatchInput(get(UNSORTED_BATCH_INPUT))
        .store(store())
        .ignoreStore(get(IGNORE_STORE))
        .security(
            new ChannelSecurity(
                get(TLS),
                get(TLS_CA),
                get(TLS_CERTIFICATE),
                get(TLS_KEY),
                get(TLS_SERVER_NAME),
                get(TOKEN_FILE)))
        .configJson(agentConfigJson(agentConfig));
  }

  private DefaultFailurePolicy defaultFailurePolicy() {
    if ("retry".equalsIgnoreCase(section.toMap().get(FAILURE_DECISION.key()))) {
      throw new IllegalArgumentException(
          FAILURE_DECISION.key()
              + " is 'retry'; set "
              + FAILURE_MAX_ATTEMPTS.key()
              + " above 1, and this to what follows the last attempt: "
              + form(FAILURE_DECISION.defaultValue()));
    }
    return new DefaultFailurePolicy(
        get(FAILURE_DECISION),
        get(FAILURE_MAX_ATTEMPTS),
        get(FAILURE_BACKOFF_INITIAL),
        get(FAILURE_BACKOFF_MULTIPLIER),
        get(FAILURE_BACKOFF_MAX),
        get(FAILURE_BACKOFF_JITTER));
  }

  /** Null if the job has none. */
  private StoreSettings store() {
    String backend = get(STORE_BACKEND);
    if (backend.isEmpty()) {
      return null;
    }
    if (!backend.equalsIgnoreCase("kafka")) {
      throw new IllegalArgumentException(
          STORE_BACKEND.key() + " is '" + backend + "'; the only one is 'kafka'");
    }
    if (get(KAFKA_TOPIC).isEmpty()) {
      throw new IllegalArgumentException(
          STORE_BACKEND.key()
              + " is 'kafka', and "
              + KAFKA_TOPIC.key()
              + " is not set; name the topic");
    }
    Map<String, String> properties = new TreeMap<>();
    section
        .toMap()
        .forEach(
            (key, value) -> {
              if (key.startsWith(KAFKA_PROPERTIES)) {
                properties.put(key.substring(KAFKA_PROPERTIES.length()), value);
              }
            });
    return new StoreSettings(
        get(KAFKA_BROKERS),
        get(KAFKA_TOPIC),
        get(KAFKA_PARTITIONS),
        get(KAFKA_REPLICATION),
        get(STORE_TIMEOUT),
        get(STORE_BYTES_IN_FLIGHT).getBytes(),
        get(STORE_REBUILD_LIMIT).getBytes(),
        properties);
  }

  /** Endpoints of the code beat what the section says of either. */
  private ActionSettings.Builder server(String agent, List<String> endpoints) {
    if (!endpoints.isEmpty()) {
      return ActionSettings.builder(agent, endpoints);
    }
    List<String> targets = list(LAUNCH_TARGET);
    if (targets.isEmpty()) {
      return ActionSettings.builder(agent, list(ENDPOINTS));
    }
    return ActionSettings.builder(
        agent,
        new LaunchSettings(
            targets,
            get(LAUNCH_PYTHON),
            get(LAUNCH_WORKERS),
            get(LAUNCH_FOLDER),
            list(LAUNCH_ARGUMENTS)));
  }

  private List<String> list(ConfigOption<List<String>> option) {
    List<String> values = get(option);
    return values == null ? List.of() : values;
  }

  private byte[] planDigest() {
    String text = get(PLAN_DIGEST);
    try {
      return HexFormat.of().parseHex(text);
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(
          PLAN_DIGEST.key()
              + " is '"
              + text
              + "', which is not hex; take it from `flink-actions describe`",
          e);
    }
  }

  /**
   * What there is to say of keys that go to the agents and may be meant for the job.
   *
   * @param agentConfig as for {@link #settings}
   */
  List<String> remarks(ObjectNode agentConfig) {
    Set<String> keys = new TreeSet<>(agentsOwn().keySet());
    agentConfig.fieldNames().forEachRemaining(keys::add);
    return MistakenKeys.remarks(
        keys, ALL.stream().map(option -> option.key().substring(SECTION.length())).toList());
  }

  /** What of the section is no setting of the job, by keys without {@code agent.}. */
  private Map<String, String> agentsOwn() {
    Map<String, String> own = new TreeMap<>();
    section
        .toMap()
        .forEach(
            (key, value) -> {
              if (!key.startsWith(KAFKA_PROPERTIES)
                  && ALL.stream().noneMatch(option -> option.key().equals(key))) {
                own.put(key.substring(SECTION.length()), value);
              }
            });
    return own;
  }

  private String agentConfigJson(ObjectNode fromCode) {
    ObjectNode config = JSON.createObjectNode();
    agentsOwn().forEach(config::put);
    config.setAll(fromCode);
    try {
      return JSON.writeValueAsString(config);
    } catch (JsonProcessingException e) {
      throw new IllegalArgumentException(
          "the agents' configuration has no JSON form: " + config, e);
    }
  }
}
