package io.flinkactions.operator.codec;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.core.JsonParser;
import java.io.IOException;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** That Python reads what is written here is tested in tests/e2e. */
class JsonPickleTest {

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "null             | 80034e2e",
        "true             | 8003882e",
        "-1               | 80034affffffff2e",
        "2147483647       | 80034affffff7f2e",
        "2147483648       | 80038b0500000000000080002e",
        "-9223372036854775808 | 80038b0800000000000000000000802e",
        "0.5              | 8003473fe00000000000002e",
        "\"é\"            | 80035802000000c3a92e",
        "[1, []]          | 80035d284a010000005d2865652e",
        "{\"a\": {}}      | 80037d285801000000617d2875752e",
      })
  void a_json_value_becomes_the_opcodes_of_python_s_value(String json, String hex)
      throws IOException {

    assertThat(HexFormat.of().formatHex(pickled(json))).isEqualTo(hex);
  }

  @Test
  void bytes_become_bytes() {
    assertThat(HexFormat.of().formatHex(JsonPickle.of(new byte[] {0, 1})))
        .isEqualTo("80034202000000" + "0001" + "2e");
  }

  private static byte[] pickled(String json) throws IOException {
    try (JsonParser in = JsonText.FACTORY.createParser(json)) {
      in.nextToken();
      return JsonPickle.of(in);
    }
  }
}
