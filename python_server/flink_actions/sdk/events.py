"""Events: what travels between actions.

An event is `{id, type, attributes}`. `_input_event` starts a run and `_output_event` leaves it; every other type is the
author's own. A received event decodes its payload when it is first looked at, and computes its id when it is asked for
one: an action that does neither pays for neither.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
import uuid
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol

from flink_actions.sdk import values
from flink_actions.sdk.declared import is_pydantic_model
from flink_actions.sdk.errors import FlinkActionsError, NotDecodableError

INPUT_EVENT = "_input_event"
OUTPUT_EVENT = "_output_event"

if TYPE_CHECKING:
    from typing_extensions import TypeVar, dataclass_transform

    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")

    def dataclass_transform(**_: Any) -> Any:
        """Tells type checkers only; Python 3.10 does not have it."""
        return lambda cls: cls


class EventOrigin(Protocol):
    """Where a received event comes from: whoever holds its bytes."""

    @property
    def event_type(self) -> str: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def is_raw(self) -> bool:
        """The payload is the value itself, not its JSON."""
        ...

    @property
    def event_source(self) -> bytes: ...
    @property
    def event_position(self) -> int: ...
    @property
    def upstream_action(self) -> str: ...
    @property
    def upstream_event_id(self) -> bytes: ...


class Sender(Protocol):
    """Who sent an event: an invocation."""

    @property
    def invocation_id(self) -> bytes:
        """16 bytes, stable over attempts."""
        ...


class EventType:
    """Types of the built-in events, for `@action(EventType.InputEvent)`."""

    InputEvent = INPUT_EVENT
    OutputEvent = OUTPUT_EVENT


def _has_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_type(given: Any) -> None:
    if isinstance(given, str):
        if not given:
            raise ValueError("an event needs a type: Event(type='rated', attributes={...})")
        raise ValueError(f"the event type {given!r} holds a lone surrogate and has no UTF-8 form")
    hint = " (of an Enum, pass the member's .value)" if isinstance(given, enum.Enum) else ""
    raise TypeError(f"an event's type is text, not {given!r}, a {type(given).__name__}{hint}")


# A field of such a name would hide it: of "type" the event would even change its type.
_EVERY_EVENT_HAS = frozenset(
    ("id", "type", "attributes", "get_attr", "upstream_action", "upstream_event_id", "wire_payload")
)


@dataclass_transform(field_specifiers=(dataclasses.field,))
class Event:
    """Something that happened, by type and attributes.

    Subclass it for a typed event: annotated fields become its attributes, as in a dataclass, and an action that names
    the class in its annotation receives that class. Mixing in pydantic's `BaseModel` works too (`class Rated(Event,
    BaseModel)`). The type is `EVENT_TYPE` if the class has one, else the class's name.

    Args:
        type: The event's type.
        attributes: Its attributes: JSON values, and bytes, datetime, Decimal, UUID, tuples, dataclasses and pydantic
            models, which arrive as such where a typed event declares them.

    Example:
        >>> Event(type="rated", attributes={"score": 0.7}).attributes["score"]
        0.7
        >>> class Rated(Event):
        ...     EVENT_TYPE = "rated"
        ...     score: float
        >>> Rated(score=0.7).type
        'rated'
    """

    # No class-level annotations here save ClassVars: pydantic would take them for fields of a mixed-in model.
    EVENT_TYPE: ClassVar[str] = ""
    type = ""
    _origin = None
    _sent = None
    _attributes = None  # type: dict[str, Any] | None

    # The constructor of a typed event.
    _typed_init = None

    if TYPE_CHECKING:

        def __init__(self, type: str, attributes: dict[str, Any] | None = None) -> None: ...
    else:

        def __init__(self, *arguments: Any, **named: Any) -> None:
            if self._typed_init is None:
                self._make(*arguments, **named)
            else:
                self._typed_init(*arguments, **named)

    def _make(self, type: str, attributes: dict[str, Any] | None = None) -> None:
        if not isinstance(type, str) or not type or not (type.isascii() or _has_utf8(type)):
            _refuse_type(type)
        self.type = type
        self._attributes = {} if attributes is None else attributes

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.EVENT_TYPE = cls.__dict__.get("EVENT_TYPE") or cls.__name__
        if not isinstance(cls.EVENT_TYPE, str) or not _has_utf8(cls.EVENT_TYPE):
            _refuse_type(cls.EVENT_TYPE)
        cls.type = cls.EVENT_TYPE
        if is_pydantic_model(cls):
            # Event comes first among the bases, and its constructor would hide the model's.
            cls.__init__ = sys.modules["pydantic"].BaseModel.__init__  # type: ignore[method-assign]
        elif "__init__" not in cls.__dict__:
            dataclasses.dataclass(eq=False, repr=False)(cls)
            # Put aside: an author's own @dataclass (frozen, say) makes no constructor where there is one already.
            cls._typed_init = cls.__dict__["__init__"]
            del cls.__init__
            taken = [field.name for field in dataclasses.fields(cls) if field.name in _EVERY_EVENT_HAS]  # type: ignore[arg-type]
            if taken:
                raise TypeError(
                    f"event class {cls.__name__} has a field {taken[0]!r}, and every event has one: give it another "
                    f"name, such as {cls.__name__.lower()}_{taken[0]}"
                )

    @property
    def id(self) -> uuid.UUID:
        """`uuid5(source, position)`: the same whenever the same work is repeated. An event has none before it is
        sent."""
        origin: EventOrigin | None = self._origin
        if origin is not None:
            return event_id(origin.event_source, origin.event_position)
        sent: tuple[Sender, int] | None = self._sent
        if sent is None:
            raise FlinkActionsError(
                f"event {self.type!r} has no id yet: send_event gives it one, so that repeated work repeats its ids"
            )
        return event_id(sent[0].invocation_id, sent[1])

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes as a dict. For a typed event a new dict of its fields."""
        if self._attributes is not None:
            return self._attributes
        origin: EventOrigin | None = self._origin
        if origin is None or type(self) is not Event:
            return fields_of(self)
        decoded = values.decode(origin.payload, None, "attributes")
        if type(decoded) is not dict:
            raise NotDecodableError(
                "attributes", f"an event's attributes are an object, found a {type(decoded).__name__}"
            )
        self._attributes = decoded
        return decoded

    def get_attr(self, name: str) -> Any:
        """The attribute of that name, or None."""
        return self.attributes.get(name)

    @property
    def upstream_event_id(self) -> uuid.UUID | None:
        """Id of the event whose action sent this one; None for an input and before it was received."""
        origin: EventOrigin | None = self._origin
        raw = b"" if origin is None else origin.upstream_event_id
        return uuid.UUID(bytes=raw) if len(raw) == 16 else None

    @property
    def upstream_action(self) -> str | None:
        """Name of the action that sent this event; None for an input and before it was received."""
        origin: EventOrigin | None = self._origin
        return (origin.upstream_action or None) if origin is not None else None

    def wire_payload(self) -> tuple[bytes, bool]:
        """The bytes that travel, and whether they are the value itself rather than its JSON.

        Raises:
            NotEncodableError: An attribute has no wire form.
        """
        return values.encode(self.attributes, "attributes"), False

    def __repr__(self) -> str:
        return f"{type(self).__name__}(type={self.type!r}, attributes={self.attributes!r})"


class InputEvent(Event, Generic[T]):
    """One record of the keyed stream, as the event that starts a run.

    Args:
        input: The record's value. An action annotated `InputEvent[Review]` gets it as a `Review`.
    """

    EVENT_TYPE = INPUT_EVENT
    _declared = None
    _is_decoded = False

    def __init__(self, input: T) -> None:
        self._input = input
        self._is_decoded = True

    @property
    def input(self) -> T:
        """The record's value."""
        if not self._is_decoded:
            self._input = value_of(self._origin, self._declared, "input")
            self._is_decoded = True
        return self._input

    @property
    def attributes(self) -> dict[str, Any]:
        """`{"input": ...}`."""
        return {"input": self.input}

    def wire_payload(self) -> tuple[bytes, bool]:
        """The input itself."""
        value: Any = self._input if self._is_decoded else self.input
        return (value, True) if type(value) is bytes else (values.encode(value, "input"), False)


class OutputEvent(Event, Generic[T]):
    """A value that leaves the run: the operator sends it downstream.

    Args:
        output: Any value with a wire form.
    """

    EVENT_TYPE = OUTPUT_EVENT
    _declared = None
    _is_decoded = False

    def __init__(self, output: T) -> None:
        self._output = output
        self._is_decoded = True

    @property
    def output(self) -> T:
        """The value."""
        if not self._is_decoded:
            self._output = value_of(self._origin, self._declared, "output")
            self._is_decoded = True
        return self._output

    @property
    def attributes(self) -> dict[str, Any]:
        """`{"output": ...}`."""
        return {"output": self.output}

    def wire_payload(self) -> tuple[bytes, bool]:
        """The output itself."""
        value: Any = self._output if self._is_decoded else self.output
        # bytes travel as they are: a stream of bytes has no JSON in it.
        return (value, True) if type(value) is bytes else (values.encode(value, "output"), False)


def event_id(source: bytes, position: int) -> uuid.UUID:
    """Id of the event at `position` among those that the run or invocation `source` (16 bytes) made."""
    return uuid.uuid5(uuid.UUID(bytes=source), str(position))


def fields_of(event: Event) -> dict[str, Any]:
    """The fields of a typed event, as its attributes."""
    cls = type(event)
    if is_pydantic_model(cls):
        fields = {name: getattr(event, name) for name in cls.model_fields}  # type: ignore[attr-defined]
        # What a model has beside them with extra="allow".
        return {**fields, **(event.model_extra or {})}  # type: ignore[attr-defined]
    if not dataclasses.is_dataclass(event):
        return {}
    return {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}


def value_of(origin: EventOrigin | None, declared: Any, where: str) -> Any:
    """The value of an input or output that was received as bytes."""
    assert origin is not None, "an event that was not received has its value already"
    if origin.is_raw:
        return origin.payload
    return values.decode(origin.payload, declared, where)
