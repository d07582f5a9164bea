from __future__ import annotations

import pytest
from flink_actions.engine.invocation import LocalInvocation, Succeeded
from flink_actions.server.credit import Credit, FrameWindow, Grant
from flink_actions.server.errors import ProtocolError


def invocations(*costs: int, first: int = 1) -> list[LocalInvocation]:
    return [
        LocalInvocation(handle, 0, b"", "_input_event", b"", cost_bytes=cost)
        for handle, cost in enumerate(costs, first)
    ]


def outcomes(*handles: int) -> list[Succeeded]:
    return [Succeeded(handle, [], None, 0) for handle in handles]


def test_what_is_given_back_may_be_used_again_and_grants_are_totals() -> None:
    credit = Credit(Grant(2, 1000), bytes_slack=0)
    credit.charge(invocations(100, 150))
    credit.give_back(outcomes(1))
    assert (credit.granted_invocations, credit.granted_bytes) == (3, 1100)
    credit.charge(invocations(850, first=3))
    with pytest.raises(ProtocolError, match=r"4 Invokes were sent, 3 were granted"):
        credit.charge(invocations(0, first=4))


def test_one_invoke_larger_than_all_credit_passes_when_nothing_is_open() -> None:
    credit = Credit(Grant(10, 1000), bytes_slack=5000)
    credit.charge(invocations(5500))
    credit.give_back(outcomes(1))
    credit.charge(invocations(900, first=2))
    with pytest.raises(ProtocolError, match="bytes of Invokes"):
        credit.charge(invocations(9000, first=3))


def test_a_handle_that_comes_twice_costs_no_credit_for_ever() -> None:
    credit = Credit(Grant(5, 1000), bytes_slack=0)
    credit.charge(invocations(100))
    credit.charge(invocations(30))
    credit.give_back(outcomes(1))
    assert credit.granted_invocations - credit.used_invocations == 5
    assert credit.granted_bytes - credit.used_bytes == 1000


def test_one_more_invoke_passes_when_the_job_has_cancelled_all_that_is_open() -> None:
    """Cancelled attempts are over for the job at once; their credit comes back when their code has ended."""
    credit = Credit(Grant(2, 1000), bytes_slack=0)
    credit.charge(invocations(400, 400))
    credit.abandon([1, 2, 99])
    credit.charge(invocations(400, first=3))
    with pytest.raises(ProtocolError, match="4 Invokes were sent, 2 were granted"):
        credit.charge(invocations(400, first=4))
    credit.give_back(outcomes(1, 2, 3))
    assert credit.granted_invocations - credit.used_invocations == 1


def test_one_more_invoke_is_refused_while_something_is_open() -> None:
    credit = Credit(Grant(2, 1000), bytes_slack=0)
    credit.charge(invocations(400, 400))
    credit.abandon([1])
    with pytest.raises(ProtocolError, match="3 Invokes were sent, 2 were granted"):
        credit.charge(invocations(400, first=3))


def test_cancelled_invokes_that_never_end_are_bounded() -> None:
    credit = Credit(Grant(1, 1000), bytes_slack=0)
    for handle in range(1, 1026):
        credit.charge(invocations(1, first=handle))
        credit.abandon([handle])
    with pytest.raises(ProtocolError, match="wait for Credit"):
        credit.charge(invocations(1, first=1026))


def test_an_outcome_whose_invoke_came_with_another_session_gives_nothing_back() -> None:
    credit = Credit(Grant(10, 1000), bytes_slack=0)
    credit.give_back(outcomes(7))
    assert (credit.granted_invocations, credit.granted_bytes) == (10, 1000)


def test_all_credit_is_free_again_when_nothing_is_open() -> None:
    credit = Credit(Grant(3, 1000), bytes_slack=0)
    for first in range(1, 300, 3):
        credit.charge(invocations(1, 2, 3, first=first))
        credit.give_back(outcomes(first, first + 2, first + 1))
    assert credit.granted_invocations - credit.used_invocations == 3
    assert credit.granted_bytes - credit.used_bytes == 1000
    assert not credit.charged


def test_a_frame_is_acknowledged_only_when_all_before_it_have_been_stepped() -> None:
    window = FrameWindow(3)
    for sequence in (1, 2, 3):
        window.receive(sequence)
    window.step(2)
    assert window.acknowledged == 0
    window.step(1)
    assert window.acknowledged == 2
    window.step(3)
    assert window.acknowledged == 3


@pytest.mark.parametrize("sequence", [0, 1, 3])
def test_a_frame_out_of_order_breaks_the_protocol(sequence: int) -> None:
    window = FrameWindow(5)
    window.receive(1)
    with pytest.raises(ProtocolError, match=f"has sequence {sequence}, the last one had 1"):
        window.receive(sequence)


def test_a_frame_beyond_the_window_breaks_the_protocol() -> None:
    window = FrameWindow(2)
    window.receive(1)
    window.receive(2)
    with pytest.raises(ProtocolError, match="at most 2"):
        window.receive(3)
    window.step(1)
    window.receive(3)
