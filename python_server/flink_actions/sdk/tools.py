"""Tools: functions that a model may ask to be called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from flink_actions.sdk.resources import Resource, ResourceType


class Tool(Resource):
    """Something with a name and a description that can be called with keyword arguments."""

    name: str
    description: str

    @classmethod
    def resource_type(cls) -> ResourceType:
        """`tool`."""
        return ResourceType.TOOL

    @staticmethod
    def from_callable(function: Callable[..., Any], *, name: str | None = None) -> FunctionTool:
        """The function as a tool; its docstring describes it."""
        return FunctionTool(function, name=name)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Do it. The result may be awaitable."""
        raise NotImplementedError


class FunctionTool(Tool):
    """A Python function as a tool.

    Args:
        function: `def` or `async def`.
        name: The tool's name; None takes the function's.
    """

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        self.function = function
        self.name = name or str(getattr(function, "__name__", type(function).__name__))
        self.description = inspect.getdoc(function) or ""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the function returns. Where the tool has a rate, each call waits for a permit first.

        Raises:
            ResourceError: A `def` tool with a rate was called on the event loop, which waiting would block.
        """
        if self._permits is None:
            return self.function(*args, **kwargs)
        if inspect.iscoroutinefunction(self.function):
            return self._call_with_permit(args, kwargs)
        self.permit()
        return self.function(*args, **kwargs)

    async def _call_with_permit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        await self.permit_async()
        return await self.function(*args, **kwargs)
