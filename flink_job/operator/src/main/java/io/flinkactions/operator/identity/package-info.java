/**
 * Names of events, runs and invocations, which repeat when work is repeated (session.proto,
 * Identity).
 */
package io.flinkactions.operator.identity;
