"""Configuration that an action reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


class ConfigOption(Generic[T]):
    """A setting by key, type and default.

    Args:
        key: Its key.
        config_type: int, float, str or bool.
        default: What holds if it is not set.
    """

    def __init__(self, key: str, config_type: type[T], default: T | None = None) -> None:
        self.key = key
        self.type = config_type
        self.default = default


class ReadableConfiguration(Mapping[str, Any]):
    """The job's settings for agents, by key. Values from files and command lines may be text: the typed getters read
    them."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values = dict(values or {})

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str | ConfigOption[Any], default: Any = None) -> Any:
        """The value of a key (as it is) or of an option (as its type)."""
        if isinstance(key, ConfigOption):
            return self._typed(key.key, key.type, key.default if default is None else default)
        return self._values.get(key, default)

    def get_int(self, key: str, default: int | None = None) -> int | None:
        """The value as an int; ValueError if it is none."""
        return self._typed(key, int, default)

    def get_float(self, key: str, default: float | None = None) -> float | None:
        """The value as a float; ValueError if it is none."""
        return self._typed(key, float, default)

    def get_bool(self, key: str, default: bool | None = None) -> bool | None:
        """The value as a bool; ValueError if it is none."""
        return self._typed(key, bool, default)

    def get_str(self, key: str, default: str | None = None) -> str | None:
        """The value as text."""
        return self._typed(key, str, default)

    def _typed(self, key: str, wanted: type[T], default: T | None) -> T | None:
        value = self._values.get(key)
        if value is None:
            return default
        if wanted is bool and isinstance(value, str):
            lowered = value.strip().lower()
            if lowered not in (*_TRUE, *_FALSE):
                raise ValueError(f"{key}={value!r} is no bool: write true or false")
            return lowered in _TRUE  # type: ignore[return-value]
        try:
            return value if isinstance(value, wanted) else wanted(value)  # type: ignore[call-arg]
        except (TypeError, ValueError) as error:
            raise ValueError(f"{key}={value!r} is no {wanted.__name__}") from error
