"""Events, typed and not."""

from __future__ import annotations

import dataclasses
import enum
import uuid
from typing import Any

import pydantic
import pytest
from flink_actions import Event, EventType, FlinkActionsError, InputEvent, NotDecodableError, OutputEvent
from flink_actions.engine.invocation import LocalInvocation
from flink_actions.engine.scope import receiver
from flink_actions.sdk.events import event_id


class Rated(Event):
    score: float
    tags: list[str] = dataclasses.field(default_factory=list)


class Rerated(Rated):
    EVENT_TYPE = "again"
    before: float = 0.0


@dataclasses.dataclass(frozen=True)
class Frozen(Event):
    score: float


class Modelled(Event, pydantic.BaseModel):
    score: float
    image: bytes = b""


class Open(Event, pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    score: float


@dataclasses.dataclass
class Review:
    text: str


def received(declared: Any, payload: bytes, event_type: str | None = None, **fields: Any) -> Any:
    event_type = event_type or str(getattr(declared, "EVENT_TYPE", "other"))
    invocation = LocalInvocation(
        1, 0, b"i" * 16, event_type, payload, event_source=b"s" * 16, event_position=2, **fields
    )
    return receiver(event_type, declared)(invocation)


def test_an_event_is_a_type_and_attributes() -> None:
    event = Event(type="rated", attributes={"score": 1})
    assert (event.type, event.attributes, event.get_attr("score"), event.get_attr("none")) == (
        "rated",
        {"score": 1},
        1,
        None,
    )
    assert Event("bare").attributes == {}
    with pytest.raises(ValueError, match="needs a type"):
        Event("")


def test_a_subclass_declares_its_attributes_as_fields() -> None:
    event = Rated(score=0.5)
    assert (event.type, event.attributes) == ("Rated", {"score": 0.5, "tags": []})
    assert Rated(0.5).tags is not Rated(0.5).tags
    again = Rerated(score=1.0, before=0.5)
    assert (again.type, again.attributes) == ("again", {"score": 1.0, "tags": [], "before": 0.5})
    assert Modelled(score=1).attributes == {"score": 1.0, "image": b""}
    assert Open(score=1, more=[2]).attributes == {"score": 1.0, "more": [2]}  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Rated()  # type: ignore[call-arg]
    with pytest.raises(pydantic.ValidationError):
        Modelled(score="much")  # type: ignore[arg-type]


def test_built_in_events_carry_their_value() -> None:
    assert (InputEvent(5).input, InputEvent(input=5).attributes, InputEvent(5).type) == (
        5,
        {"input": 5},
        EventType.InputEvent,
    )
    assert (OutputEvent(output=5).output, OutputEvent(5).type) == (5, EventType.OutputEvent)


@pytest.mark.parametrize(
    "event",
    [Rated(0.5, ["a"]), Rerated(0.5, [], 0.25), Frozen(0.5), Modelled(score=0.5), Open(score=0.5, more=1)],  # type: ignore[call-arg]
    ids=lambda event: type(event).__name__,
)
def test_a_typed_event_arrives_as_its_class(event: Event) -> None:
    payload, is_raw = event.wire_payload()
    arrived = received(type(event), payload)
    assert type(arrived) is type(event)
    assert arrived.attributes == event.attributes
    assert not is_raw
    assert arrived.id == event_id(b"s" * 16, 2)


def test_an_undeclared_event_arrives_with_its_attributes() -> None:
    event = received(None, b'{"score":1}', "rated")
    assert (type(event), event.type, event.attributes) == (Event, "rated", {"score": 1})
    event.attributes["score"] = 2
    assert event.get_attr("score") == 2


def test_an_input_arrives_as_the_declared_type() -> None:
    assert received(InputEvent[Review], b'{"text":"x"}', "_input_event").input == Review("x")
    assert received(None, b'{"text":"x"}', "_input_event").input == {"text": "x"}
    assert received(OutputEvent, b"[1]", "_output_event").output == [1]


def test_an_input_is_decoded_when_it_is_looked_at_and_then_kept() -> None:
    event = received(InputEvent, b"{", "_input_event")
    with pytest.raises(NotDecodableError, match="input: this is no JSON"):
        event.input  # noqa: B018
    event = received(InputEvent, b"[1]", "_input_event")
    event.input.append(2)
    assert event.input == [1, 2]


def test_bytes_are_the_value_itself() -> None:
    assert received(InputEvent, b"\xff", "_input_event", is_raw=True).input == b"\xff"
    assert OutputEvent(b"\xff").wire_payload() == (b"\xff", True)
    assert OutputEvent({"image": b"\xff"}).wire_payload() == (b'{"image":"/w=="}', False)


def test_attributes_that_are_no_object_are_refused() -> None:
    with pytest.raises(NotDecodableError, match="attributes are an object, found a list"):
        received(None, b"[]", "rated").attributes  # noqa: B018


def test_an_event_has_no_id_before_it_is_sent() -> None:
    with pytest.raises(FlinkActionsError, match="has no id yet"):
        Event("x").id  # noqa: B018
    assert repr(Event("x", {"a": 1})) == "Event(type='x', attributes={'a': 1})"


def test_a_received_event_knows_where_it_comes_from() -> None:
    event = received(None, b"{}", "x", upstream_action="rate", upstream_event_id=uuid.UUID(int=7).bytes)
    assert (event.upstream_action, event.upstream_event_id) == ("rate", uuid.UUID(int=7))
    start = received(None, b"{}", "x")
    assert (start.upstream_action, start.upstream_event_id) == (None, None)


class Kind(enum.Enum):
    RATED = "rated"


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (Kind.RATED, TypeError, "pass the member's .value"),
        (5, TypeError, "an event's type is text, not 5"),
        ("", ValueError, "an event needs a type"),
        ("\ud800", ValueError, "lone surrogate"),
    ],
)
def test_a_type_that_could_not_travel_is_refused(given: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Event(type=given)


def test_the_type_of_a_typed_event_is_text() -> None:
    with pytest.raises(TypeError, match="an event's type is text"):
        type("Bad", (Event,), {"EVENT_TYPE": Kind.RATED})


@pytest.mark.parametrize("name", ["id", "type", "attributes"])
def test_a_field_that_every_event_has_is_refused_where_the_class_is_made(name: str) -> None:
    with pytest.raises(TypeError, match=f"event class Order has a field '{name}', .*such as order_{name}"):
        type("Order", (Event,), {"__annotations__": {name: str}})
