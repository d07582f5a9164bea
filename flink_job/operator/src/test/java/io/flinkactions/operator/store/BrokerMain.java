package io.flinkactions.operator.store;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import kafka.Kafka;
import kafka.tools.StorageTool;
import org.apache.kafka.common.Uuid;

/** A Kafka broker and controller in one process, which ends when its standard input does. */
final class BrokerMain {

  private BrokerMain() {}

  /** Takes the file of the broker's properties and its data folder. */
  public static void main(String[] arguments) {
    String properties = arguments[0];
    if (!Files.exists(Path.of(arguments[1], "meta.properties"))) {
      String[] format = {
        "format", "--cluster-id", Uuid.randomUuid().toString(), "--config", properties
      };
      int code = StorageTool.execute(format, System.out);
      if (code != 0) {
        System.exit(code);
      }
    }
    Thread parent = new Thread(BrokerMain::endWithParent, "parent");
    parent.setDaemon(true);
    parent.start();
    Kafka.main(new String[] {properties});
  }

  private static void endWithParent() {
    try {
      while (System.in.read() >= 0) {
        // Nothing is ever said.
      }
    } catch (IOException e) {
      // The same as its end.
    }
    Runtime.getRuntime().halt(1);
  }
}
