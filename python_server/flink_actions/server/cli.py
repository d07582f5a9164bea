"""The command `flink-actions`.

Exit codes: 0 as asked; 1 the server, the agent or the address is not as it should be; 2 the command line, a variable or
the config file is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from flink_actions.server.config import ServerSettings, read_settings
from flink_actions.server.errors import ServerError
from flink_actions.server.protocol import SERVER_VERSION

__all__ = ["main"]

_OVERVIEW = """\
Runs the Python actions of Apache Flink agents in a process of their own. A Flink job connects to it, sends events, and
gets back what the actions emit and remember; no Python runs inside Flink.

  1. write an agent         agent.py:  agent = MyAgent()
  2. see whether it loads   flink-actions check agent.py:agent
  3. serve it               flink-actions serve agent.py:agent
  4. look at what is served flink-actions describe
  5. point a job at it      ActionServer("localhost:7077").agent("my_agent").apply(stream, ...)
"""

_SERVE = """\
Serves one or more agents until SIGTERM or Ctrl-C, then lets running actions finish within --drain-seconds and exits 0.
To serve changed code, send SIGHUP, or start with --reload: new workers load it and take over when they serve, and the
old ones finish what they began. Code that does not load changes nothing. No job restarts.

A target is package.module:name or path/to/file.py:name, the name being that of an Agent.

  flink-actions serve agent.py:agent
  flink-actions serve shop.agents:support shop.agents:fraud --workers 4
  flink-actions serve agent.py:agent --listen unix:/run/flink-actions/socket     a sidecar in the TaskManager's pod
"""

_SERVE_END = """\
Every setting may also stand in the environment (--drain-seconds is FLINK_ACTIONS_DRAIN_SECONDS) and in the config file
(drain_seconds = 60). The command line wins over the environment, the environment over the file. The file is TOML or
JSON; its section `agent` is what agents and resources read as their configuration:

  workers = 2
  [agent]
  model = "small"

Health checks (gRPC): "" is ready, "liveness" is alive, "worker/w0" is one worker.
"""

_DESCRIBE = """\
Asks a running server what it serves: agents, actions and their triggers, generations, workers.

  flink-actions describe
  flink-actions describe unix:/run/flink-actions/socket
"""

_CHECK = """\
Loads an agent as the server would, checks it, and prints its plan: actions, what triggers them, and resources. Exits 1
and says where and why if it does not load.

  flink-actions check agent.py:agent

Of an action's settings those are printed that are not the defaults: one attempt without a time limit, then the job
fails; any number at a time; durable calls are recorded in checkpoints, and a replay that differs fails.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script; leaves the process with an exit code."""
    started_at = time.time()
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.run is None:
        parser.print_help(sys.stderr)
        sys.exit(2)
    try:
        code = options.run(options, started_at)
        sys.stdout.flush()
    except BrokenPipeError:
        if options.run is _serve:
            raise
        # Whoever reads has seen enough (`describe | head`); what is left in the buffer would be tried again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except ServerError as error:
        print(f"flink-actions: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = _teaching(argparse.ArgumentParser, prog="flink-actions", description=_OVERVIEW)
    parser.add_argument("--version", action="version", version=f"flink-actions {SERVER_VERSION}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(metavar="command", title="commands")
    _add_serve(commands)
    _add_describe(commands)
    _add_check(commands)
    return parser


def _teaching(make: Any, *names: str, **options: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = make(
        *names, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options
    )
    return parser


def _add_serve(commands: Any) -> None:
    parser = _teaching(
        commands.add_parser, "serve", help="serve agents to Flink jobs", description=_SERVE, epilog=_SERVE_END
    )
    parser.set_defaults(run=_serve)
    parser.add_argument("targets", nargs="*", metavar="target", help="what to serve: module_or_file:agent")
    parser.add_argument("--config", metavar="FILE", dest="config_file", help="settings as TOML or JSON")
    _add_settings(parser)


def _add_describe(commands: Any) -> None:
    parser = _teaching(commands.add_parser, "describe", help="what a running server serves", description=_DESCRIBE)
    parser.set_defaults(run=_describe)
    default = ServerSettings().listen
    parser.add_argument("address", nargs="?", default=default, help=f"host:port or unix:/path (default {default})")
    parser.add_argument("--timeout-seconds", type=float, default=5.0, help="how long to wait for an answer (default 5)")
    parser.add_argument("--tls-ca", metavar="FILE", help="authorities (PEM) that have signed the server's certificate")
    parser.add_argument(
        "--tls-certificate", metavar="FILE", help="own certificate (PEM), where the server asks for one"
    )
    parser.add_argument("--tls-key", metavar="FILE", help="its private key (PEM)")
    parser.add_argument("--tls-server-name", metavar="NAME", help="name in the server's certificate, if not its host")
    parser.add_argument("--token-file", metavar="FILE", help="file with the token that the server asks for")


def _add_check(commands: Any) -> None:
    parser = _teaching(commands.add_parser, "check", help="load and validate an agent", description=_CHECK)
    parser.set_defaults(run=_check)
    parser.add_argument("targets", nargs="+", metavar="target", help="what to check: module_or_file:agent")


_SETTING_HELP = (
    ("listen", "ADDRESS", "host:port or unix:/path that jobs connect to"),
    ("health_listen", "ADDRESS", "a second address, for health checks only; it may be public"),
    ("tls_certificate", "FILE", "certificate chain (PEM) for TLS at TCP addresses"),
    ("tls_key", "FILE", "its private key (PEM)"),
    ("tls_client_ca", "FILE", "authorities (PEM) that have to have signed a client's certificate"),
    ("token_file", "FILE", "file with a token that jobs have to bring"),
    ("workers", "N", "processes that run actions; one keeps about one core busy"),
    (
        "spares",
        "N",
        "processes that wait with the code loaded to take the place of a worker that dies; after a change to a data "
        "file that is read at import, send SIGHUP",
    ),
    ("socket_mode", "OCTAL", "permissions of Unix sockets"),
    ("load_limit_seconds", "S", "how long a process may take to load the agents' code"),
    ("drain_seconds", "S", "how long running actions may go on after SIGTERM"),
    ("linger_seconds", "S", "how long actions run on after their job's connection was lost"),
    ("threads", "N", "most `def` actions that run at once in one worker"),
    ("credit_invocations", "N", "actions that one connection may have open"),
    ("credit_bytes", "BYTES", "bytes of events that one connection may have open"),
    ("max_frame_bytes", "BYTES", "largest message in either direction"),
    ("frame_window", "N", "frames under way before an acknowledgement"),
    ("memory_mirror_bytes", "BYTES", "memory of keys that one worker keeps between actions, for each job"),
    ("kept_work_bytes", "BYTES", "finished work kept for a restored job until a checkpoint covers it, for each job"),
    ("kept_work_seconds", "S", "how long such work is kept at most"),
    ("archive_seconds", "S", "how long a worker stays after a reload, to hand finished work back to a restored job"),
    ("quarantine_idle_seconds", "S", "how long the quarantine worker waits for further suspects"),
    ("quarantine_turn_seconds", "S", "how long one subtask's suspects have it while others wait"),
    ("blocked_after_seconds", "S", "a worker whose event loop stood still for this long (1.5 or more) is not ready"),
    ("blocked_limit_seconds", "S", "... for this long (3 or more) is ended and replaced"),
    ("log_level", "LEVEL", "DEBUG, INFO, WARNING or ERROR"),
)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    defaults = ServerSettings()
    for name, metavar, text in _SETTING_HELP:
        default = getattr(defaults, name)
        shown = f"{default:o}" if name == "socket_mode" else default or "none"
        parser.add_argument(
            f"--{name.replace('_', '-')}", metavar=metavar, default=argparse.SUPPRESS, help=f"{text} (default {shown})"
        )
    parser.add_argument(
        "--insecure-public",
        action="store_true",
        default=argparse.SUPPRESS,
        help="allow an address that other machines can reach, although nothing encrypts or authenticates the traffic",
    )
    parser.add_argument(
        "--exit-with-stdin",
        action="store_true",
        default=argparse.SUPPRESS,
        help="leave, as after SIGTERM, when standard input ends: for whoever starts a server and may be killed",
    )
    parser.add_argument(
        "--reload",
        action="store_true",
        default=argparse.SUPPRESS,
        help="serve changed code when a source file of the agents' own is saved; SIGHUP does the same once",
    )
    parser.add_argument(
        "--allow-pickle",
        action="store_true",
        default=argparse.SUPPRESS,
        help="load pickled objects from jobs, as inputs and values of durable calls: whoever reaches the address can "
        "then run code here; needs flink-actions[pickle]",
    )


# ---- the commands: each imports what it needs, because loading all of it would delay the start of a server ----


def _serve(options: argparse.Namespace, started_at: float) -> int:
    flags = {name: value for name, value in vars(options).items() if name not in ("run", "config_file")}
    if not options.targets:
        # A config file may name them; an empty list on the command line must not hide that.
        del flags["targets"]
    settings = read_settings(flags, config_file=options.config_file)

    from flink_actions.server.serve import serve

    return serve(settings, started_at)


def _describe(options: argparse.Namespace, started_at: float) -> int:
    from flink_actions.server.describe import Access, describe

    access = Access(
        options.tls_ca, options.tls_certificate, options.tls_key, options.tls_server_name, options.token_file
    )
    return describe(options.address, options.timeout_seconds, access)


def _check(options: argparse.Namespace, started_at: float) -> int:
    from flink_actions.server.check import check

    return check(options.targets)
