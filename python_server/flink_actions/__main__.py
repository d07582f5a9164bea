"""`python -m flink_actions`: the command `flink-actions`, of whichever environment that Python is."""

from flink_actions.server.cli import main

main()
