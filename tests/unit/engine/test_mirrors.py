"""Mirrors: right exactly when their version is the one that is asked for."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from flink_actions import Agent, Event, OutputEvent, RunnerContext, action
from flink_actions.engine.invocation import (
    CancelReason,
    LocalInvocation,
    MemoryChanges,
    MemoryForm,
    NeedsMemory,
    Succeeded,
)
from flink_actions.engine.mirrors import OBJECT, Mirror, Mirrors, VersionMint

from tests.unit.engine.worker import Worker

V1, V2, V3 = b"version1", b"version2", b"version3"


def full(version: bytes, sensory: dict[str, bytes], short_term: dict[str, bytes], key: bytes = b"k") -> LocalInvocation:
    return asks(
        version,
        key,
        memory_form=MemoryForm.FULL,
        sensory_count=len(sensory),
        memory_path=[*sensory, *short_term],
        memory_value=[*sensory.values(), *short_term.values()],
    )


def delta(base: bytes, version: bytes, changes: dict[str, bytes], **fields: Any) -> LocalInvocation:
    return asks(
        version,
        memory_form=MemoryForm.DELTA,
        memory_from=base,
        memory_path=[*changes],
        memory_value=[*changes.values()],
        **fields,
    )


def asks(version: bytes, key: bytes = b"k", **fields: Any) -> LocalInvocation:
    return LocalInvocation(1, 0, bytes(16), "t", b"{}", key=key, memory_version=version, **fields)


def content(mirror: Mirror | None) -> tuple[bytes, dict[str, bytes], dict[str, bytes]]:
    assert mirror is not None
    return mirror.version, mirror.sensory.values, mirror.short_term.values


def test_what_came_whole_counts_even_under_a_version_that_is_known() -> None:
    mirrors = Mirrors(1 << 20)
    mirrors.resolve(full(V1, {}, {"kept": b"1", "expired": b"2"}))
    # With a time to live, entries go without a new version: only the operator's state knows.
    assert content(mirrors.resolve(full(V1, {}, {"kept": b"1"}))) == (V1, {}, {"kept": b"1"})


def test_memory_that_came_whole_is_there_for_the_next() -> None:
    mirrors = Mirrors(1 << 20)
    expected = (V1, {"s": b"1"}, {"a": OBJECT, "a.b": b"2"})
    assert content(mirrors.resolve(full(V1, *expected[1:]))) == expected
    assert content(mirrors.resolve(asks(V1))) == expected


def test_another_version_or_key_is_not_there() -> None:
    mirrors = Mirrors(1 << 20)
    mirrors.resolve(full(V1, {}, {"a": b"1"}))
    assert mirrors.resolve(asks(V2)) is None
    assert mirrors.resolve(asks(V1, b"other")) is None


def test_no_version_means_empty_memory_whatever_is_kept() -> None:
    mirrors = Mirrors(1 << 20)
    mirrors.resolve(full(V1, {}, {"a": b"1"}))
    assert content(mirrors.resolve(asks(b""))) == (b"", {}, {})


def test_a_delta_changes_the_version_that_it_names_and_no_other() -> None:
    mirrors = Mirrors(1 << 20)
    mirrors.resolve(full(V1, {"s": b"1"}, {"a": b"1", "b": b"2"}))
    assert mirrors.resolve(delta(V3, V2, {"a": b"9"})) is None
    found = mirrors.resolve(delta(V1, V2, {"a": b"", "c": b"3"}, clear_sensory=True))
    assert content(found) == (V2, {}, {"b": b"2", "c": b"3"})


def test_a_delta_that_was_applied_already_is_not_applied_again() -> None:
    mirrors = Mirrors(1 << 20)
    mirrors.resolve(full(V1, {}, {"a": b"1"}))
    once = content(mirrors.resolve(delta(V1, V2, {"a": b"2"})))
    assert content(mirrors.resolve(delta(V1, V2, {"a": b"2"}))) == once


def test_sensory_entries_of_a_delta_come_first() -> None:
    mirrors = Mirrors(1 << 20)
    mirrors.resolve(full(V1, {"old": b"1"}, {}))
    found = mirrors.resolve(delta(V1, V2, {"s": b"1", "t": b"2"}, sensory_count=1))
    assert content(found) == (V2, {"old": b"1", "s": b"1"}, {"t": b"2"})


def test_a_delta_may_start_from_nothing() -> None:
    assert content(Mirrors(1 << 20).resolve(delta(b"", V1, {"a": b"1"}))) == (V1, {}, {"a": b"1"})


def test_a_mirror_that_is_read_is_not_changed_in_place() -> None:
    mirrors = Mirrors(1 << 20)
    read = mirrors.resolve(full(V1, {}, {"a": b"1"}))
    assert read is not None
    read.readers += 1
    changed = mirrors.resolve(delta(V1, V2, {"a": b"2"}))
    assert content(changed) == (V2, {}, {"a": b"2"})
    assert content(read) == (V1, {}, {"a": b"1"})


def test_a_stale_attempt_does_not_overwrite_newer_memory() -> None:
    mirrors = Mirrors(1 << 20)
    stale = mirrors.resolve(full(V1, {}, {"a": b"1"}))
    assert stale is not None
    stale.readers += 1
    mirrors.resolve(full(V2, {}, {"a": b"2"}))
    stale.readers -= 1
    mirrors.commit(stale, MemoryChanges(V1, V3, {}, {"a": b"3"}))
    assert content(mirrors.resolve(asks(V2))) == (V2, {}, {"a": b"2"})


def test_the_least_recently_used_are_evicted_and_sizes_add_up() -> None:
    mirrors = Mirrors(10_000)
    for number in range(20):
        mirrors.resolve(full(V1, {}, {"a": bytes(1000)}, key=b"%d" % number))
        mirrors.resolve(asks(V1, b"0"))
        assert mirrors.size <= 10_000
    assert mirrors.resolve(asks(V1, b"0")) is not None
    assert mirrors.resolve(asks(V1, b"19")) is not None
    assert mirrors.resolve(asks(V1, b"1")) is None
    mirrors.forget(b"%d" % number for number in range(20))
    assert (len(mirrors), mirrors.size) == (0, 0)


def test_sizes_add_up_over_every_kind_of_change() -> None:
    mirrors = Mirrors(1 << 20)
    mirror = mirrors.resolve(full(V1, {"s": b"12"}, {"a": b"1", "b": b"22"}))
    assert mirror is not None
    mirrors.commit(mirror, MemoryChanges(V1, V2, {"s": b"", "t": b"1"}, {"a": b"12345", "c": b"3", "nothing": b""}))
    mirrors.resolve(delta(V2, V3, {"b": b""}, clear_sensory=True))
    assert mirrors.size == mirror.size == mirror.sensory.size() + mirror.short_term.size()


def test_memory_beyond_the_quota_serves_its_invocation_and_is_not_kept() -> None:
    mirrors = Mirrors(500)
    assert content(mirrors.resolve(full(V1, {}, {"a": bytes(1000)})))[0] == V1
    assert (len(mirrors), mirrors.size) == (0, 0)


def test_no_version_is_minted_twice_and_randomness_is_asked_for_in_bulk() -> None:
    asked: list[int] = []

    def random_bytes(count: int) -> bytes:
        asked.append(count)
        return os.urandom(count)

    mint = VersionMint(random_bytes)
    versions = {mint.next() for _ in range(1000)}
    assert len(versions) == 1000
    assert {len(version) for version in versions} == {8}
    assert len(asked) <= 4


class Counting(Agent):
    @action("count")
    async def count(self, event: Event, ctx: RunnerContext) -> None:
        memory = ctx.short_term_memory
        memory.set("count", memory.get("count", default=0) + 1)
        ctx.send_event(OutputEvent(memory.get("count")))
        if event.attributes.get("fail"):
            raise ValueError("no")

    @action("peek")
    async def peek(self, event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(ctx.short_term_memory.get("count")))

    @action("wait")
    async def wait(self, event: Event, ctx: RunnerContext) -> None:
        ctx.short_term_memory.set("count", 100)
        await asyncio.sleep(30)


async def test_an_invocation_whose_memory_is_not_here_asks_for_it_and_does_not_begin() -> None:
    async with Worker(Counting()) as worker:
        lacking = worker.invocation("count", {}, key=b"k", memory_version=V1, cost_bytes=5)
        assert await worker.run(lacking) == [NeedsMemory(lacking.handle, 5)]
        lacking.memory_form, lacking.memory_path, lacking.memory_value = MemoryForm.FULL, ["count"], [b"41"]
        assert await worker.sent(lacking) == [42]


async def test_a_result_names_the_version_it_was_computed_on_and_the_one_it_makes() -> None:
    async with Worker(Counting()) as worker:
        version = b""
        for expected in (1, 2, 3):
            (outcome,) = await worker.run(worker.invocation("count", {}, key=b"k", memory_version=version))
            assert isinstance(outcome, Succeeded)
            assert outcome.changes is not None
            assert outcome.changes.base == version
            assert outcome.changes.short_term == {"count": b"%d" % expected}
            version = outcome.changes.version
        (outcome,) = await worker.run(worker.invocation("peek", {}, key=b"k", memory_version=version))
        assert isinstance(outcome, Succeeded)
        assert outcome.changes is None


async def test_a_failed_or_cancelled_attempt_leaves_the_mirror_as_it_was() -> None:
    async with Worker(Counting()) as worker:
        start = worker.invocation(
            "count", {"fail": True}, key=b"k", memory_version=V1, memory_form=MemoryForm.FULL,
            memory_path=["count"], memory_value=[b"1"],
        )  # fmt: skip
        await worker.run(start)
        waiting = worker.invocation("wait", {}, key=b"k", memory_version=V1)
        worker.submit(waiting)
        while not hasattr(worker.scope.open[waiting.handle], "task"):  # noqa: ASYNC110
            await asyncio.sleep(0)
        worker.dispatcher.cancel(worker.scope, [waiting.handle], CancelReason.SUPERSEDED)
        await worker.outcomes(1)
        assert await worker.sent(worker.invocation("peek", {}, key=b"k", memory_version=V1)) == [1]


async def test_jobs_of_other_namespaces_have_mirrors_and_quotas_of_their_own() -> None:
    async with Worker(Counting(), mirror_bytes=2000) as worker:
        dispatcher, plan = worker.dispatcher, worker.plan
        other = dispatcher.open_scope(plan, namespace="other", operator_uid="test")
        again = dispatcher.open_scope(plan, namespace="test", operator_uid="test")
        assert again.mirrors is worker.scope.mirrors
        assert other.mirrors is not worker.scope.mirrors
        worker.scope.mirrors.resolve(full(V1, {}, {"count": b"1"}))
        for number in range(50):
            other.mirrors.resolve(full(V1, {}, {"a": bytes(500)}, key=b"%d" % number))
        assert worker.scope.mirrors.resolve(asks(V1)) is not None


async def test_forgotten_keys_have_to_be_sent_again() -> None:
    async with Worker(Counting()) as worker:
        worker.scope.mirrors.resolve(full(V1, {}, {"count": b"1"}))
        worker.scope.forget_keys([b"k", b"never seen"])
        assert worker.scope.mirrors.resolve(asks(V1)) is None


@pytest.mark.parametrize("size", [100, 1_000_000])
async def test_the_cost_of_a_change_does_not_depend_on_the_size_of_the_memory(size: int) -> None:
    mirrors = Mirrors(1 << 30)
    values = {f"part{n}": b'"' + bytes(size // 10) + b'"' for n in range(10)}
    mirror = mirrors.resolve(full(V1, {}, values))
    assert mirror is not None
    before = mirror.short_term.values
    kept = before["part0"]
    mirrors.commit(mirror, MemoryChanges(V1, V2, {}, {"part9": b"1"}))
    # The same dict, with the same objects in it: nothing was copied.
    assert mirror.short_term.values is before
    assert before["part0"] is kept


def test_a_mirror_that_is_read_stays_as_it_is_when_another_attempt_commits() -> None:
    mirrors = Mirrors(1 << 20)
    read = mirrors.resolve(full(V1, {}, {"x": b"1"}))
    assert read is not None
    read.readers = 1
    mirrors.commit(read, MemoryChanges(V1, V2, {}, {"x": b"2"}))
    assert (read.version, read.short_term.values) == (V1, {"x": b"1"})
    now = mirrors.resolve(asks(V2))
    assert now is not None
    assert now.short_term.values == {"x": b"2"}


def test_changes_to_another_version_than_the_mirrors_change_nothing() -> None:
    mirrors = Mirrors(1 << 20)
    mirror = mirrors.resolve(full(V1, {}, {"x": b"1"}))
    assert mirror is not None
    mirrors.commit(mirror, MemoryChanges(V2, V3, {}, {"x": b"2"}))
    assert (mirror.version, mirror.short_term.values) == (V1, {"x": b"1"})
    assert mirrors.resolve(asks(V3)) is None


async def test_the_mirrors_of_jobs_that_are_gone_are_freed() -> None:
    async with Worker(Agent().add_action("nothing", ["nothing"], _nothing), mirror_bytes=10_000) as worker:
        dispatcher = worker.dispatcher
        for number in range(20):
            scope = dispatcher.open_scope(worker.plan, namespace=f"job {number}", operator_uid="x")
            scope.mirrors.resolve(full(V1, {}, {"x": b"1" * 2000}))
            dispatcher.end_scope(scope, CancelReason.ORPHANED)
        kept = [namespace for namespace, _ in dispatcher._mirrors if namespace != "test"]
        # The youngest, and no more than one job may have.
        assert kept == [f"job {number}" for number in range(16, 20)]
        for number, reason in ((18, CancelReason.FINISHED), (19, CancelReason.JOB_CANCELLED)):
            name = (f"job {number}", "x")
            scope = dispatcher.open_scope(worker.plan, namespace=name[0], operator_uid=name[1])
            other = dispatcher.open_scope(worker.plan, namespace=name[0], operator_uid=name[1])
            assert len(scope.mirrors) == 1
            dispatcher.end_scope(scope, reason)
            assert name in dispatcher._mirrors, "another subtask uses them"
            dispatcher.end_scope(other, reason)
            assert name not in dispatcher._mirrors
        assert ("test", "test") in dispatcher._mirrors


async def _nothing(event: Event, ctx: RunnerContext) -> None:
    pass
