"""What an action is given beside its event."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flink_actions.sdk.resources import Resource, ResourceLookup, ResourceType

if TYPE_CHECKING:
    import logging

    from flink_actions.sdk.configuration import ReadableConfiguration
    from flink_actions.sdk.events import Event
    from flink_actions.sdk.memory import MemoryObject


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

    @property
    @abstractmethod
    def sensory_memory(self) -> MemoryObject:
        """Memory of this run: empty at its start, gone at its end."""

    @property
    @abstractmethod
    def short_term_memory(self) -> MemoryObject:
        """Memory of the key."""

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
        """The operator's watermark when it sent this, in ms; None before the first."""

    @property
    @abstractmethod
    def deadline(self) -> float | None:
        """When the attempt is over its time limit, in the event loop's time (`asyncio.timeout_at(ctx.deadline)`); None:
        no limit."""

    @property
    @abstractmethod
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that adds key, run and action to its records."""

    @property
    @abstractmethod
    def trace(self) -> str | None:
        """W3C `traceparent` of the run; None if it is not traced."""
