package io.flinkactions.operator;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Names of the operator's metrics, as docs/operations.md has them and as a job has them: {@code
 * actions.action.<name>.results}.
 */
final class MetricsTable {

  private static final Pattern QUOTED = Pattern.compile("`([^`]+)`");
  private static final Pattern OF_A_JOB = Pattern.compile("\\.(actions\\..+)$");
  // The names of actions and workers.
  private static final Pattern NAMED = Pattern.compile("^actions\\.(action|worker)\\.[^.]+\\.");
  private static final Pattern OF_A_RESOURCE =
      Pattern.compile("^actions\\.resource\\.[^.]+\\.[^.]+\\.");

  private MetricsTable() {}

  /** What the table says that there is, but for what agents and actions count themselves. */
  static Set<String> documented() throws Exception {
    Path page = Path.of(System.getProperty("flinkactions.docs"), "operations.md");
    Set<String> names = new TreeSet<>();
    for (String line : Files.readAllLines(page)) {
      if (line.startsWith("| `actions")) {
        String[] cells = line.split("\\|");
        for (String group : quoted(cells[1])) {
          quoted(cells[2]).forEach(name -> names.add(group + "." + name));
        }
      }
    }
    return names;
  }

  /** The same of a job's metrics. */
  static Set<String> ofJob(Collection<String> identifiers) {
    Set<String> names = new TreeSet<>();
    for (String identifier : identifiers) {
      Matcher own = OF_A_JOB.matcher(identifier);
      if (own.find()) {
        String name = NAMED.matcher(own.group(1)).replaceFirst("actions.$1.<name>.");
        names.add(OF_A_RESOURCE.matcher(name).replaceFirst("actions.resource.<type>.<name>."));
      }
    }
    names.removeIf(name -> name.contains(".user."));
    return names;
  }

  /** What jobs with an action state store have only. */
  static boolean isOfStore(String name) {
    return name.startsWith("actions.store.");
  }

  private static List<String> quoted(String cell) {
    return QUOTED.matcher(cell).results().map((MatchResult quoted) -> quoted.group(1)).toList();
  }
}
