package io.flinkactions.operator.store;

/** Key of an entry that is to be ended, and the partition it is in. */
record Garbage(byte[] key, int partition) {}
