package io.flinkactions.operator.codec;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;

/** Writes the values of one Flink type as JSON. */
@FunctionalInterface
interface JsonWriter {

  void write(Object value, JsonGenerator out) throws IOException;
}
