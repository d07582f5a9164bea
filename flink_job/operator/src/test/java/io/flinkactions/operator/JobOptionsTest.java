package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.flinkactions.operator.failure.DefaultFailurePolicy;
import io.flinkactions.operator.failure.DefaultFailurePolicy.OnFailure;
import io.flinkactions.operator.failure.MissingAction;
import io.flinkactions.operator.launch.LaunchSettings;
import io.flinkactions.operator.session.ChannelSecurity;
import io.flinkactions.operator.state.MemoryTtl;
import io.flinkactions.operator.store.StoreSettings;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.apache.flink.configuration.Configuration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class JobOptionsTest {

  private static final ObjectMapper JSON = new ObjectMapper();

  @Test
  void code_beats_the_command_line_and_that_beats_the_file(@TempDir Path folder) throws Exception {
    Files.writeString(
        folder.resolve("config.yaml"),
        """
        agent:
          endpoints: ["file:1", "file:2"]
          hop-limit: 1
          max-runs-in-flight: 1
          reconnect-timeout: 1 s
        rest.port: 8081
        """);
    Configuration commandLine =
        Configuration.fromMap(Map.of("agent.hop-limit", "2", "agent.max-runs-in-flight", "2"));
    JobOptions options =
        JobOptions.read(folder.toString(), commandLine, Map.of("max-runs-in-flight", "3"));
    ActionSettings settings = options.settings("a", List.of(), JSON.createObjectNode());
    assertThat(settings.endpoints()).containsExactly("file:1", "file:2");
    assertThat(settings.reconnectTimeout()).isEqualTo(Duration.ofSeconds(1));
    assertThat(settings.hopLimit()).isEqualTo(2);
    assertThat(settings.maxRunsInFlight()).isEqualTo(3);
  }

  @Test
  void endpoints_of_the_code_replace_those_of_the_configuration() {
    JobOptions options = options(Map.of("endpoints", "elsewhere:1"));
    assertThat(options.settings("a", List.of("here:1"), JSON.createObjectNode()).endpoints())
        .containsExactly("here:1");
  }

  @Test
  void what_is_no_setting_of_the_operator_belongs_to_the_agents() throws Exception {
    ObjectNode fromCode = JSON.createObjectNode().put("model", "large").put("limit", 3);
    JobOptions options = options(Map.of("model", "small", "greeting", "hi", "hop-limit", "7"));
    String config = options.settings("a", List.of("here:1"), fromCode).configJson();
    assertThat(JSON.readTree(config))
        .isEqualTo(JSON.readTree("{\"model\": \"large\", \"greeting\": \"hi\", \"limit\": 3}"));
  }

  @Test
  void what_becomes_of_missing_actions_is_written_as_an_action_s_own_policy_is() {
    Function<Map<String, String>, MissingAction> read =
        code ->
            options(code).settings("a", List.of("here:1"), JSON.createObjectNode()).missingAction();
    assertThat(read.apply(Map.of())).isEqualTo(MissingAction.FAIL);
    assertThat(read.apply(Map.of("missing-action", "dead_letter")))
        .isEqualTo(MissingAction.DEAD_LETTER);
  }

  @Test
  void a_default_failure_policy_is_made_of_the_section_s_keys_and_fails_the_job_without_them() {
    assertThat(defaultPolicy(Map.of())).isEqualTo(DefaultFailurePolicy.FAIL);
    assertThat(
            defaultPolicy(
                Map.of(
                    "default-failure-policy.on-failure", "dead_letter",
                    "default-failure-policy.max-attempts", "5",
                    "default-failure-policy.backoff.initial", "500 ms",
                    "default-failure-policy.backoff.multiplier", "3",
                    "default-failure-policy.backoff.max", "30 s",
                    "default-failure-policy.backoff.jitter", "0.25")))
        .isEqualTo(
            new DefaultFailurePolicy(
                OnFailure.DEAD_LETTER,
                5,
                Duration.ofMillis(500),
                3.0,
                Duration.ofSeconds(30),
                0.25));
  }

  @Test
  void a_default_failure_policy_that_cannot_be_is_named_with_its_key_and_its_bounds() {
    for (List<String> wrong :
        List.of(
            List.of("on-failure", "retry", "default-failure-policy.max-attempts above 1"),
            List.of("on-failure", "drop", "fail or dead_letter or ignore"),
            List.of("max-attempts", "0", "from 1 to 1000000"),
            List.of("max-attempts", "1000001", "from 1 to 1000000"),
            List.of("backoff.initial", "soon", "a duration, such as"),
            List.of("backoff.initial", "31 d", "from 0 to 30 days"),
            List.of("backoff.multiplier", "twice", "a number, such as"),
            List.of("backoff.multiplier", "0.5", "from 1 to 1000"),
            List.of("backoff.multiplier", "NaN", "from 1 to 1000"),
            List.of("backoff.max", "0 s", "from 1 ms to 30 days"),
            List.of("backoff.jitter", "1.1", "from 0 to 1"))) {
      String key = "default-failure-policy." + wrong.get(0);
      assertThatThrownBy(() -> defaultPolicy(Map.of(key, wrong.get(1))))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContainingAll(key + " is ", wrong.get(2));
    }
  }

  private static DefaultFailurePolicy defaultPolicy(Map<String, String> code) {
    return options(code)
        .settings("a", List.of("here:1"), JSON.createObjectNode())
        .defaultFailurePolicy();
  }

  @Test
  void a_time_to_live_is_made_of_the_peer_s_keys_with_its_defaults() {
    assertThat(ttl(Map.of())).isEqualTo(MemoryTtl.NONE);
    assertThat(ttl(Map.of("short-term-memory.state-ttl.ms", "5000")))
        .isEqualTo(
            new MemoryTtl(
                Duration.ofSeconds(5),
                MemoryTtl.Update.ON_READ_AND_WRITE,
                MemoryTtl.Visibility.NEVER_RETURN_EXPIRED));
    assertThat(
            ttl(
                Map.of(
                    "short-term-memory.state-ttl.ms", "5000",
                    "short-term-memory.state-ttl.update-type", "ON_CREATE_AND_WRITE",
                    "short-term-memory.state-ttl.visibility", "RETURN_EXPIRED_IF_NOT_CLEANED_UP")))
        .isEqualTo(
            new MemoryTtl(
                Duration.ofSeconds(5),
                MemoryTtl.Update.ON_CREATE_AND_WRITE,
                MemoryTtl.Visibility.RETURN_EXPIRED_IF_NOT_CLEANED_UP));
  }

  private static MemoryTtl ttl(Map<String, String> code) {
    return options(code)
        .settings("a", List.of("here:1"), JSON.createObjectNode())
        .shortTermMemoryTtl();
  }

  @Test
  void a_setting_of_the_peer_without_effect_here_is_named_with_what_does_its_work() {
    ObjectNode fromCode = JSON.createObjectNode().put("max-retries", 3);
    assertThat(options(Map.of("num-async-threads", "4")).remarks(fromCode))
        .satisfiesExactly(
            remark -> assertThat(remark).contains("agent.max-retries is a", "max_attempts"),
            remark -> assertThat(remark).contains("agent.num-async-threads is a", "--threads"));
    for (String key :
        List.of(
            "chat.async",
            "tool-call.num-async-threads",
            "tool-call.batch.timeout",
            "event-log.standard.max-depth",
            "eventLoggerType",
            "flussBootstrapServers",
            "action.trigger-condition.evaluate-failure-strategy")) {
      assertThat(options(Map.of(key, "x")).remarks(JSON.createObjectNode()))
          .singleElement()
          .asString()
          .startsWith("agent." + key + " is a setting of Flink Agents");
    }
  }

  @Test
  void a_misspelt_setting_is_named_with_the_one_that_it_is_like() {
    for (Map.Entry<String, String> misspelt :
        Map.of(
                "reconect-timeout", "reconnect-timeout",
                "reconnectTimeout", "reconnect-timeout",
                "tls.enabeld", "tls.enabled",
                "endpoint", "endpoints",
                "default-failure-policy.max_attempt", "default-failure-policy.max-attempts",
                "short-term-memory.state_ttl.ms", "short-term-memory.state-ttl.ms",
                "kafkaActionStateTopics", "kafkaActionStateTopic")
            .entrySet()) {
      assertThat(options(Map.of(misspelt.getKey(), "x")).remarks(JSON.createObjectNode()))
          .singleElement()
          .asString()
          .startsWith("agent." + misspelt.getKey() + " is no setting of the job")
          .endsWith("did you mean agent." + misspelt.getValue() + "?");
    }
  }

  @Test
  void a_setting_of_the_job_in_the_agents_config_is_told_where_it_belongs() {
    ObjectNode fromCode = JSON.createObjectNode().put("max-runs-in-flight", 5);
    assertThat(options(Map.of("max-runs-in-flight", "7")).remarks(fromCode))
        .singleElement()
        .asString()
        .startsWith("agent.max-runs-in-flight is a setting of the job, and sets nothing")
        .contains("argument of ActionServer", "-D agent.max-runs-in-flight=", "config.yaml")
        .doesNotContain("did you mean");
  }

  @Test
  void settings_of_job_and_agents_pass_without_a_remark() {
    Map<String, String> own =
        Map.of(
            "hop-limit", "7",
            "kafka-properties.acks", "all",
            "model", "small",
            "chat.temperature", "0.5",
            "timeout", "3",
            "OpenAi.url", "http://localhost:1");
    assertThat(options(own).remarks(JSON.createObjectNode().put("greeting", "hi"))).isEmpty();
  }

  @Test
  void a_value_that_cannot_be_read_is_named_with_its_key() {
    for (Map<String, String> wrong :
        List.of(
            Map.of("reconnect-timeout", "soon"),
            Map.of("hop-limit", "many"),
            Map.of("waiting-inputs.soft-limit", "much"),
            Map.of("allow-pickle", "perhaps"),
            Map.of("missing-action", "retry"),
            Map.of("plan-digest", "xyz"))) {
      String key = wrong.keySet().iterator().next();
      assertThatThrownBy(
              () -> options(wrong).settings("a", List.of("here:1"), JSON.createObjectNode()))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("agent." + key)
          .hasMessageContaining("'" + wrong.get(key) + "'");
    }
  }

  @Test
  void a_value_that_cannot_be_read_is_told_what_it_should_look_like() {
    for (Map.Entry<String, String> form :
        Map.of(
                "drain-limit", "a duration, such as '30 s'",
                "hop-limit", "a whole number",
                "waiting-inputs.soft-limit", "a size, such as '64 mb'",
                "short-term-memory.state-ttl.update-type",
                    "ON_CREATE_AND_WRITE or ON_READ_AND_WRITE",
                "allow-pickle", "true or false",
                "missing-action", "fail or dead_letter or ignore")
            .entrySet()) {
      assertThatThrownBy(
              () ->
                  options(Map.of(form.getKey(), "much"))
                      .settings("a", List.of("here:1"), JSON.createObjectNode()))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("agent." + form.getKey() + " is 'much'")
          .hasMessageContaining("write " + form.getValue());
    }
  }

  @Test
  void a_value_out_of_range_is_named_with_its_key_and_its_bound() {
    for (String key : List.of("max-runs-in-flight", "hop-limit", "resident-keys")) {
      assertThatThrownBy(
              () ->
                  options(Map.of(key, "0"))
                      .settings("a", List.of("here:1"), JSON.createObjectNode()))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage(key + " is 0; it must be above 0");
    }
  }

  @Test
  void an_endpoint_that_is_no_address_is_named_before_the_job_runs() {
    for (String wrong : List.of("foo://x", "http://here:1", "here", "here:", "here:99999", "")) {
      assertThatThrownBy(
              () -> options(Map.of()).settings("a", List.of(wrong), JSON.createObjectNode()))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContainingAll("'" + wrong + "'", "host:port");
    }
    List<String> right = List.of("here:1", "10.0.0.1:65535", "[::1]:7777", "unix:/tmp/a.sock");
    assertThat(options(Map.of()).settings("a", right, JSON.createObjectNode()).endpoints())
        .isEqualTo(right);
  }

  @Test
  void a_launched_server_listens_nowhere_else() {
    for (String argument : List.of("--listen", "--listen=127.0.0.1:1")) {
      Map<String, String> launch =
          Map.of("launch.target", "a.py:agent", "launch.arguments", "[\"" + argument + "\"]");
      assertThatThrownBy(() -> options(launch).settings("a", List.of(), JSON.createObjectNode()))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("launch.arguments has --listen");
    }
  }

  @Test
  void a_server_is_launched_as_the_section_says_unless_the_code_has_endpoints() {
    Map<String, String> launch =
        Map.of(
            "endpoints", "elsewhere:1",
            "launch.target", "[\"shop.agents:support\", \"/opt/a b.py:agent\"]",
            "launch.python", "/opt/venv/bin/python",
            "launch.workers", "2",
            "launch.folder", "/opt",
            "launch.arguments", "[\"--log-level\", \"DEBUG\"]");
    ActionSettings settings = options(launch).settings("a", List.of(), JSON.createObjectNode());
    assertThat(settings.endpoints()).isEmpty();
    assertThat(settings.configJson()).isEqualTo("{}");
    assertThat(settings.launch())
        .isEqualTo(
            LaunchSettings.of("shop.agents:support", "/opt/a b.py:agent")
                .withPython("/opt/venv/bin/python")
                .withWorkers(2)
                .withFolder("/opt")
                .withArguments("--log-level", "DEBUG"));
    assertThat(options(launch).settings("a", List.of("here:1"), JSON.createObjectNode()).launch())
        .isNull();
    assertThat(
            options(Map.of("launch.target", "agent.py:agent"))
                .settings("a", List.of(), JSON.createObjectNode())
                .launch())
        .isEqualTo(LaunchSettings.of("agent.py:agent"));
  }

  @Test
  void no_endpoint_anywhere_is_an_error_that_names_the_agent() {
    assertThatThrownBy(() -> options(Map.of()).settings("a", List.of(), JSON.createObjectNode()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("'a'");
  }

  @Test
  void a_store_is_made_of_the_peer_s_keys_and_kafka_s_own() {
    StoreSettings store =
        options(
                Map.of(
                    "actionStateStoreBackend", "kafka",
                    "kafkaBootstrapServers", "a:1,b:2",
                    "kafkaActionStateTopic", "calls",
                    "kafkaActionStateTopicNumPartitions", "8",
                    "kafkaActionStateTopicReplicationFactor", "3",
                    "action-state-store.timeout", "7 s",
                    "action-state-store.bytes-in-flight", "1 mb",
                    "action-state-store.rebuild-limit", "2 mb",
                    "kafka-properties.security.protocol", "SSL"))
            .settings("a", List.of("here:1"), JSON.createObjectNode())
            .store();
    assertThat(store)
        .isEqualTo(
            new StoreSettings(
                "a:1,b:2",
                "calls",
                8,
                3,
                Duration.ofSeconds(7),
                1 << 20,
                2 << 20,
                Map.of("security.protocol", "SSL")));
    assertThat(options(Map.of()).settings("a", List.of("here:1"), JSON.createObjectNode()).store())
        .isNull();
  }

  @Test
  void what_protects_connections_is_the_operator_s_and_not_the_agents() {
    ActionSettings settings =
        options(
                Map.of(
                    "tls.enabled", "true",
                    "tls.ca", "/ca.crt",
                    "tls.certificate", "/job.crt",
                    "tls.key", "/job.key",
                    "tls.server-name", "agents.local",
                    "token-file", "/token"))
            .settings("a", List.of("here:1"), JSON.createObjectNode());
    assertThat(settings.security())
        .isEqualTo(
            new ChannelSecurity(true, "/ca.crt", "/job.crt", "/job.key", "agents.local", "/token"));
    assertThat(settings.configJson()).isEqualTo("{}");
    assertThat(
            options(Map.of()).settings("a", List.of("here:1"), JSON.createObjectNode()).security())
        .isEqualTo(ChannelSecurity.NONE);
    assertThatThrownBy(
            () ->
                options(Map.of("tls.ca", "/ca.crt"))
                    .settings("a", List.of("here:1"), JSON.createObjectNode()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("tls.enabled");
  }

  @Test
  void kafka_s_secrets_do_not_travel_to_the_agents() {
    JobOptions options =
        options(
            Map.of(
                "actionStateStoreBackend", "kafka",
                "kafkaActionStateTopic", "calls",
                "kafka-properties.sasl.jaas.config", "secret"));
    assertThat(options.settings("a", List.of("here:1"), JSON.createObjectNode()).configJson())
        .isEqualTo("{}");
  }

  @Test
  void a_store_that_cannot_be_is_named_before_the_job_runs() {
    Map<String, String> right =
        Map.of("actionStateStoreBackend", "kafka", "kafkaActionStateTopic", "calls");
    for (Map.Entry<String, String> wrong :
        Map.of(
                "actionStateStoreBackend", "fluss",
                "kafkaActionStateTopic", "no topic",
                "kafkaBootstrapServers", " ",
                "kafkaActionStateTopicNumPartitions", "0",
                "kafkaActionStateTopicReplicationFactor", "40000",
                "action-state-store.timeout", "300 s")
            .entrySet()) {
      Map<String, String> all = new java.util.HashMap<>(right);
      all.put(wrong.getKey(), wrong.getValue());
      assertThatThrownBy(
              () -> options(all).settings("a", List.of("here:1"), JSON.createObjectNode()))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining(wrong.getKey());
    }
    assertThatThrownBy(
            () ->
                options(Map.of("actionStateStoreBackend", "kafka"))
                    .settings("a", List.of("here:1"), JSON.createObjectNode()))
        .hasMessageContaining("agent.kafkaActionStateTopic is not set");
  }

  private static JobOptions options(Map<String, String> code) {
    return JobOptions.read(null, new Configuration(), code);
  }
}
