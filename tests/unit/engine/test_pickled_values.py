"""Values of durable calls that have no JSON form: pickled where server and job both allow it, else refused by name."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flink_actions import OutputEvent
from flink_actions.engine.invocation import CancelReason, ContentType, FailureKind
from flink_actions.engine.pickled import NO_PICKLES, PickleConsent
from flink_actions.testing import ActionFailedError, run_agent

from tests.unit.engine.test_durable import Job, Order, agent_of, failure, output
from tests.unit.engine.worker import Worker

BOTH = PickleConsent(server=True, job=True)
ONLY_SERVER, ONLY_JOB = PickleConsent(server=True), PickleConsent(job=True)


class Seat:
    """Equal by what it holds, and no dataclass."""

    def __init__(self, row: int) -> None:
        self.row = row

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seat) and other.row == self.row

    __hash__ = None  # type: ignore[assignment]


class TracelessSeat(Seat):
    """Can be pickled, and not read back."""

    def __reduce__(self) -> Any:
        return _no_seat, ()


def _no_seat() -> None:
    raise LookupError("the seat is gone")


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class SpeechlessSeat(Seat):
    """Can be pickled, and is read back with an error that has no text."""

    def __reduce__(self) -> Any:
        return _no_words, ()


def _no_words() -> None:
    raise SpeechlessError


class Bomb:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


class Show:
    """An action that makes one call, and then dies once, if it is told to."""

    def __init__(self, make: Callable[[], Any], *, dies: bool = True) -> None:
        self.made = 0
        self.seen: list[Any] = []
        self.died = asyncio.Event()
        self._make = make
        self._dies = dies

    async def act(self, event: Any, ctx: Any) -> None:
        self.seen.append(await ctx.durable_execute_async(self.give))
        if self._dies:
            self._dies = False
            self.died.set()
            await asyncio.sleep(60)
        ctx.send_event(OutputEvent(output=type(self.seen[-1]).__name__))

    async def give(self) -> Any:
        self.made += 1
        return self._make()


@pytest.mark.parametrize(
    "make",
    [lambda: Seat(7), lambda: {3, 1}, lambda: [Seat(1), {"a": Seat(2)}], lambda: {1: "a"}, lambda: 2**80],
    ids=["an object", "a set", "inner objects", "keys that are no text", "a large integer"],
)
async def test_what_has_no_json_form_is_recorded_and_replayed_as_an_equal_object(make: Callable[[], Any]) -> None:
    show = Show(make)
    async with Worker(agent_of(show.act)) as worker:
        worker.scope.pickles = BOTH
        job = Job(worker)
        await job.run("act", until=show.died.is_set)
        (record,) = job.records.values()
        assert record.content_type == ContentType.PICKLE
        assert output(await job.run("act")) == type(make()).__name__
    assert show.made == 1
    assert show.seen == [make(), make()]


async def test_the_first_attempt_has_a_copy_as_the_replay_will() -> None:
    seat = Seat(7)
    show = Show(lambda: seat, dies=False)
    async with Worker(agent_of(show.act)) as worker:
        worker.scope.pickles = BOTH
        await Job(worker).run("act")
    assert show.seen == [seat]
    assert show.seen[0] is not seat


async def test_a_class_that_no_module_has_is_pickled_too() -> None:
    def make() -> Any:
        class Local:
            row = 3

        return Local()

    show = Show(make)
    async with Worker(agent_of(show.act)) as worker:
        worker.scope.pickles = BOTH
        job = Job(worker)
        await job.run("act", until=show.died.is_set)
        assert output(await job.run("act")) == "Local"
    assert [seen.row for seen in show.seen] == [3, 3]


async def test_calls_from_threads_are_pickled_too() -> None:
    made, died = [], threading.Event()

    def give() -> Seat:
        made.append(1)
        return Seat(len(made))

    def act(event: Any, ctx: Any) -> None:
        seat = ctx.durable_execute(give)
        if not died.is_set():
            died.set()
            raise RuntimeError("after the call")
        ctx.send_event(OutputEvent(output=seat.row))

    async with Worker(agent_of(act)) as worker:
        worker.scope.pickles = BOTH
        job = Job(worker)
        failure(await job.run("act"))
        assert output(await job.run("act")) == 1
    assert made == [1]


@pytest.mark.parametrize("consent", [NO_PICKLES, BOTH], ids=["without consent", "with consent"])
async def test_what_has_a_json_form_is_never_pickled(consent: PickleConsent) -> None:
    show = Show(lambda: [Order("a", 3), b"x", (1, 2)], dies=False)
    async with Worker(agent_of(show.act)) as worker:
        worker.scope.pickles = consent
        job = Job(worker)
        await job.run("act")
        (record,) = job.records.values()
    assert record.content_type == ContentType.JSON
    assert show.seen == [[{"name": "a", "cents": 3}, "eA==", [1, 2]]]


@pytest.mark.parametrize(
    ("consent", "said", "unsaid"),
    [
        (NO_PICKLES, ["neither server nor job", "--allow-pickle", "allow_pickle=True"], []),
        (ONLY_SERVER, ["the job does not", "allow_pickle=True"], ["--allow-pickle"]),
        (ONLY_JOB, ["the server does not", "--allow-pickle"], ["allow_pickle=True"]),
    ],
    ids=["nobody", "the server only", "the job only"],
)
async def test_without_the_consent_of_both_a_call_fails_and_says_who_has_to_allow_it(
    consent: PickleConsent, said: list[str], unsaid: list[str]
) -> None:
    show = Show(lambda: {"seat": Seat(7)}, dies=False)
    async with Worker(agent_of(show.act)) as worker:
        worker.scope.pickles = consent
        job = Job(worker)
        failed = failure(await job.run("act"))
        assert job.records == {}, "a retry calls again"
    assert failed.kind is FailureKind.NOT_ENCODABLE
    for text in ["Show.give['seat']", "Seat has no JSON form", *said]:
        assert text in failed.message
    for text in unsaid:
        assert text not in failed.message


@pytest.mark.parametrize("consent", [NO_PICKLES, ONLY_SERVER, ONLY_JOB], ids=["nobody", "the server", "the job"])
async def test_a_recorded_pickle_is_not_loaded_when_either_side_has_taken_back_its_word(
    consent: PickleConsent, tmp_path: Path
) -> None:
    went_off = tmp_path / "went off"
    show = Show(lambda: Bomb(went_off))
    async with Worker(agent_of(show.act)) as worker:
        worker.scope.pickles = BOTH
        job = Job(worker)
        await job.run("act", until=show.died.is_set)
        went_off.unlink()

        worker.scope.pickles = consent
        failed = failure(await job.run("act"))
        assert failed.exception == "flink_actions.sdk.errors.NotDecodableError"
        assert "Show.give: it was recorded as a pickle" in failed.message
        assert consent.way_out in failed.message
        assert not went_off.exists()

        worker.scope.pickles = BOTH
        output(await job.run("act"))
        assert went_off.exists()
    assert show.made == 1, "the record stays until it may be loaded"


async def test_a_pickle_whose_class_is_gone_is_a_failure_by_name_and_its_record_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    show = Show(lambda: Seat(7))
    async with Worker(agent_of(show.act)) as worker:
        worker.scope.pickles = BOTH
        job = Job(worker)
        await job.run("act", until=show.died.is_set)
        with monkeypatch.context() as reloaded:
            reloaded.delattr(sys.modules[__name__], "Seat")
            failed = failure(await job.run("act"))
        assert failed.exception == "flink_actions.sdk.errors.NotDecodableError"
        for text in ["Show.give", "AttributeError", "Seat", "the record stays"]:
            assert text in failed.message
        output(await job.run("act"))
    assert show.made == 1


@pytest.mark.parametrize("value", [b"", b"rubbish", b"\x80\x05cno_such_module\nThing\n."])
async def test_bytes_that_are_no_pickle_are_a_failure_by_name(value: bytes) -> None:
    show = Show(lambda: Seat(7))
    async with Worker(agent_of(show.act)) as worker:
        worker.scope.pickles = BOTH
        job = Job(worker)
        await job.run("act", until=show.died.is_set)
        ((place, record),) = job.records.items()
        job.records[place] = record._replace(value=value)
        failed = failure(await job.run("act"))
    assert failed.exception == "flink_actions.sdk.errors.NotDecodableError"
    assert "its recorded pickle cannot be loaded" in failed.message


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (threading.Lock, "cannot pickle"),
        (lambda: TracelessSeat(1), "the seat is gone"),
        (lambda: SpeechlessSeat(1), "whose text raised ValueError"),
    ],
    ids=["no pickle", "a pickle that cannot be read back", "an error that cannot be read either"],
)
async def test_what_cannot_be_pickled_and_read_back_fails_its_call_and_is_not_recorded(
    make: Callable[[], Any], said: str
) -> None:
    show = Show(make, dies=False)
    async with Worker(agent_of(show.act)) as worker:
        worker.scope.pickles = BOTH
        job = Job(worker)
        failed = failure(await job.run("act"))
        assert job.records == {}
    assert failed.kind is FailureKind.NOT_ENCODABLE
    for text in ["Show.give", "has no JSON form", said]:
        assert text in failed.message


async def test_a_content_type_that_this_version_does_not_know_is_refused_by_its_number() -> None:
    show = Show(lambda: 1)
    async with Worker(agent_of(show.act)) as worker:
        worker.scope.pickles = BOTH
        job = Job(worker)
        await job.run("act", until=show.died.is_set)
        ((place, record),) = job.records.items()
        job.records[place] = record._replace(content_type=99)
        failed = failure(await job.run("act"))
    assert failed.exception == "flink_actions.sdk.errors.NotDecodableError"
    assert "content type 99" in failed.message


async def test_a_pickle_that_this_worker_has_kept_answers_a_restored_job_that_allows_it_and_no_other() -> None:
    show = Show(lambda: Seat(7))
    async with Worker(agent_of(show.act)) as worker:

        def restart(consent: PickleConsent) -> Job:
            worker.dispatcher.end_scope(worker.scope, CancelReason.SUPERSEDED)
            worker.scope = worker.dispatcher.open_scope(worker.plan, namespace="n", operator_uid="o", keeps_work=True)
            worker.scope.attach(worker.outbox)
            worker.scope.pickles = consent
            job = Job(worker)
            job.attempt = 1
            return job

        await restart(BOTH).run("act", until=show.died.is_set)
        refused = restart(ONLY_SERVER)
        assert "it was recorded as a pickle" in failure(await refused.run("act")).message
        restored = restart(BOTH)
        assert output(await restored.run("act")) == "Seat"
        assert [record.content_type for record in restored.records.values()] == [ContentType.PICKLE]
    assert show.made == 1


async def test_without_the_package_a_value_is_refused_and_the_package_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server does not even start so; the runner of tests may be without it."""
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    show = Show(lambda: Seat(7), dies=False)
    async with Worker(agent_of(show.act)) as worker:
        worker.scope.pickles = BOTH
        failed = failure(await Job(worker).run("act"))
    assert failed.kind is FailureKind.NOT_ENCODABLE
    assert "cloudpickle" in failed.message


def test_the_runner_of_tests_allows_pickles_when_it_is_told_to() -> None:
    async def give() -> Seat:
        return Seat(7)

    async def act(event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=(await ctx.durable_execute_async(give)).row))

    assert run_agent(agent_of(act), [1], allow_pickle=True).outputs == [7]
    with pytest.raises(ActionFailedError, match="has no JSON form"):
        run_agent(agent_of(act), [1])
