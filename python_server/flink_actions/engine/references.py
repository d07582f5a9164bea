"""How declared resources refer to each other, checked when an agent is loaded."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from flink_actions.sdk.errors import DuplicateNameError, ResourceDeclarationError
from flink_actions.sdk.rates import Rate
from flink_actions.sdk.resources import ResourceDeclaration, ResourceDescriptor, ResourceType

ResourceKey = tuple[ResourceType, str]

_LARGEST = sys.float_info.max
_MOST_A_SECOND = 1_000_000
_LONGEST_BETWEEN_SECONDS = 24 * 3600
_MOST_AT_ONCE = 1_000_000
# Shorter waits than some milliseconds are not to be had of an event loop: what they bring may come together.
_FINEST_SECONDS = 0.01


def check_resources(declared: Iterable[ResourceDeclaration]) -> dict[ResourceKey, ResourceDeclaration]:
    """The declared resources by type and name, their rates as complete `Rate`s.

    Raises:
        DuplicateNameError: Two of one type have one name.
        ResourceDeclarationError: One could not be made, refers to one that is not declared, needs itself, or has an
            impossible rate.
    """
    resources: dict[ResourceKey, ResourceDeclaration] = {}
    for declaration in map(_with_rate, declared):
        other = resources.setdefault((declaration.type, declaration.name), declaration)
        if other is not declaration:
            raise DuplicateNameError(
                f"there are two {declaration.type.value} resources named {declaration.name!r} (the other one: "
                f"{other.location}): rename one",
                declaration.location,
            )
    done: set[ResourceKey] = set()
    for key in resources:
        _refuse_cycles(key, resources, [], done)
    return resources


def _with_rate(declared: ResourceDeclaration) -> ResourceDeclaration:
    if declared.rate is None:
        return declared
    given: Any = declared.rate
    rate = given if isinstance(given, Rate) else Rate(given)
    what = f"{declared.type.value} {declared.name!r} has rate={given!r}"
    for number in (rate.limit, rate.per):
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number <= _LARGEST:
            raise ResourceDeclarationError(
                f"{what}: it is how often a second a worker may use it, or a Rate(limit, per=seconds), of finite "
                "numbers above 0; None is as often as it likes",
                declared.location,
            )
    if rate.limit / rate.per > _MOST_A_SECOND or rate.per / rate.limit > _LONGEST_BETWEEN_SECONDS:
        raise ResourceDeclarationError(
            f"{what}: from one use a day to {_MOST_A_SECOND} uses a second can be kept to", declared.location
        )
    burst: Any = rate.burst
    if burst is None:
        burst = max(1, int(rate.limit / rate.per * _FINEST_SECONDS))
    if isinstance(burst, bool) or not isinstance(burst, int) or not 1 <= burst <= _MOST_AT_ONCE:
        raise ResourceDeclarationError(
            f"{what}: burst is how many uses may come at once, a whole number from 1 to {_MOST_AT_ONCE}; without it "
            "they come evenly spaced",
            declared.location,
        )
    return dataclasses.replace(declared, rate=Rate(rate.limit, rate.per, burst))


def _refuse_cycles(
    key: ResourceKey,
    resources: Mapping[ResourceKey, ResourceDeclaration],
    path: list[ResourceKey],
    done: set[ResourceKey],
) -> None:
    if key in done:
        return
    if key in path:
        circle = " → ".join(name for _, name in [*path[path.index(key) :], key])
        raise ResourceDeclarationError(f"resources need each other in a circle: {circle}", resources[key].location)
    for needed in references_of(resources[key]):
        if needed not in resources:
            wanted, name = needed
            known = sorted(other for kind, other in resources if kind is wanted)
            raise ResourceDeclarationError(
                f"{key[0].value} {key[1]!r} refers to the {wanted.value} {name!r}, which is not declared; "
                f"declared are: {', '.join(map(repr, known)) or 'none'}",
                resources[key].location,
            )
        _refuse_cycles(needed, resources, [*path, key], done)
    done.add(key)


def references_of(declared: ResourceDeclaration) -> list[ResourceKey]:
    """The resources that a declared one refers to by name, in the order of its arguments.

    Raises:
        ResourceDeclarationError: Its class is not there, is of another type, or a reference is no name.
    """
    provider = declared.provider
    try:
        cls = provider.clazz if isinstance(provider, ResourceDescriptor) else type(provider)
    except ResourceDeclarationError as error:
        raise ResourceDeclarationError(
            f"{declared.type.value} {declared.name!r}: {error}", declared.location
        ) from error
    if inspect.isabstract(cls):
        raise ResourceDeclarationError(
            f"{declared.type.value} {declared.name!r}: {cls.__qualname__} leaves out "
            f"{', '.join(sorted(cls.__abstractmethods__))}; a class of resources says what it is, @classmethod def "
            f"resource_type(cls): return ResourceType.{declared.type.name}",
            declared.location,
        )
    its_type: Any = cls.resource_type()
    if its_type != declared.type:
        raise ResourceDeclarationError(
            f"{declared.name!r} is declared as {declared.type.value}, but {cls.__qualname__} is a "
            f"{its_type.value if isinstance(its_type, ResourceType) else repr(its_type)}",
            declared.location,
        )
    arguments = provider.arguments if isinstance(provider, ResourceDescriptor) else vars(provider)
    found: list[ResourceKey] = []
    for argument, wanted in cls.references.items():
        value = arguments.get(argument)
        names = [] if value is None else [value] if isinstance(value, str) else list(value)
        for name in names:
            if not isinstance(name, str):
                raise ResourceDeclarationError(
                    f"{declared.type.value} {declared.name!r}: {argument}={value!r} must name a {wanted.value}",
                    declared.location,
                )
            found.append((wanted, name))
    return found
