"""Operations as values, for batches and for ``Store.run``::

    from throughline import ops

    await store.batch([
        ops.add("telegram:42", "user", "hello"),
        ops.label_thread("telegram:42", labels={"channel": "telegram"}),
    ])

The methods of a thread run the same operations one at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from . import _wire as w
from . import models as m
from ._throughline import Added, Damaged, Message, mint_id, raw_get, raw_items
from ._wire import UNSET, Content, Json, Operation
from .session_ops import (
    Failure,
    begin_run,
    cancel_run,
    confirm_run,
    fail_run,
    list_attempts,
    pin_session,
    renew_run,
    reset_session,
    resolve_session,
    retire_session,
)

ThreadOrder = Literal["activity", "created", "created_desc"]
"""The order of a list of threads: the latest activity first, the oldest first, or the newest first."""

Visibility = Literal["all", "final", "settled"]
"""Which messages a read shows: all, final ones, or those that are not open."""

_ORDERS = {"activity": "latestActivity", "created": "oldestCreated", "created_desc": "newestCreated"}
_FIND_ORDERS = {"newest": "newestFirst", "oldest": "oldestFirst"}

_content_updated = w.of_dataclass(m.ContentUpdated, ("thread", "id", "revision", "state", "deduplicated"))
_updated = w.of_dataclass(m.Updated, ("thread", "id", "metadata", "attachments", "revision", "deduplicated"))
_deleted = w.of_dataclass(m.Deleted, ("thread", "id", "seq", "revision", "state", "attachments", "deduplicated"))
_thread_deleted = w.of_dataclass(m.ThreadDeleted, ("thread", "already", "deduplicated"))


def _added(answer: bytes) -> Added:
    added = raw_get(answer, "add")
    assert added is not None
    return Added.from_json(added)


def _taken(answer: bytes) -> m.Taken:
    wire = json.loads(answer)["thread"]["takeLast"]
    message = raw_get(answer, "thread", "takeLast", "message")
    return m.Taken(
        message=None if message is None or message == b"null" else Message.from_json(message),
        deleted=None if wire.get("deleted") is None else _deleted(wire["deleted"]),
        deduplicated=wire["deduplicated"],
    )


def add(
    thread: str,
    role: m.Role,
    content: Content,
    *,
    id: str | None = None,
    metadata: Mapping[str, Any] | Json | None = None,
    attachments: Sequence[str] | None = None,
    created_at: datetime | None = None,
    generation: int | None = None,
    after: int | None = None,
) -> Operation[Added]:
    """Adds a complete message."""
    text = w.args(
        "add",
        thread=thread,
        id=mint_id() if id is None else id,
        minted=True if id is None else None,
        role=role,
        content=w.raw_content(content),
        metadata=w.raw_metadata(metadata),
        attachments=attachments or None,
        createdAt=w.micros(created_at),
        generation=generation,
        after=after,
    )
    return Operation(text, _added)


def update(
    thread: str,
    id: str,
    metadata: Mapping[str, Any] | Json | None = None,
    *,
    where_absent: Mapping[str, Any] | Json | None = None,
    attachments: Sequence[str] | None = None,
    expected: int | None = None,
) -> Operation[m.Updated]:
    """Patches the metadata of a message: a value sets a field, ``None`` removes it, an absent field stays.

    ``where_absent`` sets fields only where the message does not have them: concurrent writers agree on the first value.
    """
    text = w.args(
        "update",
        thread=thread,
        id=id,
        metadata=w.raw_metadata(metadata or {}),
        whereAbsent=w.raw_metadata(where_absent, "where_absent"),
        attachments=attachments,
        expected=expected,
    )
    return Operation(text, w.answer(_updated, "update"))


def edit(thread: str, id: str, content: Content, *, expected: int | None = None) -> Operation[m.ContentUpdated]:
    """Replaces the content of a final message."""
    change = w.Raw(f'{{"replace":{w.raw_content(content).text}}}')
    text = w.args("updateContent", thread=thread, id=id, change=change, mode="edit", expected=expected)
    return Operation(text, w.answer(_content_updated, "updateContent"))


def delete(thread: str, id: str, *, expected: int | None = None, after: int | None = None) -> Operation[m.Deleted]:
    """Deletes a message. A tombstone keeps its id."""
    text = w.args("delete", thread=thread, id=id, expected=expected, after=after)
    return Operation(text, w.answer(_deleted, "delete"))


def take_last(thread: str, *, expected: int | None = None) -> Operation[m.Taken]:
    """Deletes the last message, and answers it as a whole."""
    return Operation(w.args("thread", "takeLast", thread=thread, expected=expected), _taken)


def create_thread(
    thread: str,
    *,
    title: str | None = None,
    owner: str | None = None,
    labels: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | Json | None = None,
    created_at: datetime | None = None,
    hidden: bool = False,
    reuse_ids: bool = False,
) -> Operation[m.ThreadChanged]:
    """Creates a thread without messages. With ``reuse_ids``, the id of a deleted message can be used again in it."""
    text = w.args(
        "thread",
        "create",
        thread=thread,
        title=title,
        owner=owner,
        labels=labels or None,
        metadata=w.raw_metadata(metadata),
        createdAt=w.micros(created_at),
        hidden=True if hidden else None,
        reusesIds=True if reuse_ids else None,
    )
    return Operation(text, w.answer(m.ThreadChanged._of, "thread", "create"))


def rename_thread(thread: str, title: str, *, expected: str | None = None) -> Operation[m.ThreadChanged]:
    """Sets the title of a thread."""
    text = w.args("thread", "rename", thread=thread, title=title, expected=expected)
    return Operation(text, w.answer(m.ThreadChanged._of, "thread", "rename"))


def archive_thread(thread: str, archived: bool = True) -> Operation[m.ThreadChanged]:
    """Archives a thread, or brings it back."""
    return Operation(
        w.args("thread", "archive", thread=thread, archived=archived), w.answer(m.ThreadChanged._of, "thread", "archive")
    )


def label_thread(
    thread: str,
    *,
    labels: Mapping[str, str | None] | None = None,
    owner: str | None | w.Unset = w.UNSET,
    metadata: Mapping[str, Any] | Json | None = None,
) -> Operation[m.ThreadChanged]:
    """Patches the labels, the owner and the metadata of a thread. ``None`` removes a label, a field or the owner."""
    text = w.args(
        "thread",
        "label",
        thread=thread,
        labels=labels or None,
        owner=None if isinstance(owner, w.Unset) else w.Raw(w.dumps(owner)),
        metadata=w.raw_metadata(metadata),
    )
    return Operation(text, w.answer(m.ThreadChanged._of, "thread", "label"))


def clear_thread(thread: str, *, expected: int | None = None) -> Operation[m.ThreadChanged]:
    """Deletes all messages of a thread, and begins its next generation."""
    text = w.args("thread", "clear", thread=thread, expected=expected)
    return Operation(text, w.answer(m.ThreadChanged._of, "thread", "clear"))


def delete_thread(thread: str) -> Operation[m.ThreadDeleted]:
    """Deletes a thread with everything in it. Each later write to it fails as ``Gone``."""
    return Operation(w.args("thread", "delete", thread=thread), w.answer(_thread_deleted, "thread", "delete"))


def rebuild_thread(thread: str) -> Operation[m.ThreadChanged]:
    """Recomputes the counters in the summary of a thread from its messages."""
    return Operation(w.args("thread", "rebuild", thread=thread), w.answer(m.ThreadChanged._of, "thread", "rebuild"))


def get_thread(thread: str) -> Operation[m.ThreadSummary | None]:
    """Reads the summary of a thread. ``None`` if it does not exist or was deleted."""

    def decode(wire: Any) -> m.ThreadSummary | None:
        return None if wire is None else m.ThreadSummary._of(wire)

    return Operation(w.args("read", "thread", thread=thread), w.answer(decode, "read", "thread"))


def list_threads(
    limit: int = 50,
    *,
    after: str | None = None,
    owner: str | None = None,
    labels: Mapping[str, str] | None = None,
    archived: bool | None = False,
    order: ThreadOrder = "activity",
    unlisted: bool = False,
) -> Operation[m.ThreadList]:
    """Lists the threads of the tenant: by their last activity, the latest first, or by their time of creation.

    ``unlisted`` includes threads that have no settled message yet.
    """
    text = w.args(
        "read",
        "threads",
        owner=owner,
        labels=labels or None,
        archived=archived,
        unlisted=True if unlisted else None,
        order=w.choice("order", _ORDERS, order),
        after=w.raw_cursor(after),
        limit=limit,
    )
    return Operation(text, w.answer(m.ThreadList._of, "read", "threads"))


def find(
    name: str,
    value: str | int | bool,
    limit: int = 50,
    *,
    thread: str | None = None,
    order: Literal["newest", "oldest"] = "newest",
    visibility: Visibility = "final",
    after: str | None = None,
    max_bytes: int | None = None,
) -> Operation[m.Found]:
    """Finds the messages with this value of a metadata field that the store indexes."""
    text = w.args(
        "read",
        "find",
        thread=thread,
        metadata={name: value},
        order=w.choice("order", _FIND_ORDERS, order),
        visibility=visibility,
        after=w.raw_cursor(after),
        limit=limit,
        maxBytes=max_bytes,
    )

    def decode(answer: bytes) -> m.Found:
        found = [Message.from_json(one) for one in raw_items(answer, "read", "find", "messages")]
        rest = json.loads(raw_get(answer, "read", "find") or b"{}")
        damaged = [Damaged.from_json(w.dumps(one)) for one in rest.get("damaged", [])]
        cursor = rest.get("next")
        return m.Found(found, None if cursor is None else w.dumps(cursor), damaged)

    return Operation(text, decode)


def list_tenants(limit: int = 100, *, after: str | None = None) -> Operation[list[str]]:
    """Lists the tenants of the store."""
    return Operation(w.args("read", "tenants", after=after, limit=limit), w.answer(list, "read", "tenants", "tenants"))


def search(query: str, limit: int = 20, *, thread: str | None = None) -> Operation[m.SearchHits]:
    """Searches the messages of the tenant for words."""
    text = w.args("read", "search", query=query, thread=thread, limit=limit)
    return Operation(text, w.answer(m.SearchHits._of, "read", "search"))


def batch(operations: Iterable[Operation[Any]], *, after: int | None = None) -> Operation[m.Batched]:
    """Applies several writes in one commit, or none of them."""
    items = list(operations)
    text = w.args("batch", items=w.Raw("[" + ",".join(item.json for item in items) + "]"), after=after)

    def decode(answer: bytes) -> m.Batched:
        outputs = zip(items, raw_items(answer, "batch", "outputs"), strict=True)
        deduplicated = raw_get(answer, "batch", "deduplicated") == b"true"
        return m.Batched([item.decode(output) for item, output in outputs], deduplicated)

    return Operation(text, decode)


__all__ = [
    "UNSET",
    "Added",
    "Content",
    "Failure",
    "Operation",
    "ThreadOrder",
    "Visibility",
    "add",
    "archive_thread",
    "batch",
    "begin_run",
    "cancel_run",
    "clear_thread",
    "confirm_run",
    "create_thread",
    "delete",
    "delete_thread",
    "edit",
    "fail_run",
    "find",
    "get_thread",
    "label_thread",
    "list_attempts",
    "list_tenants",
    "list_threads",
    "pin_session",
    "rebuild_thread",
    "rename_thread",
    "renew_run",
    "reset_session",
    "resolve_session",
    "retire_session",
    "search",
    "take_last",
    "update",
]
