"""The items of LangGraph's store as messages, and the comparison of their values with a filter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from langgraph.store.base import Item, MatchCondition, SearchItem

from ... import Message, ThreadSummary
from ._names import ITEMS, KIND, label
from ._vectors import Encoded

#: The member of the metadata of a thread with its namespace.
NAMESPACE = "langgraph.namespace"
#: The members of the metadata of an item: when it expires, in microseconds after 1970, and its time to live, in
#: minutes.
EXPIRES = "langgraph.expires"
TTL = "langgraph.ttl"
#: The label of all threads of items.
ITEMS_KIND = {KIND: ITEMS}
#: The most parts of a namespace that are labels, by which a search finds the threads under a prefix.
_LABELED = 24

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def micros_now() -> int:
    """The current time, in microseconds after 1970."""
    return (datetime.now(timezone.utc) - _EPOCH) // _MICROSECOND


def prefix_labels(namespace: Sequence[str]) -> dict[str, str]:
    """The labels of the threads of a namespace and of those under it."""
    return {**ITEMS_KIND, **{f"langgraph.{i}": label(part) for i, part in enumerate(namespace[:_LABELED])}}


def namespace_of(summary: ThreadSummary) -> tuple[str, ...]:
    """The namespace whose items a thread has."""
    return tuple(summary.metadata[NAMESPACE])


@dataclass(frozen=True)
class StoredItem:
    """An item as the store has it."""

    namespace: tuple[str, ...]
    key: str
    value: dict[str, Any]
    created_at: int
    updated_at: int
    vectors: Encoded
    expires: int | None = None
    ttl: float | None = None
    #: The id and the revision of its message. 0 before it is stored.
    id: str = ""
    revision: int = 0

    @classmethod
    def of(cls, namespace: tuple[str, ...], message: Message) -> StoredItem:
        block = json.loads(message.content_json)[0]
        fields = json.loads(message.metadata_json)
        return cls(
            namespace=namespace,
            key=block["key"],
            value=block["value"],
            created_at=block["createdAt"],
            updated_at=block["updatedAt"],
            vectors=block.get("vectors", {}),
            expires=fields.get(EXPIRES),
            ttl=fields.get(TTL),
            id=message.id,
            revision=message.revision,
        )

    def content(self) -> bytes:
        """The content of its message. Raises ``TypeError`` or ``ValueError`` if the value is not JSON."""
        block = {
            "type": "langgraph.item",
            "key": self.key,
            "value": self.value,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
        }
        if self.vectors:
            block["vectors"] = self.vectors
        return json.dumps([block], separators=(",", ":"), allow_nan=False).encode()

    def fields(self) -> dict[str, Any]:
        """The metadata of its message, ``None`` for what it does not have."""
        return {EXPIRES: self.expires, TTL: self.ttl}

    def refreshed(self, now: int) -> StoredItem:
        """The item with a new time to live."""
        return replace(self, expires=expiry(now, self.ttl))

    def item(self) -> Item:
        """The item as LangGraph receives it."""
        return Item(
            value=self.value,
            key=self.key,
            namespace=self.namespace,
            created_at=_time(self.created_at),
            updated_at=_time(self.updated_at),
        )

    def search_item(self, score: float | None) -> SearchItem:
        """The item as LangGraph receives it from a search."""
        return SearchItem(
            namespace=self.namespace,
            key=self.key,
            value=self.value,
            created_at=_time(self.created_at),
            updated_at=_time(self.updated_at),
            score=score,
        )


def expiry(now: int, ttl: float | None) -> int | None:
    """When an item with a time to live of ``ttl`` minutes expires."""
    return None if ttl is None else now + int(ttl * 60_000_000)


def _time(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND


def is_under(namespace: tuple[str, ...], prefix: Sequence[str]) -> bool:
    """Whether a namespace is the prefix or under it."""
    return namespace[: len(prefix)] == tuple(prefix)


def matches(condition: MatchCondition, namespace: tuple[str, ...]) -> bool:
    """Whether a namespace begins or ends with a path, in which ``*`` is any part."""
    path = tuple(condition.path)
    if condition.match_type == "prefix":
        parts = namespace[: len(path)]
    elif condition.match_type == "suffix":
        parts = namespace[len(namespace) - len(path) :] if len(path) <= len(namespace) else ()
    else:
        raise ValueError(f'unknown match type {condition.match_type!r}: "prefix" or "suffix"')
    return len(parts) == len(path) and all(wanted in ("*", part) for part, wanted in zip(parts, path, strict=True))


def satisfies(value: Mapping[str, Any], filter: Mapping[str, Any]) -> bool:
    """Whether the value of an item has what a filter asks for."""
    return all(_compare(member(value, name), wanted) for name, wanted in filter.items())


def member(value: Any, name: str) -> Any:
    """A member by its name, or by a path with dots."""
    if isinstance(value, Mapping) and name not in value and "." in name:
        outer, _, inner = name.partition(".")
        return member(value.get(outer), inner)
    return value.get(name) if isinstance(value, Mapping) else None


def _compare(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if any(name.startswith("$") for name in wanted):
            return all(_operate(found, operator, operand) for operator, operand in wanted.items())
        return isinstance(found, Mapping) and all(_compare(found.get(name), each) for name, each in wanted.items())
    if isinstance(wanted, (list, tuple)):
        return (
            isinstance(found, (list, tuple))
            and len(found) == len(wanted)
            and all(_compare(one, other) for one, other in zip(found, wanted, strict=True))
        )
    return bool(found == wanted)


def _operate(found: Any, operator: str, operand: Any) -> bool:
    if operator == "$eq":
        return bool(found == operand)
    if operator == "$ne":
        return bool(found != operand)
    if operator not in ("$gt", "$gte", "$lt", "$lte"):
        raise ValueError(f"unsupported operator {operator!r}: $eq, $ne, $gt, $gte, $lt or $lte")
    left: Any
    right: Any
    if isinstance(found, str) and isinstance(operand, str):
        left, right = found, operand
    else:
        try:
            left, right = float(found), float(operand)
        except (TypeError, ValueError):
            # An absent value, or one of another kind, is in no order with the operand, as in SQL.
            return False
    if operator == "$gt":
        return bool(left > right)
    if operator == "$gte":
        return bool(left >= right)
    if operator == "$lt":
        return bool(left < right)
    return bool(left <= right)
