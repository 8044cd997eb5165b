"""A session of the OpenAI Agents SDK over a thread of a store: :class:`ThroughlineSession`."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import Awaitable, Callable
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, TypeVar

from .. import errors
from .openai_messages import addition, batch, decode, decode_page, dumps, encode

if TYPE_CHECKING:
    from agents.items import TResponseInputItem
    from agents.memory import SessionSettings

    from .. import Page, Store

T = TypeVar("T")

logger = logging.getLogger(__name__)

# The most messages of one page of a store.
_PAGE = 1000

# Characters that no id of a thread has: controls and lone surrogates.
_UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


async def settled(call: Awaitable[T]) -> T:
    """Waits for a write even if the calling task is cancelled meanwhile, and only then raises the cancellation."""
    work = asyncio.ensure_future(call)
    cancellation: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait((work,))
        except asyncio.CancelledError as error:
            cancellation = cancellation or error
    if cancellation is None:
        return work.result()
    if not work.cancelled():
        work.exception()  # Otherwise the loop reports it as an exception without a reader.
    raise cancellation


def thread_of(session_id: str) -> str:
    """Returns the thread of a session: its id, or an id that is derived from it if a thread cannot have it."""
    length = len(session_id.encode(errors="surrogatepass"))
    if 0 < length <= 255 and not _UNUSABLE.search(session_id):
        return session_id
    digest = hashlib.sha256(session_id.encode(errors="surrogatepass")).hexdigest()
    return f"openai-session-{digest[:40]}"


class ThroughlineSession:
    """A ``Session`` of the OpenAI Agents SDK, over a thread of a store.

    ``session_id`` is any string. It is the id of the thread, which the first item creates, if it has 1 to 255 bytes of UTF-8 without
    control characters. Otherwise :func:`thread_of` derives the id of the thread from it.
    ``store`` is an open store, or one of its tenants; the session never closes it. It can also be the location of a store, which the
    first call then opens and :meth:`close` closes. ``session_settings`` are those of the SDK: its class, or a dictionary.

    Sessions with the same id show the same items, in any task, event loop and process. A method raises the errors of
    :mod:`throughline.errors`, and ``TypeError`` or ``ValueError`` for an item that is not JSON; nothing is written then.
    """

    def __init__(
        self,
        session_id: str,
        store: Store | str | PathLike[str],
        *,
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        from agents.memory import SessionSettings

        if not isinstance(session_id, str):
            raise TypeError("session_id must be a string")
        if not isinstance(session_settings, SessionSettings):
            session_settings = SessionSettings().resolve(session_settings)
        self.session_id = session_id
        self.session_settings: SessionSettings | None = session_settings
        self._store: Store | None = None
        self._location: str | None = None
        if isinstance(store, (str, PathLike)):
            self._location = fspath(store)
        else:
            self._store = store
        self._thread_id = thread_of(session_id)
        self._thread = dumps(self._thread_id)
        self._closed = False

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Returns the items, oldest first: the last ``limit``, or those of the settings, or all.

        0 returns none, and a negative number all. A message that is being written is left out, and so is one that the store cannot
        decode: a warning names it.
        """
        return await self._items(self._thread_id, self._limit(limit))

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Adds items in one transaction: all of them, or none."""
        self._check_open()
        if items:
            await self._write([addition(self._thread, *encode(item)) for item in items])

    async def pop_item(self) -> TResponseInputItem | None:
        """Deletes the last item and returns it, in one transaction. ``None`` if there is none."""
        self._check_open()
        return await self._take(self._thread)

    async def clear_session(self) -> None:
        """Deletes all items. The thread stays, with its title and labels."""
        self._check_open()
        await self._clear()

    async def close(self) -> None:
        """Closes the store if this session has opened it. Every later call raises ``RuntimeError``."""
        self._closed = True
        store = self._store
        if self._location is not None and store is not None:
            self._store = None
            await store.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"{type(self).__name__} is closed")

    async def _open(self) -> Store:
        """Returns the store, and opens it if that is left to the session."""
        self._check_open()
        if self._store is None:
            import throughline

            assert self._location is not None
            # A second open of the same location shares the store.
            store = await throughline.open(self._location)
            if self._store is None and not self._closed:
                self._store = store
            else:
                await store.close()
                self._check_open()
        assert self._store is not None
        return self._store

    async def _run(self, args: str) -> Any:
        store = self._store or await self._open()
        return json.loads(await store.run(args))

    async def _run_to_end(self, args: str, answers: bool) -> Any:
        """Runs a write. A task that is cancelled meanwhile waits for its outcome, and is cancelled then."""
        store = self._store or await self._open()
        return await store._engine.run_to_end(args, answers)

    def _limit(self, limit: int | None) -> int | None:
        """Returns how many items a read returns. ``None`` is all."""
        settings = self.session_settings
        if limit is None and settings is not None:
            limit = settings["limit"] if isinstance(settings, dict) else settings.limit
        return None if limit is None or limit < 0 else limit

    async def _messages(self, thread: str, limit: int | None) -> list[dict[str, Any]]:
        """Returns the final messages of a thread in the wire format, oldest first."""
        return await self._read(thread, limit, lambda page: json.loads(page.json))

    async def _items(self, thread: str, limit: int | None) -> list[Any]:
        return await self._read(thread, limit, decode_page)

    async def _read(self, thread: str, limit: int | None, decoded: Callable[[Page], list[T]]) -> list[T]:
        """Reads the final messages of a thread, page by page from its end, and returns them oldest first."""
        self._check_open()
        store = self._store or await self._open()
        handle = store.thread(thread)
        pages: list[list[T]] = []
        before: int | None = None
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page = await handle.page(limit=size, before=before, visibility="final")
            messages = decoded(page)
            pages.append(messages)
            for damaged in page.damaged:
                logger.warning("thread %r: message %r is left out: %s", thread, damaged.id, damaged.detail)
            if left is not None:
                left -= len(messages)
            before = page.next
            if before is None:
                break
        if len(pages) == 1:
            return pages[0]
        return [message for page in reversed(pages) for message in page]

    async def _write(self, operations: list[str]) -> None:
        """Applies operations in one transaction. Their answers are not decoded."""
        await self._run_to_end(operations[0] if len(operations) == 1 else batch(operations), False)

    async def _take(self, thread: str) -> Any:
        try:
            answer = await self._run_to_end(f'{{"thread":{{"takeLast":{{"thread":{thread}}}}}}}', True)
        except errors.NotFound:
            return None
        message = json.loads(answer)["thread"]["takeLast"].get("message")
        return None if message is None else decode(message)

    async def _clear(self) -> None:
        try:
            await self._run_to_end(f'{{"thread":{{"clear":{{"thread":{self._thread}}}}}}}', False)
        except errors.NotFound:
            pass  # A thread without a write has no items.

    async def _get_compaction_snapshot(
        self, limit: int, *, prune_prefix: Callable[[TResponseInputItem], bool] | None = None
    ) -> Any:
        """Returns the last items with a function that replaces them in one transaction: a hook of the SDK's
        ``OpenAIResponsesCompactionSession``, which otherwise compacts a complete history only.

        The hook is ``None`` where a subclass changes what a session reads or writes, and in versions of the SDK without it.
        """
        own = (ThroughlineSession.get_items, ThroughlineSession.add_items, ThroughlineSession.pop_item)
        if (type(self).get_items, type(self).add_items, type(self).pop_item) != own:
            return None
        try:
            from agents.memory.session import _CompactionSnapshot
        except ImportError:
            return None
        store = self._store or await self._open()
        page = await store.thread(self._thread_id).page(limit=min(limit, _PAGE), visibility="final")
        if page.damaged:
            return None
        messages = json.loads(page.json)

        async def replace_suffix(start: int, output: list[TResponseInputItem]) -> bool:
            expected = messages[start:]
            if not expected:
                return False
            additions = [addition(self._thread, *encode(item)) for item in output]
            expired = [] if prune_prefix is None else await self._expired(prune_prefix, expected[0]["seq"])
            return await self._replace([*expired, *expected], additions, page.last_seq)

        return _CompactionSnapshot(decode_page(page), not page.has_more, replace_suffix)

    async def _expired(
        self, prune: Callable[[TResponseInputItem], bool], end: int
    ) -> list[dict[str, Any]]:
        """Returns the first messages before the sequence number ``end``, as long as ``prune`` accepts their items."""
        handle = (self._store or await self._open()).thread(self._thread_id)
        expired: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = await handle.page(limit=_PAGE, after=after, visibility="final")
            for message, item in zip(json.loads(page.json), decode_page(page)):
                if message["seq"] >= end or not prune(item):
                    return expired
                expired.append(message)
            after = page.next
        return expired

    async def _replace(self, messages: list[dict[str, Any]], additions: list[str], last_seq: int) -> bool:
        """Replaces messages, unless the thread has changed since the read with ``last_seq``."""
        deletions = [
            f'{{"delete":{{"thread":{self._thread},"id":{dumps(message["id"])},'
            f'"expected":{message["revision"]}}}}}'
            for message in messages
        ]
        items = ",".join([*deletions, *additions])
        try:
            await self._run_to_end(f'{{"batch":{{"items":[{items}],"after":{last_seq}}}}}', False)
        except (errors.Stale, errors.Gone, errors.NotFound):
            return False
        return True
