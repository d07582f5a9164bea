"""What a worker does when nobody looks after it any more."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

_BLOCKED = """
import socket, sys, threading, time
from flink_actions.server.worker import _exit_when_abandoned
is_worker = threading.Event()
is_worker.set()
_exit_when_abandoned(socket.socket(fileno=int(sys.argv[1])), 0.2, is_worker)
print("watching", flush=True)
time.sleep(60)
"""


def test_a_blocked_worker_ends_soon_after_its_supervisor_and_not_before() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", _BLOCKED, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "watching\n"
        # Messages are not its business.
        ours.sendall(b"a message")
        time.sleep(0.5)
        assert process.poll() is None
        ours.close()
        assert process.wait(5) == 1
        assert "the supervisor went 0.2 s ago" in process.communicate()[1]
    finally:
        process.kill()
        process.communicate()
