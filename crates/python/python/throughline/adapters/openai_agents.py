"""Sessions of the OpenAI Agents SDK in a Throughline store.

::

    async with throughline.open("chat.db") as store:
        session = ThroughlineSession("user-42", store)
        result = await Runner.run(agent, "Where to?", session=session)

| of the SDK | here |
|---|---|
| a session | the thread with the id of the session, in the tenant of the store |
| an item | a message: see :mod:`throughline.adapters.openai_messages` |
| a branch of a session | a thread that was forked from the thread of another branch: see :class:`BranchingSession` |

``add_items`` writes all items in one transaction, and ``pop_item`` reads and deletes the last one in one transaction. A task that is
cancelled in a write waits for its outcome first, as the sessions of the SDK do.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Coroutine
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, TypeVar

from .. import errors
from .openai_messages import addition, batch, decode, dumps

if TYPE_CHECKING:
    from agents.items import TResponseInputItem
    from agents.memory import SessionSettings

    from .. import Store

__all__ = ["BranchingSession", "ThroughlineSession"]

T = TypeVar("T")

logger = logging.getLogger(__name__)

# The most messages of one page of a store.
_PAGE = 1000


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
        work.exception()  # Otherwise the loop reports an exception that nobody has read.
    raise cancellation


class ThroughlineSession:
    """A ``Session`` of the OpenAI Agents SDK, over a thread of a store.

    ``session_id`` is the id of the thread, which the first item creates: 1 to 255 bytes of UTF-8 without control characters.
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
        from agents.memory.session_settings import SessionSettings, coerce_session_settings

        self.session_id = session_id
        self.session_settings: SessionSettings | None = (
            SessionSettings() if session_settings is None else coerce_session_settings(session_settings)
        )
        self._store: Store | None = None
        self._location: str | None = None
        self._opening: asyncio.Task[Store] | None = None
        if isinstance(store, (str, PathLike)):
            self._location = fspath(store)
        else:
            self._store = store
        self._thread = dumps(session_id)
        self._closed = False

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Returns the items, oldest first: the last ``limit``, or those of the settings, or all.

        0 returns none, and a negative number all. A message that is being written is left out, and so is one that the store cannot
        decode: a warning names it.
        """
        return await self._items(self.session_id, self._limit(limit))

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Adds items in one transaction: all of them, or none."""
        self._check_open()
        if items:
            await settled(self._write([addition(self._thread, item) for item in items]))

    async def pop_item(self) -> TResponseInputItem | None:
        """Deletes the last item and returns it, in one transaction. ``None`` if there is none."""
        self._check_open()
        return await settled(self._take(self._thread))

    async def clear_session(self) -> None:
        """Deletes all items. The thread stays, with its title and labels."""
        self._check_open()
        await settled(self._clear())

    async def close(self) -> None:
        """Closes the store if this session has opened it. Every later call raises ``RuntimeError``."""
        self._closed = True
        if self._location is not None and self._opening is not None:
            store = await self._opening
            self._opening = self._store = None
            await store.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"{type(self).__name__} is closed")

    async def _open(self) -> Store:
        """Returns the store, and opens it if that is left to the session."""
        self._check_open()
        if self._store is not None:
            return self._store
        if self._opening is None:
            import throughline

            assert self._location is not None
            self._opening = asyncio.ensure_future(_opened(throughline.open(self._location)))
        self._store = await asyncio.shield(self._opening)
        return self._store

    async def _run(self, args: str) -> Any:
        store = self._store or await self._open()
        return json.loads(await store.run(args))

    def _limit(self, limit: int | None) -> int | None:
        """Returns how many items a read returns. ``None`` is all."""
        from agents.memory.session_settings import resolve_session_limit

        resolved = resolve_session_limit(limit, self.session_settings)
        return None if resolved is None or resolved < 0 else resolved

    async def _messages(self, thread: str, limit: int | None) -> list[dict[str, Any]]:
        """Returns the final messages of a thread in the wire format, oldest first."""
        self._check_open()
        store = self._store or await self._open()
        handle = store.thread(thread)
        pages: list[list[dict[str, Any]]] = []
        before: int | None = None
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page = await handle.page(limit=size, before=before, visibility="final")
            messages = json.loads(page.json)
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

    async def _items(self, thread: str, limit: int | None) -> list[Any]:
        return [decode(message) for message in await self._messages(thread, limit)]

    async def _write(self, operations: list[str]) -> None:
        """Applies operations in one transaction. Their answers are not decoded."""
        store = self._store or await self._open()
        await store.run(operations[0] if len(operations) == 1 else batch(operations))

    async def _take(self, thread: str) -> Any:
        try:
            answer = await self._run(f'{{"thread":{{"takeLast":{{"thread":{thread}}}}}}}')
        except errors.NotFound:
            return None
        message = answer["thread"]["takeLast"].get("message")
        return None if message is None else decode(message)

    async def _clear(self) -> None:
        try:
            await self._write([f'{{"thread":{{"clear":{{"thread":{self._thread}}}}}}}'])
        except errors.NotFound:
            pass  # A thread without a write has no items.


def _opened(opening: Awaitable[Store]) -> Coroutine[Any, Any, Store]:
    async def wait() -> Store:
        return await opening

    return wait()


from .openai_branches import BranchingSession  # noqa: E402  (it is a subclass)
