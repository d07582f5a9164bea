package io.flinkactions.operator;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.datastream.DataStream;

/** What happens to the one job that a test runs. Its threads are in this JVM. */
final class Incidents {

  private static final AtomicInteger OUTPUTS = new AtomicInteger();
  private static volatile int failingOutput;
  private static volatile CountDownLatch held;

  private Incidents() {}

  /** From its {@code index}-th on, an input of key 0 and what is behind it wait to be let go. */
  static DataStream<String> holdFrom(long index, DataStream<String> inputs) {
    held = new CountDownLatch(1);
    String first = "{\"k\":0,\"i\":" + index + "}";
    return inputs
        .map(
            text -> {
              if (text.equals(first)) {
                held.await(60, TimeUnit.SECONDS);
              }
              return text;
            })
        .returns(Types.STRING)
        .setParallelism(1);
  }

  static void letGo() {
    held.countDown();
  }

  /** The task fails at this output, counted over its restarts: once. */
  static DataStream<String> failAt(int output, DataStream<String> outputs) {
    OUTPUTS.set(0);
    failingOutput = output;
    return outputs.map(
        text -> {
          if (OUTPUTS.incrementAndGet() == failingOutput) {
            throw new IllegalStateException("the task fails");
          }
          return text;
        });
  }

  static boolean hasFailed() {
    return OUTPUTS.get() >= failingOutput;
  }
}
