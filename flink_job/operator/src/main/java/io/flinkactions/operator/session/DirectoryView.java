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
 * @param firstSessions by generation, incarnations that have a session or are being connected for
 *     the first time: a generation is not used before all of them have one, or have failed once
 * @param awaited incarnations that may hold work of earlier starts and have time left to tell
 */
record DirectoryView(
    List<ByteString> generations,
    Map<ByteString, WorkerEntry.State> states,
    Set<ByteString> reachableSoon,
    Map<ByteString, Set<ByteString>> firstSessions,
    Set<ByteString> awaited) {

  static final DirectoryView EMPTY =
      new DirectoryView(List.of(), Map.of(), Set.of(), Map.of(), Set.of());
}
