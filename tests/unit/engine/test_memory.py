"""Memory as an action sees it."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import gc
import time
from collections.abc import Callable, Iterator
from typing import Any

import pydantic
import pytest
from flink_actions import (
    Agent,
    ContextEndedError,
    Event,
    EventType,
    InputEvent,
    MemoryObject,
    MemoryPathError,
    MemoryRef,
    NotDecodableError,
    NotEncodableError,
    OutputEvent,
    RunnerContext,
    action,
)
from flink_actions.engine.memory import AttemptMemory, MemoryNode
from flink_actions.engine.mirrors import GONE, OBJECT, Entries
from flink_actions.testing import run_agent


@dataclasses.dataclass
class Visit:
    shop: str
    when: datetime.datetime
    tags: tuple[str, ...] = ()


class Profile(pydantic.BaseModel):
    name: str
    visits: list[int]


Made = tuple[MemoryNode, AttemptMemory]


@pytest.fixture
def make() -> Callable[..., Made]:
    def make(**values: bytes) -> Made:
        memory = AttemptMemory(
            "short_term", Entries({path.replace("__", "."): value for path, value in values.items()})
        )
        return MemoryNode(memory), memory

    return make


def test_what_is_set_is_read_back_and_told_as_a_change(make: Callable[..., Made]) -> None:
    root, memory = make()
    assert root.set("user.name", "Ann") == MemoryRef("user.name")
    assert root.get("user.name") == "Ann"
    assert memory.changes == {"user": OBJECT, "user.name": b'"Ann"'}


def test_what_is_only_read_is_no_change(make: Callable[..., Made]) -> None:
    root, memory = make(a=b"1", b=OBJECT, b__c=b"2")
    assert (root.get("a"), root.get("b.c"), root.get("nothing"), root.get("nothing.at.all", default=3)) == (
        1,
        2,
        None,
        3,
    )
    assert root.get_fields()["a"] == 1
    assert "b.c" in root
    assert memory.changes == {}


@pytest.mark.parametrize("value", [None, True, 0, -1.5, "", "ä", [], {}, [1, {"a": None}], {"a.b": {"c": [1]}}])
def test_any_json_value_is_a_value(make: Callable[..., Made], value: Any) -> None:
    root, _ = make()
    root.set("x", value)
    assert root.get("x") == value
    assert root.is_exist("x")


def test_changing_what_was_read_changes_memory_only_when_it_is_set_again(make: Callable[..., Made]) -> None:
    root, memory = make(a=b'{"list":[1]}')
    value = root.get("a")
    value["list"].append(2)
    assert root.get("a") == {"list": [1]}
    assert memory.changes == {}
    root.set("a", value)
    value["list"].append(3)
    assert root.get("a") == {"list": [1, 2]}


def test_values_are_read_as_the_type_that_is_asked_for(make: Callable[..., Made]) -> None:
    root, _ = make()
    visit = Visit("s", datetime.datetime(2024, 5, 6, 7, 8, tzinfo=datetime.timezone.utc), ("a", "b"))
    root.set("visit", visit)
    root.set("profile", Profile(name="Ann", visits=[1]))
    assert root.get("visit", as_=Visit) == visit
    assert root.get("visit") == {"shop": "s", "when": "2024-05-06T07:08:00+00:00", "tags": ["a", "b"]}
    assert root.get("profile", as_=Profile) == Profile(name="Ann", visits=[1])
    assert root.get("nothing", as_=Profile) is None
    with pytest.raises(NotDecodableError, match=r"profile: Visit needs shop, when"):
        root.get("profile", as_=Visit)


def test_an_object_is_read_as_a_type_from_its_fields(make: Callable[..., Made]) -> None:
    root, _ = make()
    root.set("profile.name", "Ann")
    root.set("profile.visits", [1, 2])
    assert root.get("profile", as_=Profile) == Profile(name="Ann", visits=[1, 2])


def test_a_part_of_memory_is_an_object_of_its_own(make: Callable[..., Made]) -> None:
    root, memory = make(a=OBJECT, a__b=b"1")
    part = root.get("a")
    assert isinstance(part, MemoryObject)
    assert part["b"] == 1
    part["c"] = 2
    assert list(part) == ["b", "c"]
    assert len(part) == 2
    assert part.set("d.e", 3) == MemoryRef("a.d.e")
    assert memory.changes == {"a.c": b"2", "a.d": OBJECT, "a.d.e": b"3"}
    assert root.get(MemoryRef("a.d.e")) == 3


def test_field_names_are_those_of_the_base_and_of_the_changes(make: Callable[..., Made]) -> None:
    root, _ = make(a=b"1", b=b"2", o=OBJECT, o__x=b"1")
    root.set("c", 3)
    root.set("o.y.z", 1)
    root.delete("a")
    assert root.get_field_names() == ["b", "c", "o"]
    assert root.get("o").get_field_names() == ["x", "y"]
    root.set("a", 5)
    assert root.get_field_names() == ["a", "b", "c", "o"]
    assert {name: type(value) for name, value in root.get_fields().items()}["o"] is MemoryNode


def test_field_names_follow_changes_that_were_applied() -> None:
    entries = Entries({"a": b"1", "o": OBJECT, "o.x": b"1"})
    assert list(entries.fields_of("")) == ["a", "o"]
    entries.apply({"a": GONE, "o.x": GONE, "o.y": b"1", "z": b"1"})
    assert sorted(entries.fields_of("")) == ["o", "z"]
    assert list(entries.fields_of("o")) == ["y"]


def _together(*functions: Callable[[], Any]) -> list[Any]:
    with concurrent.futures.ThreadPoolExecutor(len(functions)) as pool:
        return [future.result() for future in [pool.submit(function) for function in functions]]


@pytest.mark.usefixtures("threads_take_turns_often")
def test_threads_that_list_fields_for_the_first_time_see_all_of_them() -> None:
    for _ in range(10):
        root = MemoryNode(AttemptMemory("short_term", Entries({f"field{number}": b"1" for number in range(1000)})))
        assert [len(names) for names in _together(*[root.get_field_names] * 4)] == [1000] * 4


@pytest.fixture
def collections_let_threads_in() -> Iterator[None]:
    """As one that calls a finalizer does."""
    before = gc.get_threshold()

    def callback(phase: str, info: dict[str, int]) -> None:
        time.sleep(0)

    gc.callbacks.append(callback)
    gc.set_threshold(100, *before[1:])
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(callback)


@pytest.mark.usefixtures("threads_take_turns_often", "collections_let_threads_in")
def test_a_thread_may_list_fields_while_another_one_writes(make: Callable[..., Made]) -> None:
    root, _ = make()

    def write() -> None:
        for number in range(2000):
            root.set(f"field{number}", number)

    def read() -> None:
        for _ in range(200):
            root.get_field_names()

    _together(write, read)
    assert len(root) == 2000


def test_deleting_an_object_deletes_all_below_it(make: Callable[..., Made]) -> None:
    root, memory = make(o=OBJECT, o__x=b"1", o__p=OBJECT, o__p__q=b"2", other=b"3")
    root.set("o.new.deep", 1)
    assert root.delete("o")
    assert not root.delete("o")
    assert root.get_field_names() == ["other"]
    assert memory.changes == {"o": GONE, "o.x": GONE, "o.p": GONE, "o.p.q": GONE}


def test_what_was_made_and_deleted_leaves_no_trace(make: Callable[..., Made]) -> None:
    root, memory = make()
    root["x"] = 1
    del root["x"]
    assert memory.changes == {}
    with pytest.raises(KeyError):
        root["x"]
    with pytest.raises(KeyError):
        del root["x"]


def test_an_object_is_replaced_by_a_value_only_with_overwrite(make: Callable[..., Made]) -> None:
    root, memory = make(o=OBJECT, o__x=b"1")
    with pytest.raises(MemoryPathError, match="'o' holds an object: pass overwrite=True"):
        root.set("o", 1)
    root.set("o", 1, overwrite=True)
    assert root.get("o") == 1
    assert memory.changes == {"o": b"1", "o.x": GONE}


def test_a_value_is_replaced_by_an_object_only_with_overwrite(make: Callable[..., Made]) -> None:
    root, memory = make(v=b"1")
    with pytest.raises(MemoryPathError, match="'v' holds a value"):
        root.new_object("v")
    root.new_object("v", overwrite=True).set("x", 1)
    assert memory.changes == {"v": OBJECT, "v.x": b"1"}


def test_new_object_gives_the_one_that_is_there(make: Callable[..., Made]) -> None:
    root, _ = make(o=OBJECT, o__x=b"1")
    assert root.new_object("o").get("x") == 1
    assert root.new_object("p").get_field_names() == []
    assert root.is_exist("p")


def test_a_path_does_not_lead_through_a_value(make: Callable[..., Made]) -> None:
    root, memory = make(v=b'{"x":1}')
    with pytest.raises(MemoryPathError, match=r"'v\.x' leads through 'v', which holds a value"):
        root.set("v.x", 2)
    assert root.get("v.x") is None
    assert memory.changes == {}


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", "\ud800", 5, None])
def test_what_is_no_path_is_refused(make: Callable[..., Made], path: Any) -> None:
    root, memory = make()
    for use in (
        lambda: root.set(path, 1),
        lambda: root.get(path),
        lambda: root.delete(path),
        lambda: root.new_object(path),
    ):
        with pytest.raises(MemoryPathError, match="memory path"):
            use()
    assert memory.changes == {}


def test_a_value_without_a_wire_form_is_refused_where_it_is_set(make: Callable[..., Made]) -> None:
    root, memory = make()
    with pytest.raises(NotEncodableError, match=r"a\.b\['x'\]: "):
        root.set("a.b", {"x": {1, 2}})
    assert memory.changes == {}


def test_a_memory_object_is_no_value(make: Callable[..., Made]) -> None:
    root, _ = make(o=OBJECT)
    with pytest.raises(MemoryPathError, match=r"new_object\('p'\)"):
        root.set("p", root.get("o"))


def test_a_reference_to_the_other_memory_is_refused(make: Callable[..., Made]) -> None:
    root, _ = make()
    with pytest.raises(MemoryPathError, match=r"use ref\.resolve\(ctx\)"):
        root.get(MemoryRef("x", "sensory"))


class Kept(Event):
    """Where in memory something is, in place of it."""

    place: MemoryRef
    scratch: MemoryRef


class Keeper(Agent):
    @action(EventType.InputEvent)
    async def keep(self, event: InputEvent[str], ctx: RunnerContext) -> None:
        place = ctx.short_term_memory.set("letters.last", event.input)
        scratch = ctx.sensory_memory.set("letters.last", event.input.upper())
        assert (place.resolve(ctx), scratch.resolve(ctx)) == (event.input, event.input.upper())
        assert MemoryRef("letters.first").resolve(ctx) is None
        ctx.send_event(Kept(place=place, scratch=scratch))

    @action(Kept)
    async def read(self, event: Kept, ctx: RunnerContext) -> None:
        ctx.short_term_memory["letters.last"] += "!"
        ctx.send_event(OutputEvent([event.place.resolve(ctx), event.scratch.resolve(ctx)]))


def test_a_reference_travels_in_an_event_and_leads_to_what_is_there_now() -> None:
    result = run_agent(Keeper(), ["a"])
    assert result.events_of_type("Kept")[0].value == {
        "place": {"path": "letters.last", "memory": "short_term"},
        "scratch": {"path": "letters.last", "memory": "sensory"},
    }
    assert result.outputs == [["a!", "A"]]


def test_memory_is_refused_when_the_action_has_ended(make: Callable[..., Made]) -> None:
    root, memory = make(a=b"1")
    memory.is_ended = True
    for use in (lambda: root.get("a"), lambda: root.set("b", 1), lambda: "a" in root, root.get_field_names):
        with pytest.raises(ContextEndedError, match="after its action had ended"):
            use()
