package io.flinkactions.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What actions have written into the file "ledger" of their server's folder: it outlives them. */
final class Ledger {

  private Ledger() {}

  /** Its lines; none while nothing was written. */
  static List<String> ledger(ActionServerProcess server) {
    try {
      Path file = server.folder().resolve("ledger");
      return Files.exists(file) ? Files.readAllLines(file) : List.of();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** How often each line stands there that begins with this word; the word is left out. */
  static Map<String, Integer> count(List<String> ledger, String word) {
    Map<String, Integer> counts = new HashMap<>();
    for (String line : ledger) {
      if (line.startsWith(word + " ")) {
        counts.merge(line.substring(word.length() + 1), 1, Integer::sum);
      }
    }
    return counts;
  }

  /**
   * Each call that has begun has one idempotency key, however often it was made, and no two share
   * one: of lines that are "key", the call, and its key.
   */
  static void assertOneKeyPerCall(List<String> ledger) {
    Set<String> told = count(ledger, "key").keySet();
    assertThat(told.stream().map(line -> line.substring(0, line.lastIndexOf(' '))))
        .doesNotHaveDuplicates()
        .containsExactlyInAnyOrderElementsOf(count(ledger, "begin").keySet());
    assertThat(told.stream().map(line -> line.substring(line.lastIndexOf(' '))))
        .doesNotHaveDuplicates();
  }
}
