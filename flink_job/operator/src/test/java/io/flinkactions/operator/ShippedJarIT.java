package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

/**
 * The jar as users get it: relocation breaks things that no unit test sees, most of them without a
 * word.
 */
class ShippedJarIT {
  private static final File JAR = new File(System.getProperty("flinkactions.jar"));
  private static final String SHADED = "io.flinkactions.shaded.";

  /** Sees the jar and the JDK, and nothing of the tests' class path. */
  private static URLClassLoader jarAlone() throws Exception {
    return new URLClassLoader(
        new URL[] {JAR.toURI().toURL()}, ClassLoader.getPlatformClassLoader());
  }

  @Test
  void nothing_in_it_can_clash_with_the_users_own_jars() throws Exception {
    try (JarFile jar = new JarFile(JAR)) {
      List<String> foreign =
          jar.stream()
              .filter(entry -> !entry.isDirectory())
              .map(JarEntry::getName)
              .filter(name -> !name.startsWith("io/flinkactions/") && !name.startsWith("META-INF/"))
              .toList();
      assertThat(foreign).isEmpty();
      assertThat(jar.stream().map(JarEntry::getName).filter(name -> name.endsWith(".class")))
          .noneMatch(name -> name.startsWith("META-INF/versions/"));
      assertThat(
              jar.stream()
                  .map(JarEntry::getName)
                  .filter(name -> name.startsWith("META-INF/services/") && !name.endsWith("/")))
          .isNotEmpty()
          .allMatch(name -> name.startsWith("META-INF/services/" + SHADED));
    }
  }

  @Test
  @EnabledOnOs(OS.LINUX)
  void epoll_is_there_without_which_there_are_no_unix_sockets() throws Exception {
    try (URLClassLoader jar = jarAlone()) {
      Class<?> epoll = jar.loadClass(SHADED + "io.grpc.netty.shaded.io.netty.channel.epoll.Epoll");
      try {
        epoll.getMethod("ensureAvailability").invoke(null);
      } catch (InvocationTargetException e) {
        throw new AssertionError(
            "the native library was not found under its new name", e.getCause());
      }
    }
  }

  @Test
  void channels_of_every_kind_of_address_can_be_made() throws Exception {
    try (URLClassLoader jar = jarAlone()) {
      Class<?> channels = jar.loadClass("io.flinkactions.operator.session.Channels");
      Class<?> security = jar.loadClass("io.flinkactions.operator.session.ChannelSecurity");
      Object none = security.getField("NONE").get(null);
      Class<?> eventLoops = jar.loadClass("io.flinkactions.operator.session.EventLoops");
      var acquire = eventLoops.getDeclaredMethod("acquire");
      acquire.setAccessible(true);
      Object loops = acquire.invoke(null);
      var open =
          channels.getDeclaredMethod(
              "open", String.class, String.class, security, int.class, acquire.getReturnType());
      open.setAccessible(true);
      Class<?> channelType = jar.loadClass(SHADED + "io.grpc.ManagedChannel");
      for (String target :
          List.of("localhost:7077", "dns:///localhost:7077", "unix:" + Path.of("/tmp/no-such"))) {
        Object channel = open.invoke(null, target, target, none, 1 << 20, loops);
        channelType.getMethod("shutdownNow").invoke(channel);
      }
      var release = eventLoops.getDeclaredMethod("release", long.class);
      release.setAccessible(true);
      release.invoke(null, System.nanoTime() + Duration.ofSeconds(10).toNanos());
    }
  }

  /** Sees of Flink what the jar takes from it to speak with Kafka: its logging. */
  private static ClassLoader loggingAlone() {
    return new ClassLoader(ClassLoader.getPlatformClassLoader()) {
      @Override
      protected Class<?> findClass(String name) throws ClassNotFoundException {
        if (name.startsWith("org.slf4j.")) {
          return ShippedJarIT.class.getClassLoader().loadClass(name);
        }
        throw new ClassNotFoundException(name);
      }
    };
  }

  @Test
  void kafka_s_clients_work_under_their_new_name_and_know_login_modules_by_the_old()
      throws Exception {
    Thread thread = Thread.currentThread();
    ClassLoader before = thread.getContextClassLoader();
    try (URLClassLoader jar = new URLClassLoader(new URL[] {JAR.toURI().toURL()}, loggingAlone())) {
      thread.setContextClassLoader(jar);
      Class<?> settingsType = jar.loadClass("io.flinkactions.operator.store.StoreSettings");
      Object settings =
          settingsType
              .getMethod("kafka", String.class, String.class)
              .invoke(null, "localhost:1", "calls");
      settings =
          settingsType
              .getMethod("withProperties", Map.class)
              .invoke(
                  settings,
                  Map.of(
                      "security.protocol", "SASL_PLAINTEXT",
                      "sasl.mechanism", "PLAIN",
                      "sasl.jaas.config",
                          "org.apache.kafka.common.security.plain.PlainLoginModule required"
                              + " username=\"u\" password=\"p\";"));
      Class<?> clientsType = jar.loadClass("io.flinkactions.operator.store.KafkaClients");
      Constructor<?> constructor = clientsType.getDeclaredConstructor(settingsType, String.class);
      constructor.setAccessible(true);
      Object clients = constructor.newInstance(settings, "test");
      String serializer = SHADED + "org.apache.kafka.common.serialization.ByteArray";
      for (String role : List.of("producer", "consumer")) {
        var properties = clientsType.getDeclaredMethod(role);
        properties.setAccessible(true);
        Properties given = (Properties) properties.invoke(clients);
        given.put("key.serializer", serializer + "Serializer");
        given.put("value.serializer", serializer + "Serializer");
        given.put("key.deserializer", serializer + "Deserializer");
        given.put("value.deserializer", serializer + "Deserializer");
        String name = role.equals("producer") ? "KafkaProducer" : "KafkaConsumer";
        Class<?> type = jar.loadClass(SHADED + "org.apache.kafka.clients." + role + "." + name);
        try (AutoCloseable client =
            (AutoCloseable) type.getConstructor(Properties.class).newInstance(given)) {
          assertThat(client).isNotNull();
        }
      }
      Class<?> info = jar.loadClass(SHADED + "org.apache.kafka.common.utils.AppInfoParser");
      assertThat((String) info.getMethod("getVersion").invoke(null)).startsWith("4.");
    } finally {
      thread.setContextClassLoader(before);
    }
  }

  @Test
  void json_works_under_its_new_name() throws Exception {
    try (URLClassLoader jar = jarAlone()) {
      Class<?> mapper = jar.loadClass(SHADED + "com.fasterxml.jackson.databind.ObjectMapper");
      Object tree =
          mapper
              .getMethod("readTree", String.class)
              .invoke(mapper.getConstructor().newInstance(), "{\"a\":1.5e3}");
      assertThat(tree).hasToString("{\"a\":1500.0}");
    }
  }
}
