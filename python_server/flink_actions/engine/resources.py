"""The resources of one plan in one worker: made and opened when first asked for, closed in reverse order.

Resources may be asked for on the event loop's thread and in the pool's. Each has a lock of its own, held while it is
made and opened; what it refers to is opened first and in the order of a plan without cycles, so that two locks are
never taken in two orders.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from flink_actions.engine.permits import Bucket
from flink_actions.engine.plan import Plan
from flink_actions.engine.references import ResourceKey, references_of
from flink_actions.sdk.errors import FlinkActionsError, ResourceError
from flink_actions.sdk.rates import Rate
from flink_actions.sdk.resources import Resource, ResourceDeclaration, ResourceDescriptor, ResourceLookup, ResourceType

_log = logging.getLogger(__name__)

# More often than anybody asks.
_AT_ONCE = Rate(1_000_000, 1.0, 1_000_000)


class ResourceRegistry(ResourceLookup):
    """Gives a plan's resources.

    Args:
        plan: Whose resources.
        config: Settings; `<Class>.<argument>` overrides an argument of a descriptor.
        clock: Seconds, on the scale of the event loop's time.
        stepping: See `Bucket`.
        waits_for_permits: Rates are kept to; false: whoever asks for a permit has it.
    """

    def __init__(
        self,
        plan: Plan,
        config: Mapping[str, Any],
        *,
        clock: Callable[[], float] = time.monotonic,
        stepping: Callable[[], Any] = lambda: None,
        waits_for_permits: bool = True,
    ) -> None:
        self._plan = plan
        self._config = config
        self._context = contextvars.copy_context()
        self._opened: dict[ResourceKey, Resource] = {}
        self._locks = {key: threading.Lock() for key in plan.resources}
        self._opening: dict[ResourceKey, asyncio.Future[Resource]] = {}
        self._is_closed = False
        self._buckets = {
            key: Bucket(key, declared.rate if waits_for_permits else _AT_ONCE, clock, stepping)
            for key, declared in plan.resources.items()
            if isinstance(declared.rate, Rate)
        }

    def get_resource(self, name: str, type: ResourceType) -> Resource:
        """The opened resource; see `RunnerContext.get_resource`."""
        key = (ResourceType(type), name)
        opened = self._opened.get(key)
        if opened is not None:
            return opened
        declared = self._declared(key)
        if _opens_asynchronously(declared):
            raise ResourceError(
                f"{_what(key)} opens asynchronously: ask for it with `await ctx.get_resource_async({name!r}, ...)` in "
                "an `async def` action; a `def` action cannot wait for it, so declare the action `async def`, or give "
                "the resource an `open` that is a plain `def`"
            )
        for needed in references_of(declared):
            self.get_resource(needed[1], needed[0])
        with self._locks[key]:
            if key not in self._opened:
                made = self._make(declared)
                self._run_open(key, made)
                self._opened[key] = made
            return self._opened[key]

    async def get_resource_async(self, name: str, type: ResourceType) -> Resource:
        """The opened resource; opening blocks nobody else, and all who ask meanwhile wait for the same opening."""
        key = (ResourceType(type), name)
        opened = self._opened.get(key)
        if opened is not None:
            return opened
        declared = self._declared(key)
        opening = self._opening.get(key)
        if opening is None:
            opening = self._opening[key] = self._begin_opening(key, declared)
            opening.add_done_callback(functools.partial(self._on_opened, key))
        # Shielded: one action that is cancelled must not take the resource from the others that wait for it.
        return await asyncio.shield(opening)

    async def close(self, limit_seconds: float) -> None:
        """Close what was opened, the last first, and return within the limit.

        One that fails is logged and holds up no other. One that hangs is left to itself when half of the time is over
        that is left: so there always is some for the next.
        """
        self._is_closed = True
        for opening in list(self._opening.values()):
            opening.cancel()
        loop = asyncio.get_running_loop()
        end = loop.time() + limit_seconds
        for key, resource in reversed(list(self._opened.items())):
            await _close(key, resource, (end - loop.time()) / 2)
            if key in self._buckets and not self._buckets[key].is_used:
                _log.warning(
                    "%s has a rate, and nobody has asked for a permit: the rate limits nothing unless the resource's "
                    "methods, or actions, await its permit_async()",
                    _what(key),
                )
        self._opened.clear()
        for bucket in self._buckets.values():
            bucket.close()

    def _begin_opening(self, key: ResourceKey, declared: ResourceDeclaration) -> asyncio.Task[Resource]:
        # No task of the action that happens to ask first: neither does that one number it with its own, which a replay
        # that finds the resource open would miss, nor are its context variables the resource's.
        make = functools.partial(asyncio.Task, self._open(key, declared), loop=asyncio.get_running_loop())
        return self._context.run(make)

    async def _open(self, key: ResourceKey, declared: ResourceDeclaration) -> Resource:
        for needed in references_of(declared):
            await self.get_resource_async(needed[1], needed[0])
        if not _opens_asynchronously(declared):
            return await asyncio.to_thread(self.get_resource, key[1], key[0])
        made = self._make(declared)
        try:
            await made.open()  # type: ignore[misc]
        except (Exception, SystemExit) as error:
            raise ResourceError(f"{_what(key)} could not be opened: {type(error).__name__}: {error}") from error
        self._opened[key] = made
        return made

    def _on_opened(self, key: ResourceKey, opening: asyncio.Future[Resource]) -> None:
        self._opening.pop(key, None)
        # Looked at, so that asyncio does not complain when all who waited have been cancelled meanwhile.
        if not opening.cancelled():
            opening.exception()

    def _declared(self, key: ResourceKey) -> ResourceDeclaration:
        if self._is_closed:
            raise ResourceError(f"{_what(key)} was asked for after the worker had closed its resources")
        try:
            return self._plan.resources[key]
        except KeyError:
            known = sorted(name for kind, name in self._plan.resources if kind is key[0])
            raise ResourceError(
                f"agent {self._plan.agent!r} declares no {_what(key)}; declared are: "
                f"{', '.join(map(repr, known)) or 'none'}"
            ) from None

    def _make(self, declared: ResourceDeclaration) -> Resource:
        provider = declared.provider
        if isinstance(provider, ResourceDescriptor):
            cls = provider.clazz
            prefix = f"{cls.__name__}."
            overrides = {key[len(prefix) :]: value for key, value in self._config.items() if key.startswith(prefix)}
            try:
                made = cls(**{**provider.arguments, **overrides})
            except (Exception, SystemExit) as error:
                raise ResourceError(
                    f"{_what((declared.type, declared.name))} could not be made by {provider!r}: "
                    f"{type(error).__name__}: {error}"
                ) from error
        else:
            made = provider
        made.resources = self
        bucket = self._buckets.get((declared.type, declared.name))
        if bucket is not None:
            made._permits = bucket
        return made

    def _run_open(self, key: ResourceKey, made: Resource) -> None:
        try:
            made.open()
        except FlinkActionsError:
            raise
        except (Exception, SystemExit) as error:  # the latter, out of a task, would end the worker
            raise ResourceError(f"{_what(key)} could not be opened: {type(error).__name__}: {error}") from error


def _opens_asynchronously(declared: ResourceDeclaration) -> bool:
    provider = declared.provider
    return inspect.iscoroutinefunction(
        (provider.clazz if isinstance(provider, ResourceDescriptor) else type(provider)).open
    )


async def _close(key: ResourceKey, resource: Resource, limit_seconds: float) -> None:
    if inspect.iscoroutinefunction(resource.close):
        closing = asyncio.ensure_future(resource.close())
    else:
        closing = asyncio.ensure_future(asyncio.to_thread(resource.close))
    # Not wait_for, which waits for the end of what it has cancelled.
    await asyncio.wait([closing], timeout=limit_seconds)
    if not closing.done():
        closing.cancel()
        _log.warning("%s was not closed within %g s", _what(key), round(limit_seconds, 1))
    elif closing.cancelled():
        _log.warning("closing %s was cancelled", _what(key))
    elif (error := closing.exception()) is not None:
        _log.error("closing %s failed", _what(key), exc_info=error)


def _what(key: ResourceKey) -> str:
    return f"{key[0].value} {key[1]!r}"
