from __future__ import annotations

from typing import Any

import pytest
from flink_actions.server.fences import EpochFences, OperatorIdentity
from flink_actions.server.handshake import Accepted, Refused, examine, read_first_frame
from flink_actions.wire.v1 import session_pb2

from tests.support.session_client import Start

DIGESTS = {"sentiment": b"\x01" * 32, "fraud": b"\x02" * 32}


def ask(hello: session_pb2.Hello, **more: Any) -> Accepted | Refused:
    options: dict[str, Any] = {
        "plan_digests": DIGESTS,
        "fences": EpochFences(),
        "live_operators": (),
        "allows_pickle": False,
        "is_draining": False,
    }
    return examine(hello, **{**options, **more})


def refusal(verdict: Accepted | Refused) -> tuple[str, str]:
    assert isinstance(verdict, Refused)
    return session_pb2.Reject.Reason.Name(verdict.reason), verdict.message


def test_a_proper_hello_is_accepted_with_the_highest_common_version() -> None:
    verdict = ask(Start("sentiment").hello(protocol_max=9, config=b'{"a": 1}'))
    assert isinstance(verdict, Accepted)
    assert verdict.protocol == 1
    assert verdict.config == {"a": 1}


@pytest.mark.parametrize(
    ("changes", "reason", "names"),
    [
        ({"protocol_min": 2, "protocol_max": 3}, "PROTOCOL_VERSION", ["2 to 3", "1 to 1", "upgrade"]),
        ({"agent": "sentimnt"}, "UNKNOWN_AGENT", ["'sentimnt'", "'sentiment'", "'fraud'"]),
        ({"pinned_plan_digest": b"\x09" * 32}, "PLAN_MISMATCH", ["09" * 32, "01" * 32]),
        ({"pinned_plan_digest": b"\x01" * 7}, "PLAN_MISMATCH", ["01" * 7, "01" * 32]),
        ({"pinned_plan_digest": b"\x01" * 33}, "PLAN_MISMATCH", ["01" * 33, "01" * 32]),
        ({"accepted_content_types": [session_pb2.PICKLE]}, "CONTENT_TYPE", ["pickle", "--allow-pickle"]),
        ({"start_id": b"short"}, "MALFORMED", ["start_id", "5 bytes", "16"]),
        ({"epoch": 0}, "MALFORMED", ["epoch is 0"]),
        ({"namespace": ""}, "MALFORMED", ["namespace"]),
        ({"key_group_first": 5, "key_group_last": 4}, "MALFORMED", ["5 to 4"]),
        ({"key_group_last": 1 << 20}, "MALFORMED", ["1048576"]),
        ({"config": b"{"}, "MALFORMED", ["config"]),
        ({"config": b"[]"}, "MALFORMED", ["config", "object"]),
    ],
)
def test_a_hello_that_cannot_be_served_is_refused_by_type_with_the_value_and_the_way_out(
    changes: dict[str, Any], reason: str, names: list[str]
) -> None:
    given, message = refusal(ask(Start("sentiment").hello(**changes)))
    assert given == reason
    assert all(name in message for name in names), message


def test_a_pinned_plan_that_is_served_is_accepted() -> None:
    assert isinstance(ask(Start("sentiment").hello(pinned_plan_digest=DIGESTS["sentiment"])), Accepted)
    assert isinstance(ask(Start("sentiment").hello(pinned_plan_digest=DIGESTS["sentiment"][:8])), Accepted)


def test_pickles_are_accepted_where_the_server_allows_them() -> None:
    hello = Start("sentiment").hello(accepted_content_types=[session_pb2.PICKLE])
    assert isinstance(ask(hello, allows_pickle=True), Accepted)


def test_a_second_job_under_a_live_namespace_is_told_to_set_job_identifier() -> None:
    hello = Start("sentiment", job_id="b" * 32).hello()
    live = OperatorIdentity(hello.namespace, "a" * 32, hello.operator_uid)
    reason, message = refusal(ask(hello, live_operators=[live]))
    assert reason == "NAMESPACE_IN_USE"
    assert "job-identifier" in message
    assert "a" * 32 in message


def test_other_subtasks_of_the_same_job_are_no_reason_to_refuse() -> None:
    hello = Start("sentiment").hello()
    live = OperatorIdentity(hello.namespace, hello.job_id, hello.operator_uid)
    assert isinstance(ask(hello, live_operators=[live]), Accepted)


def test_a_draining_worker_sends_jobs_elsewhere() -> None:
    assert refusal(ask(Start("sentiment").hello(), is_draining=True))[0] == "DRAINING"


def test_a_stale_start_learns_the_epoch_that_it_would_have_to_exceed() -> None:
    fences = EpochFences()
    ask(Start("sentiment", epoch=10).hello(), fences=fences)
    verdict = ask(Start("sentiment", epoch=9).hello(), fences=fences)
    assert refusal(verdict)[0] == "STALE_EPOCH"
    assert isinstance(verdict, Refused)
    assert verdict.known_epoch == 10


def test_a_refused_hello_fences_nobody() -> None:
    fences = EpochFences()
    first = Start("sentiment", epoch=1)
    ask(first.hello(), fences=fences)
    ask(Start("unknown", epoch=99).hello(), fences=fences)
    ask(Start("sentiment", epoch=99).hello(config=b"["), fences=fences)
    assert isinstance(ask(first.hello(), fences=fences), Accepted)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"\xff\xff\xff", ["3 bytes are no frame"]),
        (b"", ["nothing"]),
        (session_pb2.OperatorFrame(ping=session_pb2.Ping(id=1)).SerializeToString(), ["ping"]),
        (
            session_pb2.OperatorFrame(hello=Start("a").hello(), invokes=[session_pb2.Invoke()]).SerializeToString(),
            ["hello, invokes"],
        ),
    ],
)
def test_a_first_frame_that_is_not_hello_alone_is_malformed(data: bytes, names: list[str]) -> None:
    verdict = read_first_frame(data)
    assert isinstance(verdict, Refused)
    assert verdict.reason == session_pb2.Reject.MALFORMED
    assert all(name in verdict.message for name in names), verdict.message
