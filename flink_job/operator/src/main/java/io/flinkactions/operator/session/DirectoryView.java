package io.flinkactions.operator.session;

import com.google.protobuf.ByteString;
import io.flinkactions.wire.v1.WorkerEntry;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What routing needs to know of the directory, as it was last read.
 *
 * @param generations ids, oldest first
 * @param states by incarnation; an orphan of an earlier supervisor is not in it
 * @param reachableSoon generations with a worker to which a connection is being made: a run that
 *     began there waits for it
 */
record DirectoryView(
    List<ByteString> generations,
    Map<ByteString, WorkerEntry.State> states,
    Set<ByteString> reachableSoon) {

  static final DirectoryView EMPTY = new DirectoryView(List.of(), Map.of(), Set.of());
}
