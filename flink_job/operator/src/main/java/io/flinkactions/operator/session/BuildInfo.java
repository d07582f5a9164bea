package io.flinkactions.operator.session;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Properties;

/** What Maven wrote down when it built this. */
public final class BuildInfo {
  /** This jar's version. */
  public static final String VERSION = read().getProperty("version");

  private BuildInfo() {}

  private static Properties read() {
    Properties properties = new Properties();
    try (InputStream in =
        BuildInfo.class.getResourceAsStream("/io/flinkactions/operator/build.properties")) {
      properties.load(in);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return properties;
  }
}
