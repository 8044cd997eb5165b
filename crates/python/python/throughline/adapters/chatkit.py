"""A ``Store`` for OpenAI's ChatKit server: threads, items and attachments of each user in one Throughline store.

::

    from chatkit.server import ChatKitServer
    from throughline.adapters.chatkit import ChatKitStore

    class Support(ChatKitServer):
        def respond(self, thread, item, context): ...

    server = Support(ChatKitStore("chat.db"))   # opens the file at its first call

| ChatKit | Throughline |
|---|---|
| the user of a request (``context``) | a tenant: no call of one tenant shows or changes anything in another one |
| a thread | a thread with the same id, title and time of creation; the other fields are its metadata ``chatkit`` |
| an item | a message with the same id; in the order of their first saves, not of a clock |
| an attachment | a message in the hidden thread ``chatkit.attachments`` of the tenant |

``docs/guide/python-chatkit.md`` has the whole mapping. The module needs the package ``openai-chatkit``.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Generic, cast

import throughline
from throughline._throughline import mint_id

from ..errors import AlreadyExists, Corrupt, Gone, NotFound

try:
    from chatkit.store import NotFoundError, Store, StoreItemType
    from chatkit.types import Attachment, Page, ThreadItem, ThreadMetadata, WorkflowItem
    from typing_extensions import TypeVar
except ImportError as error:  # pragma: no cover - only without the peer
    raise ImportError("throughline.adapters.chatkit needs ChatKit: pip install openai-chatkit") from error

from ._chatkit_mapping import (
    ATTACHMENT,
    ATTACHMENTS,
    FIELDS,
    NewMessage,
    item_of,
    micros,
    quote,
    shown_title,
    thread_of,
)
from ._chatkit_threads import SAVED_AGAIN, Threads

__all__ = ["ChatKitStore", "user_id"]

TContext = TypeVar("TContext", default=Any)

#: The most entries of one read, as the store allows them.
_READ_LIMIT = 1000

_PREFIXES: dict[StoreItemType, str] = {
    "thread": "thr",
    "message": "msg",
    "tool_call": "tc",
    "workflow": "wf",
    "task": "tsk",
    "attachment": "atc",
    "sdk_hidden_context": "shcx",
}


def user_id(context: Any) -> str:
    """Returns the ``user_id`` of a request's context: its attribute, or its member if the context is a mapping.

    :raises TypeError: The context has none. Pass ``tenant=`` to :class:`ChatKitStore` for contexts of another form.
    """
    found = context.get("user_id") if isinstance(context, Mapping) else getattr(context, "user_id", None)
    if not isinstance(found, str):
        raise TypeError(
            f"the context of the request ({type(context).__name__}) has no user_id, which names its tenant: "
            "pass tenant= to ChatKitStore, a function from the context to the name of the tenant"
        )
    return found


class ChatKitStore(Store[TContext], Generic[TContext]):
    """A ChatKit ``Store`` over a Throughline store.

    :param store: An open :class:`throughline.Store`, or where one is: a path, ``"memory:"`` or a URL of Postgres, which
        the first call opens. A store that the first call opened is closed by :meth:`close`.
    :param tenant: Returns the name of the tenant for the context of a request: 1 to 255 bytes, no control characters.
        ``None`` stands for the tenant of ``store``. By default :func:`user_id`.
    :param options: The options of :func:`throughline.open`, for a store that is opened here.

    A method fails with ``chatkit.store.NotFoundError`` if the thread, item or attachment does not exist for this
    tenant, and with a :class:`throughline.ThroughlineError` otherwise. A cancelled call does not lose a write that it
    has begun.
    """

    def __init__(
        self,
        store: throughline.Store | str | os.PathLike[str],
        *,
        tenant: Callable[[TContext], str | None] = user_id,
        **options: Any,
    ) -> None:
        if isinstance(store, (str, os.PathLike)):
            self._location: str | None = os.fspath(store)
            self._store: throughline.Store | None = None
        elif options:
            raise TypeError(f"ChatKitStore opens no store here, so it takes no {sorted(options)[0]}=")
        else:
            self._location, self._store = None, store
        self._options = options
        self._tenant = tenant
        self._lock = threading.Lock()

    async def close(self) -> None:
        """Closes the store if this object has opened it. A later call opens it again."""
        if self._location is not None:
            with self._lock:
                store, self._store = self._store, None
            if store is not None:
                await store.close()

    # -- ids ----------------------------------------------------------------------------------------------------------

    def generate_thread_id(self, context: TContext) -> str:
        """Returns ``thr_`` and a UUIDv7: ids sort by the time at which they were made, and never meet."""
        return _new_id("thread")

    def generate_item_id(self, item_type: StoreItemType, thread: ThreadMetadata, context: TContext) -> str:
        """Returns the prefix that ChatKit gives the type, and a UUIDv7."""
        return _new_id(item_type)

    # -- threads ------------------------------------------------------------------------------------------------------

    async def load_thread(self, thread_id: str, context: TContext) -> ThreadMetadata:
        """Loads the metadata of a thread, also of one that another program has written."""
        return thread_of(await self._summary(await self._threads(context, thread_id), thread_id))

    async def save_thread(self, thread: ThreadMetadata, context: TContext) -> None:
        """Creates a thread, or replaces its title, status and metadata. Its first time of creation orders the lists."""
        threads = await self._threads(context, thread.id)
        metadata = f'{{"{FIELDS}":{thread.model_dump_json(exclude={"items"})}}}'
        await threads.save(thread.id, shown_title(thread.title), metadata, micros(thread.created_at))

    async def load_threads(self, limit: int, after: str | None, order: str, context: TContext) -> Page[ThreadMetadata]:
        """Loads a page of the threads of the tenant by their time of creation, with those that have no item yet."""
        order = "oldestCreated" if _is_ascending(order) else "newestCreated"
        threads = await self._threads(context, after)
        cursor: Any = None
        if after is not None:
            last = await self._summary(threads, after)
            cursor = {"order": order, "createdAt": last["createdAt"], "thread": last["thread"]}
        data: list[ThreadMetadata] = []
        has_more = _is_positive(limit)
        while has_more and len(data) < limit:
            most = min(limit - len(data), _READ_LIMIT)
            wanted: dict[str, Any] = {"archived": False, "unlisted": True, "order": order, "limit": most}
            if cursor is not None:
                wanted["after"] = cursor
            page = await threads.read("threads", quote(wanted))
            if damaged := page.get("damaged"):
                raise _damaged(f"the summary of thread {damaged[0]}")
            data += map(thread_of, page["threads"])
            cursor = page.get("next")
            has_more = cursor is not None
        return Page[ThreadMetadata](data=data, has_more=has_more, after=data[-1].id if has_more else None)

    async def delete_thread(self, thread_id: str, context: TContext) -> None:
        """Deletes a thread and its items. A thread that does not exist stays so."""
        threads = await self._threads(context, thread_id)
        await threads.delete(thread_id)

    # -- items --------------------------------------------------------------------------------------------------------

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: TContext
    ) -> Page[ThreadItem]:
        """Loads a page of the items of a thread, by their first saves. A thread that does not exist has none."""
        onward, start = ("after", "start") if _is_ascending(order) else ("before", "end")
        name, start_at = thread_id, cast("str | dict[str, int]", start)
        threads = await self._threads(context, thread_id)
        if after is not None:
            last = await threads.message(thread_id, after, "Item")
            name, start_at = last["thread"], {onward: last["seq"]}

        async def read(name: str) -> Any | None:
            most = min(limit - len(data), _READ_LIMIT)
            page = await threads.read(
                "page", quote({"thread": name, "from": start_at, "limit": most, "visibility": "final"})
            )
            return page if page["messages"] or page.get("damaged") else None

        data: list[ThreadItem] = []
        has_more = _is_positive(limit)
        while has_more and len(data) < limit:
            page = await (threads.find(name, read) if start_at == start else read(name))
            if page is None:
                has_more = False
                break
            if damaged := page.get("damaged"):
                raise _damaged(f"item {damaged[0].get('id')} of thread {thread_id}")
            messages = page["messages"] if onward == "after" else page["messages"][::-1]
            data += [item_of(message, thread_id) for message in messages]
            has_more = page["hasMore"]
            name, start_at = page["thread"], {onward: messages[-1]["seq"]}
        return Page[ThreadItem](data=data, has_more=has_more, after=data[-1].id if has_more else None)

    async def load_item(self, thread_id: str, item_id: str, context: TContext) -> ThreadItem:
        """Loads one item."""
        threads = await self._threads(context, thread_id)
        return item_of(await threads.message(thread_id, item_id, "Item"), thread_id)

    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: TContext) -> None:
        """Adds an item at the end of a thread.

        The same item again changes nothing, so that a call whose outcome is unknown can be repeated. A workflow that the
        thread has is replaced and stays where it is: ChatKit adds it again when a later run has continued it.

        :raises throughline.AlreadyExists: The thread has another item with this id.
        :raises throughline.Gone: The thread was deleted.
        """
        threads = await self._threads(context, thread_id)
        try:
            await threads.write(thread_id, lambda name: threads.run(NewMessage.of_item(name, item, thread_id).add()))
        except AlreadyExists:
            stored = item_of(await threads.message(thread_id, item.id, "Item"), thread_id)
            if isinstance(item, WorkflowItem) and isinstance(stored, WorkflowItem):
                await self.save_item(thread_id, item, context)
            elif stored != item:
                raise

    async def save_item(self, thread_id: str, item: ThreadItem, context: TContext) -> None:
        """Replaces an item, which stays where it is in the thread, or adds it at the end.

        :raises throughline.Gone: The thread was deleted.
        """
        threads = await self._threads(context, thread_id)
        await threads.write(thread_id, lambda name: threads.put(NewMessage.of_item(name, item, thread_id)))

    async def delete_thread_item(self, thread_id: str, item_id: str, context: TContext) -> None:
        """Deletes an item. An item that does not exist stays so."""
        threads = await self._threads(context, thread_id)
        with contextlib.suppress(NotFound, Gone):
            await threads.write(thread_id, lambda name: threads.delete_message(name, item_id))

    # -- attachments --------------------------------------------------------------------------------------------------

    async def save_attachment(self, attachment: Attachment, context: TContext) -> None:
        """Adds or replaces the metadata of an attachment. Its bytes are the host's."""
        threads = await self._threads(context)
        await threads.put_hidden(NewMessage.of_attachment(attachment))

    async def load_attachment(self, attachment_id: str, context: TContext) -> Attachment:
        """Loads the metadata of an attachment."""
        threads = await self._threads(context)
        message = await threads.message(ATTACHMENTS, attachment_id, "Attachment")
        return ATTACHMENT.validate_python(message["content"][0])

    async def delete_attachment(self, attachment_id: str, context: TContext) -> None:
        """Deletes the metadata of an attachment. One that does not exist stays so."""
        threads = await self._threads(context)
        with contextlib.suppress(NotFound, Gone):
            await threads.delete_message(ATTACHMENTS, attachment_id)

    # -- the store ----------------------------------------------------------------------------------------------------

    async def _threads(self, context: TContext, thread: str | None = None) -> Threads:
        """Returns the threads of the tenant of this context, and opens the store at the first call."""
        if thread in (ATTACHMENTS, SAVED_AGAIN):
            raise NotFoundError(f"{thread} is a thread of the adapter, and none of ChatKit")
        tenant = self._tenant(context)
        store = self._store or await self._open()
        return Threads(store if tenant is None else store.for_tenant(tenant))

    async def _summary(self, threads: Threads, thread_id: str) -> Any:
        summary = await threads.summary(thread_id)
        if summary is None:
            raise NotFoundError(f"Thread {thread_id} not found")
        return summary

    async def _open(self) -> throughline.Store:
        assert self._location is not None
        opened = await throughline.open(self._location, **self._options)
        # The first of several calls that open at the same time wins; a path is one store in a process anyhow.
        with self._lock:
            if self._store is None:
                self._store = opened
            return self._store


def _new_id(item_type: StoreItemType) -> str:
    """Returns the prefix of the type and a UUIDv7."""
    return f"{_PREFIXES[item_type]}_{mint_id()}"


def _is_ascending(order: str) -> bool:
    if order not in ("asc", "desc"):
        raise ValueError(f"the order of a page is asc or desc, not {order!r}")
    return order == "asc"


def _is_positive(limit: int) -> bool:
    if limit < 1:
        raise ValueError(f"the limit of a page is at least 1, not {limit}")
    return True


def _damaged(what: str) -> Corrupt:
    return Corrupt(f"{what} is damaged in the store: `throughline verify` names every damaged row")
