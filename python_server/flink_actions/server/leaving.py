"""What a worker may take to leave when its drain limit is over.

It owes its jobs more than its resources: first the code ends, then each job is told what was not done and goodbye, and
only then the author's resources are closed.

Each step has its limit, and the supervisor kills who exceeds all of them together: a worker that was killed in the
middle could not have said that its invocations are to be done elsewhere, or that none of them is to blame.
"""

from __future__ import annotations

__all__ = ["END_CODE_SECONDS", "GOODBYE_SECONDS", "LEAVE_SECONDS", "RESOURCES_SECONDS"]

END_CODE_SECONDS = 5.0
"""For what was cancelled to end."""

GOODBYE_SECONDS = 6.0
"""For sessions to write what is left; each has its own limit, which is shorter."""

RESOURCES_SECONDS = 10.0
"""For resources to be closed, all together."""

_REST_SECONDS = 4.0  # the server's end, and a machine that is busy
LEAVE_SECONDS = END_CODE_SECONDS + GOODBYE_SECONDS + RESOURCES_SECONDS + _REST_SECONDS
"""For all of it."""
