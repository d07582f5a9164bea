package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.InputStream;
import java.util.Properties;
import org.apache.flink.runtime.util.EnvironmentInformation;
import org.junit.jupiter.api.Test;

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
}
