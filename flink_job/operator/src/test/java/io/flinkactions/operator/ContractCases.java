package io.flinkactions.operator;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** The protocol's cases as data, which pytest reads too: tests/contract/cases. */
public final class ContractCases {

  private ContractCases() {}

  public static JsonNode read(String file) {
    try {
      Path path = Path.of(System.getProperty("flinkactions.contract-cases"), file);
      return new ObjectMapper().readTree(Files.readString(path));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  public static Stream<JsonNode> items(JsonNode array) {
    return StreamSupport.stream(array.spliterator(), false);
  }
}
