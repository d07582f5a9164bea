"""Plans as messages."""

from __future__ import annotations

import hashlib

from flink_actions import Agent, Event, EventType, Rate, RunnerContext, action, tool
from flink_actions.engine.plan import compile_plan
from flink_actions.wire.codec import encode_plan
from flink_actions.wire.v1 import plan_pb2


class Shop(Agent):
    @action(EventType.InputEvent, "again", timeout_seconds=2, limit=3)
    async def act(self, event: Event, ctx: RunnerContext) -> None: ...

    @action("more", concurrency=8, formerly="less")
    def more(self, event: Event, ctx: RunnerContext) -> None: ...


class Other(Shop):
    @action("more", limit=1)
    def more(self, event: Event, ctx: RunnerContext) -> None: ...


def test_a_plan_says_what_its_actions_are() -> None:
    message = encode_plan(compile_plan(Shop(), "shop", code_digest=b"c" * 32))
    assert message.agent == "shop"
    assert message.code_digest == b"c" * 32
    assert [(a.name, [t.event_type for t in a.triggers], a.timeout_ms, a.config) for a in message.actions] == [
        ("act", ["_input_event", "again"], 2000, b'{"limit":3}'),
        ("more", ["more"], 0, b""),
    ]
    assert [action.concurrency for action in message.actions] == [0, 8]
    assert [list(action.former_names) for action in message.actions] == [[], ["less"]]
    assert message.hop_limit == 0
    assert encode_plan(compile_plan(Shop(hop_limit=5), "shop")).hop_limit == 5


def test_a_plan_says_the_rates_of_resources() -> None:
    class Searching(Shop):
        @tool(rate=Rate(90, per=60, burst=3))
        def search(self, text: str) -> str:
            return text

        @tool
        def free(self, text: str) -> str:
            return text

    message = encode_plan(compile_plan(Searching(), "shop"))
    assert list(message.rates) == [plan_pb2.ResourceRate(type="tool", name="search", limit=90, per_seconds=60, burst=3)]
    assert message.digest != encode_plan(compile_plan(Shop(), "shop")).digest


def test_the_digest_is_that_of_the_message_without_its_digests() -> None:
    message = encode_plan(compile_plan(Shop(), "shop", code_digest=b"c" * 32))
    bare = plan_pb2.Plan()
    bare.CopyFrom(message)
    bare.ClearField("digest")
    bare.ClearField("code_digest")
    assert message.digest == hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()


def test_the_digest_changes_with_the_plan_and_not_with_the_code() -> None:
    digests = [
        encode_plan(compile_plan(agent, name, code_digest=code)).digest
        for agent, name, code in (
            (Shop(), "shop", b"1"),
            (Shop(), "shop", b"2"),
            (Shop(), "x", b"1"),
            (Other(), "shop", b"1"),
        )
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
