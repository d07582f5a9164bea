package io.flinkactions.operator.state;

import io.flinkactions.operator.state.v1.OperatorState;
import io.flinkactions.operator.state.v1.StoreState;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.OperatorStateStore;
import org.apache.flink.api.common.typeutils.base.array.BytePrimitiveArraySerializer;

/**
 * What a start of the operator inherits from the one before: format, namespace and epoch, in union
 * list state, so that every subtask sees what all of them were.
 */
public final class StartStore {

  /** Of what this version writes. */
  static final int FORMAT_VERSION = 1;

  /** The oldest format whose reader understands what this version writes. */
  static final int MIN_READER_VERSION = 1;

  private static final String STATE = "operator";

  private final ListState<byte[]> state;
  private final String writtenBy;
  private final String namespace;
  private final long epoch;
  private final List<StoreState> restoredStores;

  private StartStore(
      ListState<byte[]> state,
      String writtenBy,
      String namespace,
      long epoch,
      List<StoreState> restoredStores) {
    this.state = state;
    this.writtenBy = writtenBy;
    this.namespace = namespace;
    this.epoch = epoch;
    this.restoredStores = restoredStores;
  }

  /**
   * Reads what was restored, if anything was, and decides what this start is.
   *
   * @param jobIdentifier beats every other namespace; empty if not set
   * @param mintedNamespace for a first start
   * @param isIgnoringStore nothing that was recorded or kept before is to answer: the namespace is
   *     one that nobody has had before this job graph
   * @param nowMillis wall clock at this start
   * @throws StateFormatException if this version cannot read the snapshot
   */
  public static StartStore restore(
      OperatorStateStore flink,
      String writtenBy,
      String jobIdentifier,
      String mintedNamespace,
      boolean isIgnoringStore,
      long nowMillis)
      throws Exception {
    ListState<byte[]> state =
        flink.getUnionListState(
            new ListStateDescriptor<>(STATE, BytePrimitiveArraySerializer.INSTANCE));
    String namespace = jobIdentifier;
    if (isIgnoringStore) {
      // The same again when the job restarts by itself: the job graph is the same.
      namespace = jobIdentifier.isEmpty() ? mintedNamespace : jobIdentifier + "/" + mintedNamespace;
    }
    List<StoreState> stores = new ArrayList<>();
    long epoch = nowMillis;
    for (byte[] bytes : state.get()) {
      OperatorState restored = OperatorState.parseFrom(bytes);
      checkFormat(restored);
      epoch = Math.max(epoch, restored.getEpoch() + 1);
      if (namespace.isEmpty()) {
        namespace = restored.getNamespace();
      }
      if (restored.hasStore()) {
        stores.add(restored.getStore());
      }
    }
    return new StartStore(
        state, writtenBy, namespace.isEmpty() ? mintedNamespace : namespace, epoch, stores);
  }

  private static void checkFormat(OperatorState restored) throws StateFormatException {
    if (restored.getMinReaderVersion() > FORMAT_VERSION) {
      throw new StateFormatException(
          "the snapshot has state format "
              + restored.getFormatVersion()
              + ", written by operator "
              + restored.getWrittenBy()
              + ", and needs one that reads format "
              + restored.getMinReaderVersion()
              + "; this one reads up to "
              + FORMAT_VERSION
              + ". Run the job with the operator jar that wrote it, or a newer one");
    }
  }

  /** What keeps this job's invocations apart from another's. */
  public String namespace() {
    return namespace;
  }

  /** Above that of every start whose state was restored. */
  public long epoch() {
    return epoch;
  }

  /** What the subtasks knew of the action state store at the snapshot; none if there was none. */
  public List<StoreState> restoredStores() {
    return restoredStores;
  }

  /**
   * Puts it into the snapshot. The epoch may have been raised since the start.
   *
   * @param store how far the action state store is known; null if the job has none
   */
  public void snapshot(long currentEpoch, StoreState store) throws Exception {
    OperatorState.Builder current =
        OperatorState.newBuilder()
            .setFormatVersion(FORMAT_VERSION)
            .setMinReaderVersion(MIN_READER_VERSION)
            .setWrittenBy(writtenBy)
            .setNamespace(namespace)
            .setEpoch(currentEpoch);
    if (store != null) {
      current.setStore(store);
    }
    state.update(List.of(current.build().toByteArray()));
  }
}
