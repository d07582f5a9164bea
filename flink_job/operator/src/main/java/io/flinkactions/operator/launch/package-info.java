/**
 * Starts action servers where tasks run, for people who have none beside their TaskManagers.
 *
 * <p>{@link io.flinkactions.operator.launch.LaunchedServer} is a subtask's share in the server of
 * its JVM, and all that the operator sees; {@link io.flinkactions.operator.launch.SharedServer}
 * keeps that server running, and a {@link io.flinkactions.operator.launch.ServerProcess} is one
 * life of it. Nothing in this package touches Flink.
 */
package io.flinkactions.operator.launch;
