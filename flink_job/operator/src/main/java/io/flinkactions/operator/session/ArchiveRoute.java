package io.flinkactions.operator.session;

/**
 * Where kept work of a key would be, of the generations that have drained and stay for that.
 *
 * @param session null: nowhere
 * @param mustWait that will be known when a session is there which is being made now
 */
public record ArchiveRoute(WorkerSession session, boolean mustWait) {
  static final ArchiveRoute NONE = new ArchiveRoute(null, false);
  static final ArchiveRoute NOT_YET = new ArchiveRoute(null, true);
}
