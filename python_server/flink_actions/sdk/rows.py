"""`Row`: a record with fields in an order, as PyFlink has it, for agents that run where no PyFlink is installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


class Row:
    """A record: fields in an order, which may have names.

    An action annotated `InputEvent[Row]` gets a stream's row as one, and a `Row` that it sends as its output arrives as
    a PyFlink Row where the job declares `output_type=Types.ROW_NAMED(...)`: by names, or by position if it has none.
    What PyFlink's own `Row` does with fields works here: access by index, by name and as an attribute, iteration over
    the values, `Row("name", "age")("ann", 11)`.

    In a Row that was received, values are in their JSON form (times and decimals as text, bytes as base64), and every
    object is a Row again, maps too: `dict(row.counts)` makes one a dict. A dataclass or a pydantic model in place of
    `Row` gets what its fields declare.

    Args:
        values: The fields of a row without names.
        fields: The fields of a row with names.

    Raises:
        ValueError: Some fields have names and others do not.

    Example:
        >>> row = Row(name="ann", age=11)
        >>> row.name, row["age"], row[1], list(row)
        ('ann', 11, 11, ['ann', 11])
        >>> Row("name", "age")("ann", 11) == row
        True
    """

    __slots__ = ("_names", "_values")
    __hash__ = None  # type: ignore[assignment]  # its fields may be set

    # None: it has no names. Without fields it may be either: an empty map is no empty array.
    _names: tuple[str, ...] | None
    _values: list[Any]

    def __init__(self, /, *values: Any, **fields: Any) -> None:
        if values and fields:
            raise ValueError(
                f"a Row has values or named fields, and not both: {len(values)} values and {', '.join(fields)}"
            )
        self._fill(tuple(fields) or None, list(fields.values()) if fields else list(values))

    def _fill(self, names: tuple[str, ...] | None, values: list[Any]) -> None:
        object.__setattr__(self, "_names", names)
        object.__setattr__(self, "_values", values)

    def __call__(self, *values: Any) -> Row:
        """A row with this one's values as its names.

        Raises:
            ValueError: There are not as many values as names, or a name is no text or comes twice.
        """
        names = tuple(self._values)
        if len(names) != len(values):
            raise ValueError(f"{len(names)} names ({', '.join(map(str, names))}) and {len(values)} values")
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise ValueError(f"names of a Row are texts, each there once: {names}")
        row = Row()
        row._fill(names, list(values))
        return row

    def keys(self) -> Sequence[str]:
        """The names of the fields, in order; none if they have no names. So `dict(row)` has the fields."""
        return self._names or ()

    def as_dict(self, recursive: bool = False) -> dict[str, Any]:
        """The fields by name, as PyFlink's.

        Args:
            recursive: Rows in fields, and in lists and dicts in fields, become dicts too.

        Raises:
            TypeError: They have no names.
        """
        if self._names is None and self._values:
            raise TypeError("a Row without names has no dict")
        made = dict(zip(self.keys(), self._values, strict=True))
        return {name: _without_rows(value) for name, value in made.items()} if recursive else made

    def __getitem__(self, field: int | str) -> Any:
        """The value of a field, by its index or its name.

        Raises:
            IndexError: There are not so many fields.
            KeyError: There is none of that name.
        """
        return self._values[self._position(field)]

    def __setitem__(self, field: int | str, value: Any) -> None:
        self._values[self._position(field)] = value

    def _position(self, field: int | str) -> int:
        if not isinstance(field, str):
            return field
        try:
            return self.keys().index(field)
        except ValueError:
            raise KeyError(f"{field!r}; this Row has {', '.join(self.keys()) or 'no names'}") from None

    def __getattr__(self, name: str) -> Any:
        # While a copy is being made there are no slots yet, and to look for names in them would not end.
        if name in Row.__slots__ or name.startswith("__"):
            raise AttributeError(name)
        return self._values[self._named(name)]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Row.__slots__:
            object.__setattr__(self, name, value)
        else:
            self._values[self._named(name)] = value

    def _named(self, name: str) -> int:
        try:
            return self.keys().index(name)
        except ValueError:
            raise AttributeError(f"{name!r}; this Row has {', '.join(self.keys()) or 'no names'}") from None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, value: object) -> bool:
        return value in self._values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Row):
            return NotImplemented
        return self.keys() == other.keys() and self._values == other._values

    def __repr__(self) -> str:
        if self._names:
            fields = (f"{name}={value!r}" for name, value in zip(self._names, self._values, strict=True))
        else:
            fields = map(repr, self._values)  # type: ignore[assignment]
        return f"Row({', '.join(fields)})"


def plain_form(row: Row) -> dict[str, Any] | list[Any]:
    """What travels: an object, or an array if the fields have no names."""
    return list(row) if row._names is None else row.as_dict()


def row_of(value: Any) -> Any:
    """A plain JSON value with each object in it as a Row."""
    if type(value) is dict:
        row = Row()
        row._fill(tuple(value), [row_of(item) for item in value.values()])
        return row
    if type(value) is list:
        return [row_of(item) for item in value]
    return value


def _without_rows(value: Any) -> Any:
    if isinstance(value, Row):
        return value.as_dict(recursive=True)
    if isinstance(value, list):
        return [_without_rows(item) for item in value]
    if isinstance(value, dict):
        return {name: _without_rows(item) for name, item in value.items()}
    return value
