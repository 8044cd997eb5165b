# Generated from ../_async/thread.py by `python -m throughline._unasync`. Change that file instead.
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

from .. import _calls as calls
from .. import models as m
from .. import ops
from .._throughline import Added, Engine, Message, Page
from .._wire import UNSET, Content, Json, Operation, Unset
from ..ops import Visibility
from .draft import Draft
from .feed import Changes

T = TypeVar("T")


class Thread:
    """A handle to a thread, which need not exist: the first write creates it. It is cheap to make and to keep.

    Each write takes ``key``, an idempotency key: the same call with the same key is applied once, and answers
    ``deduplicated``. ``deadline`` limits the time that the caller waits, in seconds. Passing the
    deadline does not stop a write that the store has received.
    """

    __slots__ = ("_engine", "id")

    def __init__(self, engine: Engine, id: str) -> None:
        self._engine = engine
        self.id = id

    def __repr__(self) -> str:
        return f"<Thread {self.id!r} of tenant {self._engine.tenant!r}>"

    def _run(self, operation: Operation[T], key: str | None = None, deadline: float | None = None) -> T:
        return operation.decode(self._engine.run(operation.json, key, deadline))

    def add(
        self,
        role: m.Role,
        content: Content,
        *,
        id: str | None = None,
        metadata: Mapping[str, Any] | Json | None = None,
        attachments: Sequence[str] | None = None,
        key: str | None = None,
        after: int | None = None,
        deadline: float | None = None,
    ) -> Added:
        """Adds a complete message.

        ``content`` is a text, a list of blocks, or the bytes of a JSON array of blocks. ``after`` requires that this is
        still the last sequence number of the thread. When the call returns, the message survives a crash.

        Raises ``AlreadyExists`` if the thread has a message with this id, ``Gone`` if it was deleted, and ``Stale`` if
        ``after`` does not match.
        """
        added: Added = self._engine.add(
            self.id, role, content, id, metadata, attachments, key, after, deadline
        )
        return added

    def get(self, id: str, *, deadline: float | None = None) -> Message | None:
        """Reads a message. Returns ``None`` if there is no such message."""
        message: Message | None = self._engine.get(self.id, id, deadline)
        return message

    def page(
        self,
        limit: int = 50,
        *,
        after: int | None = None,
        before: int | None = None,
        visibility: Visibility = "all",
        max_bytes: int | None = None,
        deadline: float | None = None,
    ) -> Page:
        """Reads up to ``limit`` messages (1 to 1000), in ascending order: the latest ones, those after the sequence
        number ``after`` (0 for the first page), or those before ``before``.

        ``visibility`` leaves out open messages (``"settled"``), or open and abandoned ones (``"final"``). A page ends
        before the message that would exceed ``max_bytes``, 8 MiB unless it is set.
        """
        page: Page = self._engine.page(self.id, limit, after, before, visibility, max_bytes, deadline)
        return page

    def messages(
        self, *, after: int = 0, visibility: Visibility = "all", page_size: int = 200
    ) -> Iterator[Message]:
        """Iterates over the messages after the sequence number ``after``, in order, page by page."""
        cursor: int | None = after
        while cursor is not None:
            page = self.page(page_size, after=cursor, visibility=visibility)
            for message in page.messages:
                yield message
            cursor = page.next

    def messages_reversed(
        self, *, before: int | None = None, visibility: Visibility = "all", page_size: int = 200
    ) -> Iterator[Message]:
        """Iterates over the messages before the sequence number ``before``, the latest first, page by page."""
        page = self.page(page_size, before=before, visibility=visibility)
        while True:
            for message in reversed(page.messages):
                yield message
            if page.next is None:
                return
            page = self.page(page_size, before=page.next, visibility=visibility)

    def update(
        self,
        id: str,
        metadata: Mapping[str, Any] | Json | None = None,
        *,
        where_absent: Mapping[str, Any] | Json | None = None,
        attachments: Sequence[str] | None = None,
        expected: int | None = None,
        key: str | None = None,
        deadline: float | None = None,
    ) -> m.Updated:
        """Patches the metadata of a message: a value sets a field, ``None`` removes it, an absent field stays.

        ``where_absent`` sets fields only where the message does not have them: concurrent writers agree on the first
        value, which is in the answer. ``attachments`` replaces the attachment keys. ``expected`` requires this revision.
        """
        patch = ops.update(
            self.id, id, metadata, where_absent=where_absent, attachments=attachments, expected=expected
        )
        return self._run(patch, key, deadline)

    def edit(
        self,
        id: str,
        content: Content,
        *,
        expected: int | None = None,
        key: str | None = None,
        deadline: float | None = None,
    ) -> m.ContentUpdated:
        """Replaces the content of a final message. ``expected`` requires this revision."""
        return self._run(ops.edit(self.id, id, content, expected=expected), key, deadline)

    def delete_message(
        self,
        id: str,
        *,
        expected: int | None = None,
        key: str | None = None,
        deadline: float | None = None,
    ) -> m.Deleted:
        """Deletes a message. A tombstone keeps its id. ``expected`` requires this revision."""
        return self._run(ops.delete(self.id, id, expected=expected), key, deadline)

    def take_last(
        self, *, expected: int | None = None, key: str | None = None, deadline: float | None = None
    ) -> m.Taken:
        """Deletes the last message, in any state, and returns it. ``expected`` requires its sequence number.

        Raises ``NotFound`` if the thread does not exist.
        """
        return self._run(ops.take_last(self.id, expected=expected), key, deadline)

    def find(
        self,
        name: str,
        value: str | int | bool,
        limit: int = 50,
        *,
        order: Literal["newest", "oldest"] = "newest",
        visibility: Visibility = "final",
        after: str | None = None,
        max_bytes: int | None = None,
        deadline: float | None = None,
    ) -> m.Found:
        """Finds messages of the thread by a metadata field that the store indexes: see ``Store.find``."""
        read = ops.find(
            name, value, limit, thread=self.id, order=order, visibility=visibility, after=after, max_bytes=max_bytes
        )
        return self._run(read, None, deadline)

    def draft(
        self,
        role: m.Role = "assistant",
        *,
        id: str | None = None,
        metadata: Mapping[str, Any] | Json | None = None,
        attachments: Sequence[str] | None = None,
        key: str | None = None,
        after: int | None = None,
        lease: float | None = None,
        flush_interval: float | None = None,
        flush_bytes: int | None = None,
    ) -> Draft:
        """Returns a draft: a message that is written as it is generated, for ``with``.

        The message has its id from the first byte on. The block ends it: it becomes final, or, if the block raises,
        abandoned. ``lease`` is the time in seconds after which another process may abandon the message of a
        writer that died. ``flush_interval`` (0.25 s) and ``flush_bytes`` (16 KiB) bound what is not durable yet.
        """
        options = (role, id, metadata, attachments, key, after, lease, flush_interval, flush_bytes)
        return Draft(self._engine, self.id, options)

    def create(
        self,
        *,
        title: str | None = None,
        owner: str | None = None,
        labels: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | Json | None = None,
        created_at: datetime | None = None,
        reuse_ids: bool = False,
        key: str | None = None,
        deadline: float | None = None,
    ) -> m.ThreadChanged:
        """Creates the thread without messages. Raises ``AlreadyExists`` if it exists.

        With ``reuse_ids``, the id of a deleted message can be used again in this thread, for its life.
        """
        create = ops.create_thread(
            self.id,
            title=title,
            owner=owner,
            labels=labels,
            metadata=metadata,
            created_at=created_at,
            reuse_ids=reuse_ids,
        )
        return self._run(create, key, deadline)

    def summary(self, *, deadline: float | None = None) -> m.ThreadSummary | None:
        """Reads the summary of the thread. Returns ``None`` if it does not exist or was deleted."""
        return self._run(ops.get_thread(self.id), None, deadline)

    def rename(
        self, title: str, *, expected: str | None = None, key: str | None = None, deadline: float | None = None
    ) -> m.ThreadChanged:
        """Sets the title. ``expected`` requires the present title."""
        return self._run(ops.rename_thread(self.id, title, expected=expected), key, deadline)

    def archive(
        self, archived: bool = True, *, key: str | None = None, deadline: float | None = None
    ) -> m.ThreadChanged:
        """Archives the thread, or brings it back."""
        return self._run(ops.archive_thread(self.id, archived), key, deadline)

    def label(
        self,
        labels: Mapping[str, str | None] | None = None,
        *,
        owner: str | None | Unset = UNSET,
        metadata: Mapping[str, Any] | Json | None = None,
        key: str | None = None,
        deadline: float | None = None,
    ) -> m.ThreadChanged:
        """Patches the labels, the owner and the metadata. ``None`` removes a label, a field or the owner."""
        return self._run(
            ops.label_thread(self.id, labels=labels, owner=owner, metadata=metadata), key, deadline
        )

    def clear(
        self, *, expected: int | None = None, key: str | None = None, deadline: float | None = None
    ) -> m.ThreadChanged:
        """Deletes all messages. The title, owner, labels and metadata stay. ``expected`` requires this generation."""
        return self._run(ops.clear_thread(self.id, expected=expected), key, deadline)

    def delete(self, *, key: str | None = None, deadline: float | None = None) -> m.ThreadDeleted:
        """Deletes the thread with everything in it. Each later write to it fails as ``Gone``."""
        return self._run(ops.delete_thread(self.id), key, deadline)

    def rebuild_summary(self, *, deadline: float | None = None) -> m.ThreadChanged:
        """Recomputes the counters in the summary from the messages."""
        return self._run(ops.rebuild_thread(self.id), None, deadline)

    def fork(
        self,
        message: str,
        *,
        id: str | None = None,
        title: str | None = None,
        owner: str | None = None,
        labels: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | Json | None = None,
    ) -> m.Forked:
        """Copies the final messages up to and including ``message`` into a new thread.

        A repeated call with the same ``id`` continues or finds the same fork.
        """
        new = calls.new_thread(id=id, title=title, owner=owner, labels=labels, metadata=metadata)
        return calls.forked(self._engine.fork(self.id, message, new))

    def prune(
        self, *, messages: int | None = None, bytes: int | None = None, since: datetime | None = None
    ) -> m.Pruned:
        """Deletes the oldest messages, so that the thread keeps at most ``messages`` final messages and ``bytes`` of
        content. It keeps all messages from ``since`` on.
        """
        return calls.pruned(self._engine.prune(self.id, calls.keep(messages, bytes, since)))

    def purge(self) -> list[str]:
        """Frees the space of messages that a clear or a deletion removed. Returns their attachment keys."""
        return calls.strings(self._engine.purge(self.id))

    def changes(self, after: int = 0, *, wait: bool = True) -> Changes:
        """Iterates over the changes of the thread after a position: see ``Store.changes``."""
        return Changes(self._engine.changes("thread", self.id, after), wait)
