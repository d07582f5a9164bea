"""What an action is given beside its event."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from flink_actions.sdk.errors import UnsupportedError
from flink_actions.sdk.resources import Resource, ResourceLookup, ResourceType

if TYPE_CHECKING:
    import logging

    from flink_actions.sdk.configuration import ReadableConfiguration
    from flink_actions.sdk.events import Event
    from flink_actions.sdk.memory import MemoryObject
    from flink_actions.sdk.metrics import MetricGroup


T = TypeVar("T")


class RunnerContext(ResourceLookup):
    """The action's way to its run: events, memory, resources, and what is known about the invocation.

    Every member may be used from any task or thread of the action. After the action has ended, use raises
    `ContextEndedError`: what is sent then could belong to nothing.
    """

    __slots__ = ()

    @abstractmethod
    def send_event(self, event: Event) -> None:
        """Send an event: an `OutputEvent` leaves the run, any other triggers actions of it.

        It is encoded at once, so that later changes to it change nothing, and it leaves with the Result when the action
        has succeeded.

        Raises:
            NotEncodableError: An attribute has no wire form; names the path to it.
            ContextEndedError: The action has ended.
        """

    @abstractmethod
    def get_resource(self, name: str, type: ResourceType) -> Resource:
        """The resource of that name and type, made and opened by whoever asks first. Opening blocks the caller.

        Raises:
            ResourceError: It is not declared, cannot be opened, or opens asynchronously (then use
                `get_resource_async`).
        """

    @abstractmethod
    async def get_resource_async(self, name: str, type: ResourceType) -> Resource:
        """The resource of that name and type. Opening it blocks no other action.

        Raises:
            ResourceError: It is not declared or cannot be opened.
        """

    @overload
    async def durable_execute_async(
        self,
        func: Callable[..., Awaitable[T]],
        *args: Any,
        reconciler: Callable[[], Any] | None = None,
        durable_id: str | None = None,
        **kwargs: Any,
    ) -> T: ...
    @overload
    async def durable_execute_async(
        self,
        func: Callable[..., T],
        *args: Any,
        reconciler: Callable[[], Any] | None = None,
        durable_id: str | None = None,
        **kwargs: Any,
    ) -> T: ...
    @abstractmethod
    async def durable_execute_async(
        self,
        func: Callable[..., Any],
        *args: Any,
        reconciler: Callable[[], Any] | None = None,
        durable_id: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call a function and record what it came to: when the action is repeated, because its worker died or it
        failed later on, the record answers and the function is not called again.

        Calls are told apart by the task that makes them, their order in it, the function and its arguments, so
        `asyncio.gather` and task groups may make several at once. Exceptions are recorded too and raised again at the
        same place, save for one that ends the attempt: the next attempt calls again. What a process had called and not
        yet recorded when it died is called again as well: give `current_call().idempotency_key` to whoever can tell
        repeated requests.

        Args:
            func: `async def`, awaited in the calling task; or `def`, which runs in a thread.
            args: JSON values and the other types that events may hold: they identify the call.
            reconciler: Asked instead of `func` when an earlier attempt began this call and nobody knows how it ended.
                It takes nothing and gives back the call's value, or raises.
            durable_id: Names the call instead of `func`'s module and name, so that those may change.
            kwargs: As `args`.

        Returns:
            The value as a record gives it back: the return annotation's type, or plain JSON values where there is none.
            One that has no JSON form comes back as a pickled copy, where server and job both allow pickles.

        Raises:
            NotEncodableError: An argument or the value has no wire form; names the path to it.
            NotDecodableError: The value's record is not of the declared type, or a pickle that server or job does not
                allow (any more) or that cannot be loaded.
            ReplayMismatchError: The records of an earlier attempt say that another call stood here.
            Exception: Whatever the function raised, now or in the attempt that recorded it.

        Example:
            >>> answer = await ctx.durable_execute_async(ask_model, prompt)  # doctest: +SKIP
        """

    @abstractmethod
    def durable_execute(
        self,
        func: Callable[..., T],
        *args: Any,
        reconciler: Callable[[], Any] | None = None,
        durable_id: str | None = None,
        **kwargs: Any,
    ) -> T:
        """`durable_execute_async` for `def` actions and other threads: the function is called in the calling thread.

        Raises:
            DurableCallError: It was used on the event loop, which it would block.
        """

    @property
    @abstractmethod
    def sensory_memory(self) -> MemoryObject:
        """Memory of this run: empty at its start, gone at its end."""

    @property
    @abstractmethod
    def short_term_memory(self) -> MemoryObject:
        """Memory of the key."""

    @property
    def long_term_memory(self) -> NoReturn:
        """Not in this version.

        Raises:
            UnsupportedError: Always.
        """
        raise UnsupportedError(
            "ctx.long_term_memory: there is no long-term memory in this version; keep what a key should remember in "
            "ctx.short_term_memory, and what should be searched in a store of your own, as a resource"
        )

    @property
    @abstractmethod
    def config(self) -> ReadableConfiguration:
        """The job's settings for agents."""

    @property
    @abstractmethod
    def action_config(self) -> Mapping[str, Any]:
        """The configuration that this action was declared with."""

    @abstractmethod
    def get_action_config_value(self, key: str) -> Any:
        """A value of the action's configuration, or None."""

    @property
    @abstractmethod
    def agent_metric_group(self) -> MetricGroup:
        """Metrics of the agent, which all of its actions share; in Flink `actions.user.<group>.<name>`.

        Example:
            >>> ctx.agent_metric_group.counter("tokens").inc(42)  # doctest: +SKIP
        """

    @property
    @abstractmethod
    def action_metric_group(self) -> MetricGroup:
        """Metrics of this action; in Flink `actions.action.<action>.user.<group>.<name>`."""

    @property
    @abstractmethod
    def key(self) -> Any:
        """The key of the run: a JSON value, or bytes if the key has no JSON form."""

    @property
    @abstractmethod
    def run_number(self) -> int:
        """Counts the key's inputs; never starts again."""

    @property
    @abstractmethod
    def attempt(self) -> int:
        """From 1: how often this invocation was handed out, for whatever reason."""

    @property
    @abstractmethod
    def invocation_id(self) -> str:
        """32 hex digits, the same for every attempt at this work: an idempotency key."""

    @property
    @abstractmethod
    def timestamp(self) -> int | None:
        """Of the input, in ms since the epoch; None if the record has none."""

    @property
    @abstractmethod
    def watermark(self) -> int | None:
        """The latest watermark that the operator had received when it sent this, in ms; None before the first.

        It is no bound on this input: one that waited behind others of its key may find the watermark beyond its own
        `timestamp`, and another attempt may find another one. What the action sends is not late for that: downstream
        sees a watermark only when all inputs before it are done.
        """

    @property
    @abstractmethod
    def deadline(self) -> float | None:
        """When the attempt is over its time limit, in the event loop's time (`asyncio.timeout_at(ctx.deadline)`); None:
        no limit. It moves on while the attempt waits for the permit of a resource."""

    @property
    @abstractmethod
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that adds action, key, run and attempt to the text of its records, and as fields those and
        `invocation_id` and `epoch`: an invocation that runs again after a restore has the same id in a later epoch."""

    @property
    @abstractmethod
    def trace(self) -> str | None:
        """W3C `traceparent` of the run; None if it is not traced, and in this version none is."""
