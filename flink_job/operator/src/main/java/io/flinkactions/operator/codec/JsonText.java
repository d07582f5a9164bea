package io.flinkactions.operator.codec;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.StreamWriteFeature;
import com.fasterxml.jackson.core.json.JsonWriteFeature;

/** The one JSON factory of the codecs. Thread-safe; it keeps its buffers per thread. */
final class JsonText {

  static final JsonFactory FACTORY =
      JsonFactory.builder()
          // Half-written objects must not be completed when an error passes through.
          .disable(StreamWriteFeature.AUTO_CLOSE_CONTENT)
          .disable(StreamReadFeature.AUTO_CLOSE_SOURCE)
          // An emoji is four bytes of UTF-8, not twelve of escapes.
          .enable(JsonWriteFeature.COMBINE_UNICODE_SURROGATES_IN_UTF8)
          // Field names come from outside: interning them would fill the JVM's table.
          .configure(JsonFactory.Feature.INTERN_FIELD_NAMES, false)
          .build();

  private JsonText() {}
}
