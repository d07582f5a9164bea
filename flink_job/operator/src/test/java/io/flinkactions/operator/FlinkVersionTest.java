package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.InputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import java.util.stream.Stream;
import org.apache.flink.runtime.util.EnvironmentInformation;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Keeps the claim "one jar for Flink 2.0 to 2.3" honest: see the head of pom.xml. */
class FlinkVersionTest {

  @Test
  void what_is_tested_was_compiled_against_the_oldest_flink_whatever_it_runs_on() throws Exception {
    Properties build = new Properties();
    try (InputStream in =
        FlinkVersionTest.class.getResourceAsStream("/io/flinkactions/operator/build.properties")) {
      build.load(in);
    }
    assertThat(build.getProperty("flink.compiled"))
        .as(
            "run the tests on another Flink by `mvn surefire:test -Dflink.version=...`, without"
                + " compiling")
        .isEqualTo("2.0.0");
    assertThat(EnvironmentInformation.getVersion())
        .isEqualTo(System.getProperty("flinkactions.test.flink-version"));
  }

  /** See {@link OldestFlinkOnly}. */
  @ParameterizedTest
  @ValueSource(strings = {"lane", "launch", "session", "store"})
  void what_is_tested_on_the_oldest_flink_only_has_nothing_of_flinks_in_it(String name)
      throws Exception {
    URI classes = ActionOperator.class.getProtectionDomain().getCodeSource().getLocation().toURI();
    Path folder = Path.of(classes).resolve("io/flinkactions/operator").resolve(name);
    try (Stream<Path> files = Files.walk(folder).filter(Files::isRegularFile)) {
      assertThat(files)
          .isNotEmpty()
          .allSatisfy(
              file ->
                  assertThat(Files.readString(file, StandardCharsets.ISO_8859_1))
                      .doesNotContain("org/apache/flink"));
    }
  }
}
