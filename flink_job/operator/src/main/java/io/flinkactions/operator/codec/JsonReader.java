package io.flinkactions.operator.codec;

import com.fasterxml.jackson.core.JsonParser;
import java.io.IOException;

/**
 * Reads the values of one Flink type from JSON; the parser stands at the value's first token and is
 * left at its last.
 */
@FunctionalInterface
interface JsonReader {

  Object read(JsonParser in) throws IOException;
}
