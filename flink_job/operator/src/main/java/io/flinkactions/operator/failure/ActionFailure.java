package io.flinkactions.operator.failure;

import io.flinkactions.wire.v1.Failure;

/**
 * One attempt of an invocation that ended badly: what it was, where it ran, and what went wrong.
 *
 * @param agent the agent that the action belongs to
 * @param action the action's name
 * @param key canonical JSON text of the key
 * @param runNumber of the key's run
 * @param attempt counts hand-outs, from 1
 * @param failures of user code so far, this one included
 * @param worker where it ran; empty if it never got to one
 * @param generation of the worker's code, in hex; empty likewise
 * @param kind of failure
 * @param exception class of the exception in Python, or a name of ours
 * @param message its text
 * @param stack the Python stack; empty if there is none
 * @param retryAfterMillis what the action asked to wait at least before another attempt; 0: nothing
 */
public record ActionFailure(
    String agent,
    String action,
    String key,
    long runNumber,
    int attempt,
    int failures,
    String worker,
    String generation,
    Failure.Kind kind,
    String exception,
    String message,
    String stack,
    long retryAfterMillis) {}
