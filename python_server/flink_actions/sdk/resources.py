"""Resources: what actions use and a worker opens once (models, tools, prompts, stores).

A resource is declared on the agent, by a decorated method that returns it or its descriptor, or with `add_resource`.
The worker makes and opens it when it is first asked for, those it refers to first, and closes all in reverse order when
it drains.
"""

from __future__ import annotations

import importlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, overload

from flink_actions.sdk.errors import Location, ResourceDeclarationError
from flink_actions.sdk.rates import Permits, Rate

if TYPE_CHECKING:
    from flink_actions.sdk.agent import Agent

F = TypeVar("F", bound=Callable[..., Any])


class ResourceType(str, Enum):
    """What kinds of resources there are. A name is unique among the agent's resources of one type."""

    CHAT_MODEL = "chat_model"
    CHAT_MODEL_CONNECTION = "chat_model_connection"
    TOOL = "tool"
    PROMPT = "prompt"
    EMBEDDING_MODEL = "embedding_model"
    EMBEDDING_MODEL_CONNECTION = "embedding_model_connection"
    VECTOR_STORE = "vector_store"
    MCP_SERVER = "mcp_server"
    SKILLS = "skills"
    AGENT = "agent"


class ResourceLookup(ABC):
    """Gives resources by name; what a resource gets to find those that it refers to."""

    __slots__ = ()

    @abstractmethod
    def get_resource(self, name: str, type: ResourceType) -> Resource:
        """The opened resource.

        Raises:
            ResourceError: It is not declared or cannot be opened.
        """


class Resource(ABC):
    """Something that a worker opens once and all actions share.

    Subclasses take their settings in the constructor, by keyword. `open` and `close` may be `async def`; then the
    resource has to be asked for with `await ctx.get_resource_async(...)`.

    `references` names the constructor arguments that hold names of other resources, with their type: they are checked
    when the agent is loaded (missing names, cycles), and opened before this one.
    """

    references: ClassVar[Mapping[str, ResourceType]] = {}
    # Set by the worker before `open`; permits where there is a rate.
    resources: ResourceLookup
    _permits: Permits | None = None

    @classmethod
    @abstractmethod
    def resource_type(cls) -> ResourceType:
        """The type under which this class is declared."""

    def open(self) -> Awaitable[None] | None:
        """Make ready what the resource needs. Called once, after those it refers to; may run in any thread."""
        return None

    def close(self) -> Awaitable[None] | None:
        """Give back what `open` took. Called once, before those it refers to are closed."""
        return None

    async def permit_async(self) -> None:
        """Wait until this may be used once more, as its declared `rate` says; without a rate at once.

        Ask for each use, best in the method that makes it: then whoever calls that keeps the rate, and a durable call
        that is answered from its record takes no permit. Permits go to those who ask in the order of asking. A wait
        that is cancelled gives up its place. While any task of an action waits here, the action's time limit stands
        still.

        Raises:
            ResourceError: The worker has closed its resources meanwhile.

        Example:
            >>> class Llm(Resource):
            ...     async def ask(self, text: str) -> str:
            ...         await self.permit_async()
            ...         return await self.client.complete(text)
        """
        if self._permits is not None:
            await self._permits.take_async()

    def permit(self) -> None:
        """`permit_async` for `def` actions and other threads: the calling thread waits.

        Raises:
            ResourceError: It was used on the event loop, which it would block; or the worker has closed its resources
                meanwhile.
            ContextEndedError: The action has ended or was cancelled, perhaps while its thread waited here.
        """
        if self._permits is not None:
            self._permits.take()


class ResourceDescriptor:
    """How to make a resource: its class and the constructor's arguments.

    Args:
        clazz: The class, or "package.module.Class".
        kwargs: The constructor's arguments. A configuration key `<Class>.<argument>` overrides one.

    Example:
        >>> ResourceDescriptor(clazz="my_package.stores.Redis", url="redis://localhost")
        ResourceDescriptor('my_package.stores.Redis', url='redis://localhost')
    """

    def __init__(self, *, clazz: str | type[Resource], **kwargs: Any) -> None:
        self._clazz = clazz
        self.arguments: Mapping[str, Any] = dict(kwargs)

    @property
    def class_name(self) -> str:
        """The full name of the class."""
        return self._clazz if isinstance(self._clazz, str) else f"{self._clazz.__module__}.{self._clazz.__qualname__}"

    @property
    def clazz(self) -> type[Resource]:
        """The class, imported if need be.

        Raises:
            ResourceDeclarationError: There is no such class, or it is no Resource.
        """
        found: Any = self._clazz if not isinstance(self._clazz, str) else _import_class(self._clazz)
        if not (isinstance(found, type) and issubclass(found, Resource)):
            raise ResourceDeclarationError(f"{self.class_name} is no subclass of flink_actions.Resource")
        return found

    def __repr__(self) -> str:
        arguments = "".join(f", {name}={value!r}" for name, value in self.arguments.items())
        return f"ResourceDescriptor({self.class_name!r}{arguments})"


@dataclass(frozen=True, slots=True)
class ResourceDeclaration:
    """A resource as the agent declares it.

    Args:
        type: Its type.
        name: Unique within the type.
        provider: The resource itself, or how to make it.
        location: Where it was declared.
        rate: How often a worker may use it, or how often a second; None: as often as it likes. Not checked yet.
    """

    type: ResourceType
    name: str
    provider: Resource | ResourceDescriptor
    location: Location
    rate: Rate | float | None = None


def _import_class(full_name: str) -> Any:
    module_name, _, class_name = full_name.rpartition(".")
    if not module_name:
        raise ResourceDeclarationError(f"{full_name!r} names no class: write it as 'package.module.Class'")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        raise ResourceDeclarationError(f"class {full_name!r} cannot be imported: {error}") from error
    except AttributeError as error:
        raise ResourceDeclarationError(f"module {module_name!r} has no class {class_name!r}") from error


class _Declares(Protocol):
    @overload
    def __call__(self, function: F, /) -> F: ...
    @overload
    def __call__(self, /, *, rate: Rate | float | None = None) -> Callable[[F], F]: ...


def _declares(resource_type: ResourceType) -> _Declares:
    def mark(function: Any = None, /, *, rate: Rate | float | None = None) -> Any:
        if function is None:
            return lambda function: _marked(function, resource_type, rate)
        if isinstance(function, (Rate, int, float)):
            raise ResourceDeclarationError(
                f"a {resource_type.value} is declared with ({function!r}): name the argument, (rate={function!r})"
            )
        return _marked(function, resource_type, rate)

    mark.__doc__ = (
        f"Mark a method without arguments that returns the {resource_type.value} of its name, or its descriptor.\n\n"
        "With `(rate=50)` or `(rate=Rate(...))` a worker uses it no more often than that: see `Rate`."
    )
    return mark


def _marked(function: F, resource_type: ResourceType, rate: Rate | float | None) -> F:
    plain: Any = function.__func__ if isinstance(function, (staticmethod, classmethod)) else function
    plain.__resource_type__ = resource_type
    plain.__resource_rate__ = rate
    return function


chat_model_connection = _declares(ResourceType.CHAT_MODEL_CONNECTION)
chat_model_setup = _declares(ResourceType.CHAT_MODEL)
embedding_model_connection = _declares(ResourceType.EMBEDDING_MODEL_CONNECTION)
embedding_model_setup = _declares(ResourceType.EMBEDDING_MODEL)
vector_store = _declares(ResourceType.VECTOR_STORE)
mcp_server = _declares(ResourceType.MCP_SERVER)
skills = _declares(ResourceType.SKILLS)
prompt = _declares(ResourceType.PROMPT)
# The function itself is the tool; no descriptor is needed.
tool = _declares(ResourceType.TOOL)


def declaration_of(agent: Agent, attribute: str) -> ResourceDeclaration | None:
    """The resource that a decorated method of the agent declares, or None."""
    from flink_actions.sdk.agent import location_of
    from flink_actions.sdk.tools import FunctionTool

    resource_type: ResourceType | None = getattr(getattr(type(agent), attribute, None), "__resource_type__", None)
    if resource_type is None:
        return None
    method = getattr(agent, attribute)
    location, rate = location_of(method), method.__resource_rate__
    if resource_type is ResourceType.TOOL:
        return ResourceDeclaration(resource_type, attribute, FunctionTool(method, name=attribute), location, rate)
    if inspect.signature(method).parameters:
        raise ResourceDeclarationError(
            f"{attribute}() declares a {resource_type.value} and so takes no arguments", location
        )
    provider = method()
    if not isinstance(provider, (Resource, ResourceDescriptor)):
        raise ResourceDeclarationError(
            f"{attribute}() returned a {type(provider).__name__}: return a Resource or a ResourceDescriptor", location
        )
    return ResourceDeclaration(resource_type, attribute, provider, location, rate)
