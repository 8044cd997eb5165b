"""Operations as JSON in the wire format, and the readers of their answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Generic, TypeVar, Union

from ._throughline import content_json, one_value
from .errors import Invalid

T = TypeVar("T")

Content = Union[str, bytes, Sequence[object]]
"""Content: a text, a list of JSON blocks, or the bytes of a JSON array of blocks, which survive unchanged."""

Json = Union[bytes, str]

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Operation(Generic[T]):
    """An operation with its arguments, in the wire format, and the reader of its answer."""

    json: str
    """The arguments, in the wire format."""
    decode: Callable[[bytes], T]
    """Makes the answer from the JSON of the store."""


def dumps(value: object) -> str:
    """Encodes a value as compact JSON. It refuses NaN and infinities, which JSON does not have."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


class Raw:
    """JSON text that an operation includes as it is."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def to_object(fields: Mapping[str, object]) -> str:
    """Encodes an object, without the fields that are ``None``."""
    parts = (
        f'"{name}":{value.text if isinstance(value, Raw) else dumps(value)}'
        for name, value in fields.items()
        if value is not None
    )
    return "{" + ",".join(parts) + "}"


def args(*path: str, **fields: object) -> str:
    text = to_object(fields)
    for name in reversed(path):
        text = f'{{"{name}":{text}}}'
    return text


def choice(argument: str, names: Mapping[str, str], name: str) -> str:
    """Returns the name of the wire format for the name of an argument."""
    if name not in names:
        known = ", ".join(names)
        raise Invalid(f"{argument}: {name!r} is none of {known}")
    return names[name]


def raw_content(content: Content) -> Raw:
    return Raw(content_json(content).decode())


def raw_metadata(metadata: Mapping[str, Any] | Json | None, argument: str = "metadata") -> Raw | None:
    if metadata is None:
        return None
    if isinstance(metadata, (bytes, str)):
        # Text that is not one object could end the object that it becomes a part of, and go on with another operation.
        return Raw(one_value(metadata, argument, True))
    try:
        return Raw(dumps(metadata))
    except (TypeError, ValueError) as error:
        raise Invalid(f"{argument}: cannot be encoded as JSON: {error}") from error


def raw_cursor(cursor: str | None) -> Raw | None:
    return None if cursor is None else Raw(one_value(cursor, "after", False))


def micros(time: datetime | None) -> int | None:
    return None if time is None else (time - _EPOCH) // _MICROSECOND


def answer(make: Callable[[Any], T], *path: str) -> Callable[[bytes], T]:
    def decode(answer: bytes) -> T:
        value = json.loads(answer)
        for name in path:
            value = value[name]
        return make(value)

    return decode


def of_dataclass(cls: Callable[..., T], names: Iterable[str]) -> Callable[[Any], T]:
    fields = tuple(names)
    return lambda wire: cls(**{name: wire[name] for name in fields})


class Unset:
    """The type of ``UNSET``."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset()
"""The value of an argument that leaves a field as it is, where ``None`` removes it."""
