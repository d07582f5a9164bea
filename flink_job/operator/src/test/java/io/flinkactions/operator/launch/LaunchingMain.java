package io.flinkactions.operator.launch;

/** A JVM that launches a server, says where, and does nothing else until it is killed. */
final class LaunchingMain {

  private LaunchingMain() {}

  public static void main(String[] arguments) throws Exception {
    LaunchSettings settings = LaunchSettings.of(arguments[0]).withPython(arguments[1]);
    System.out.println(LaunchedServer.open(settings, () -> {}).endpoint());
    Thread.sleep(Long.MAX_VALUE);
  }
}
