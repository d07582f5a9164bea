/** Talks to the action server. */
package io.flinkactions.operator.session;
