from __future__ import annotations

import pytest
from flink_actions.server import control


@pytest.mark.parametrize(
    "message",
    [
        control.Load("worker w0", "{}", 3, 4),
        control.Prepared(("a.py", "b.py")),
        control.Start("w0", b"\x00\xff" * 8, "unix:/s"),
        control.Loaded(":1", b"\x01", (control.AgentOffer("a", b"\x02", b"\x03\xff"),)),
        control.LoadFailed('line 1\nline "2"'),
        control.Admitted(b"\xfe" * 16),
        control.Serving(),
        control.Heartbeat(12, 3, (control.KeptFor("n", "o"),), lost_threads=2),
        control.Archived((control.KeptFor("n", "o"),)),
        control.DrainOrder(1.5),
    ],
)
def test_a_message_between_supervisor_and_worker_is_one_line_and_survives(message: control.Message) -> None:
    line = control.encode(message)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert control.decode(line) == message
