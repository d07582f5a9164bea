package io.flinkactions.operator.store;

import java.time.Duration;

/**
 * Why a job cannot use its action state store. Each names the thing, the value and the way out.
 *
 * <pre>
 * StoreException
 * ├── Misconfigured     no Kafka client can be made of the settings
 * ├── Unreachable       no broker answered for action-state-store.timeout
 * ├── Refused           the brokers do not let this job in, or not at the topic
 * ├── UnfitTopic        the topic would lose entries, or cannot be read
 * ├── OtherLayout       entries lie in other partitions than this job would look in
 * ├── RecordTooLarge    one call's record exceeds what the topic takes
 * ├── RebuildTooLarge   more was recorded since the checkpoint than the heap is to hold
 * └── Failed            Kafka said no for another reason
 * </pre>
 */
public abstract sealed class StoreException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private StoreException(String message, Throwable cause) {
    super(message, cause);
  }

  public static final class Misconfigured extends StoreException {
    private static final long serialVersionUID = 1;

    Misconfigured(StoreSettings settings, Throwable cause) {
      super(
          "No Kafka client can be made for the action state store at "
              + settings.brokers()
              + ": "
              + (cause.getCause() == null ? cause : cause.getCause()).getMessage()
              + ". Correct kafkaBootstrapServers or kafka-properties.*",
          cause);
    }
  }

  public static final class Unreachable extends StoreException {
    private static final long serialVersionUID = 1;

    Unreachable(StoreSettings settings, Duration waited, String detail, Throwable cause) {
      super(
          "The brokers of the action state store at "
              + settings.brokers()
              + " did not answer for "
              + waited.toMillis() / 1000.0
              + " s (action-state-store.timeout). Last error: "
              + detail
              + ". Start them, or correct kafkaBootstrapServers",
          cause);
    }
  }

  public static final class Refused extends StoreException {
    private static final long serialVersionUID = 1;

    Refused(StoreSettings settings, Throwable cause) {
      super(
          "The brokers of the action state store at "
              + settings.brokers()
              + " refuse this job at topic '"
              + settings.topic()
              + "': "
              + cause.getMessage()
              + ". It has to create or describe the topic, describe its configuration, read and"
              + " write; credentials go into kafka-properties.*",
          cause);
    }
  }

  public static final class UnfitTopic extends StoreException {
    private static final long serialVersionUID = 1;

    UnfitTopic(StoreSettings settings, String setting, String value, String why, String wayOut) {
      super(
          "Topic '"
              + settings.topic()
              + "' at "
              + settings.brokers()
              + " has "
              + setting
              + " '"
              + value
              + "': "
              + why
              + ". "
              + wayOut,
          null);
    }
  }

  public static final class OtherLayout extends StoreException {
    private static final long serialVersionUID = 1;

    OtherLayout(String topic, String was, String is) {
      super(
          "Topic '"
              + topic
              + "' has calls of this job that were recorded with "
              + was
              + ", and this start has "
              + is
              + ": it would look for them in other partitions. Set it back, or begin with an empty"
              + " store (ignore-store, or another kafkaActionStateTopic)",
          null);
    }
  }

  public static final class RecordTooLarge extends StoreException {
    private static final long serialVersionUID = 1;

    RecordTooLarge(StoreSettings settings, int bytes, Throwable cause) {
      super(
          "A durable call's record of "
              + bytes
              + " bytes exceeds what topic '"
              + settings.topic()
              + "' takes: "
              + cause.getMessage()
              + ". Raise the topic's max.message.bytes, or return less from the call",
          cause);
    }
  }

  public static final class RebuildTooLarge extends StoreException {
    private static final long serialVersionUID = 1;

    RebuildTooLarge(String topic, long limit) {
      super(
          "Topic '"
              + topic
              + "' has more than "
              + limit
              + " bytes (action-state-store.rebuild-limit) of calls that were recorded since the"
              + " checkpoint this start came from. Raise the limit, take checkpoints more often, or"
              + " make those calls again (ignore-store)",
          null);
    }
  }

  public static final class Failed extends StoreException {
    private static final long serialVersionUID = 1;

    Failed(StoreSettings settings, Throwable cause) {
      super(
          "Kafka at "
              + settings.brokers()
              + " does not do what the action state store needs of topic '"
              + settings.topic()
              + "': "
              + cause,
          cause);
    }
  }
}
