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
| an item | a message with the same id; its place is that of its first save, not that of a clock |
| an attachment | a message in the hidden thread ``chatkit.attachments`` of the tenant |

``docs/guide/python-chatkit.md`` has the whole mapping. The module needs the package ``openai-chatkit``.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Generic

import throughline
from throughline import AlreadyExists, Conflict, Corrupt, Gone, NotFound
from throughline._throughline import mint_id

try:
    from chatkit.store import NotFoundError, Store, StoreItemType
    from chatkit.types import (
        AssistantMessageContent,
        AssistantMessageItem,
        Attachment,
        HiddenContextItem,
        InferenceOptions,
        Page,
        ThreadItem,
        ThreadMetadata,
        UserMessageContent,
        UserMessageItem,
    )
    from pydantic import TypeAdapter
    from pydantic_core import from_json
    from typing_extensions import TypeVar
except ImportError as error:  # pragma: no cover - only without the peer
    raise ImportError("throughline.adapters.chatkit needs ChatKit: pip install openai-chatkit") from error

__all__ = ["ATTACHMENTS", "ChatKitStore", "user_id"]

TContext = TypeVar("TContext", default=Any)

#: The hidden thread of each tenant that holds its attachments, each as one message with the id of the attachment.
ATTACHMENTS = "chatkit.attachments"

#: The member of the metadata of threads and messages with the fields that Throughline has no field for.
_FIELDS = "chatkit"
#: The most entries of one read, as the store allows them.
_READ_LIMIT = 1000
#: The longest title of a thread in bytes. A longer one stays whole in the metadata.
_TITLE_BYTES = 4096
#: How often a save that another writer overtakes is decided again.
_ATTEMPTS = 8

_PREFIXES: dict[StoreItemType, str] = {
    "thread": "thr",
    "message": "msg",
    "tool_call": "tc",
    "workflow": "wf",
    "task": "tsk",
    "attachment": "atc",
    "sdk_hidden_context": "shcx",
}

#: The author of each type of item. Other types are the assistant's.
_ROLES = {
    "user_message": "user",
    "client_tool_call": "tool",
    "hidden_context_item": "system",
    "sdk_hidden_context": "system",
    "end_of_turn": "system",
}

#: The types whose content is the content of the message.
_WITH_BLOCKS = ("user_message", "assistant_message")
#: The fields of an item that the message has itself.
_IDENTITY = {"id", "thread_id"}
#: The title that Throughline shows for a thread without one.
_UNTITLED = "Untitled"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_ITEM: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)
_USER_CONTENT: TypeAdapter[list[UserMessageContent]] = TypeAdapter(list[UserMessageContent])
_ASSISTANT_CONTENT: TypeAdapter[list[AssistantMessageContent]] = TypeAdapter(list[AssistantMessageContent])
_ATTACHMENT: TypeAdapter[Attachment] = TypeAdapter(Attachment)


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
        summary = await _read(await self._of(context, thread_id), "thread", f'{{"thread":{_json(thread_id)}}}')
        if summary is None:
            raise NotFoundError(f"thread {thread_id} does not exist")
        return _thread_of(summary)

    async def save_thread(self, thread: ThreadMetadata, context: TContext) -> None:
        """Creates a thread, or replaces its title, status and metadata. Its first time of creation orders the lists."""
        store = await self._of(context, thread.id)
        name, title = _json(thread.id), _json(_shown_title(thread.title))
        fields = f'{{"{_FIELDS}":{thread.model_dump_json(exclude={"id", "items"})}}}'
        create = f'{{"thread":{name},"title":{title},"metadata":{fields},"createdAt":{_micros(thread.created_at)}}}'
        rename = f'{{"thread":{{"rename":{{"thread":{name},"title":{title}}}}}}}'
        label = f'{{"thread":{{"label":{{"thread":{name},"metadata":{fields}}}}}}}'
        for _ in range(_ATTEMPTS):
            try:
                await _run(store, f'{{"thread":{{"create":{create}}}}}')
                return
            except AlreadyExists:
                pass
            try:
                await _run(store, f'{{"batch":{{"items":[{rename},{label}]}}}}')
                return
            except (NotFound, Gone):
                pass  # Another writer has deleted the thread since.
        raise _overtaken("thread", thread.id)

    async def load_threads(self, limit: int, after: str | None, order: str, context: TContext) -> Page[ThreadMetadata]:
        """Loads a page of the threads of the tenant by their time of creation, with those that have no item yet."""
        order = "oldestCreated" if _is_ascending(order) else "newestCreated"
        store = await self._of(context)
        cursor: Any = None
        if after is not None:
            last = await _read(store, "thread", f'{{"thread":{_json(after)}}}')
            if last is None:
                raise NotFoundError(f"thread {after}, after which the page begins, does not exist")
            cursor = {"order": order, "createdAt": last["createdAt"], "thread": after}
        data: list[ThreadMetadata] = []
        has_more = _is_positive(limit)
        while has_more and len(data) < limit:
            most = min(limit - len(data), _READ_LIMIT)
            wanted: dict[str, Any] = {"archived": False, "unlisted": True, "order": order, "limit": most}
            if cursor is not None:
                wanted["after"] = cursor
            page = await _read(store, "threads", _json(wanted))
            if damaged := page.get("damaged"):
                raise _damaged(f"the summary of thread {damaged[0]}")
            data += map(_thread_of, page["threads"])
            cursor = page.get("next")
            has_more = cursor is not None
        return Page[ThreadMetadata](data=data, has_more=has_more, after=data[-1].id if has_more else None)

    async def delete_thread(self, thread_id: str, context: TContext) -> None:
        """Deletes a thread and its items. A thread that does not exist stays so."""
        store = await self._of(context, thread_id)
        with contextlib.suppress(NotFound, Gone):
            await _run(store, f'{{"thread":{{"delete":{{"thread":{_json(thread_id)}}}}}}}')

    # -- items --------------------------------------------------------------------------------------------------------

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: TContext
    ) -> Page[ThreadItem]:
        """Loads a page of the items of a thread, by their first saves. A thread that does not exist has none."""
        onward, start = ("after", "start") if _is_ascending(order) else ("before", "end")
        store = await self._of(context, thread_id)
        place: Any = start
        if after is not None:
            place = {onward: (await _message(store, thread_id, after, "item"))["seq"]}
        data: list[ThreadItem] = []
        has_more = _is_positive(limit)
        while has_more and len(data) < limit:
            most = min(limit - len(data), _READ_LIMIT)
            wanted = {"thread": thread_id, "from": place, "limit": most, "visibility": "final"}
            page = await _read(store, "page", _json(wanted))
            if damaged := page.get("damaged"):
                raise _damaged(f"item {damaged[0].get('id')} of thread {thread_id}")
            messages = page["messages"] if onward == "after" else page["messages"][::-1]
            data += map(_item_of, messages)
            has_more = page["hasMore"]
            if messages:
                place = {onward: messages[-1]["seq"]}
        return Page[ThreadItem](data=data, has_more=has_more, after=data[-1].id if has_more else None)

    async def load_item(self, thread_id: str, item_id: str, context: TContext) -> ThreadItem:
        """Loads one item."""
        return _item_of(await _message(await self._of(context, thread_id), thread_id, item_id, "item"))

    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: TContext) -> None:
        """Adds an item at the end of a thread.

        The same item again changes nothing, so that a call whose outcome is unknown can be repeated.

        :raises throughline.AlreadyExists: The thread has another item with this id.
        """
        store = await self._of(context, thread_id)
        try:
            await _NewMessage.of_item(thread_id, item).add(store)
        except AlreadyExists:
            if _item_of(await _message(store, thread_id, item.id, "item")) != item:
                raise

    async def save_item(self, thread_id: str, item: ThreadItem, context: TContext) -> None:
        """Replaces an item, which keeps its place in the thread, or adds it at the end."""
        await _NewMessage.of_item(thread_id, item).put(await self._of(context, thread_id))

    async def delete_thread_item(self, thread_id: str, item_id: str, context: TContext) -> None:
        """Deletes an item. An item that does not exist stays so."""
        await _delete(await self._of(context, thread_id), thread_id, item_id)

    # -- attachments --------------------------------------------------------------------------------------------------

    async def save_attachment(self, attachment: Attachment, context: TContext) -> None:
        """Adds or replaces the metadata of an attachment. Its bytes are the host's."""
        store = await self._of(context)
        message = _NewMessage.of_attachment(attachment)
        if not await message.replace(store):
            # Hidden, so that no list shows the thread.
            with contextlib.suppress(AlreadyExists):
                await _run(store, f'{{"thread":{{"create":{{"thread":"{ATTACHMENTS}","hidden":true}}}}}}')
            await message.put(store)

    async def load_attachment(self, attachment_id: str, context: TContext) -> Attachment:
        """Loads the metadata of an attachment."""
        message = await _message(await self._of(context), ATTACHMENTS, attachment_id, "attachment")
        return _ATTACHMENT.validate_python(message["content"][0])

    async def delete_attachment(self, attachment_id: str, context: TContext) -> None:
        """Deletes the metadata of an attachment. One that does not exist stays so."""
        await _delete(await self._of(context), ATTACHMENTS, attachment_id)

    # -- the store ----------------------------------------------------------------------------------------------------

    async def _of(self, context: TContext, thread: str | None = None) -> throughline.Store:
        """Returns the store for the tenant of this context, and opens it at the first call."""
        if thread == ATTACHMENTS:
            raise NotFoundError(f"{ATTACHMENTS} is the thread of the attachments, and none of ChatKit")
        tenant = self._tenant(context)
        store = self._store or await self._open()
        return store if tenant is None else store.for_tenant(tenant)

    async def _open(self) -> throughline.Store:
        assert self._location is not None
        opened = await throughline.open(self._location, **self._options)
        # The first of several calls that open at the same time wins; a path is one store in a process anyhow.
        with self._lock:
            if self._store is None:
                self._store = opened
            return self._store


class _NewMessage:
    """A message to write, with its content, metadata and attachments as JSON."""

    def __init__(
        self, thread: str, id: str, role: str, content: str, metadata: str, attachments: str, created: int | None
    ) -> None:
        self.thread, self.id = thread, id
        self._at = f'"thread":{_json(thread)},"id":{_json(id)}'
        self._role, self._content, self._metadata = role, content, metadata
        self._attachments = attachments
        self._created = "" if created is None else f',"createdAt":{created}'

    @classmethod
    def of_item(cls, thread: str, item: ThreadItem) -> _NewMessage:
        attachments = "[]"
        if isinstance(item, UserMessageItem):
            fields, content = (
                item.model_dump_json(exclude=_IDENTITY | {"content"}),
                _USER_CONTENT.dump_json(item.content).decode(),
            )
            attachments = _json([attachment.id for attachment in item.attachments])
        elif isinstance(item, AssistantMessageItem):
            fields, content = (
                item.model_dump_json(exclude=_IDENTITY | {"content"}),
                _ASSISTANT_CONTENT.dump_json(item.content).decode(),
            )
        else:
            fields, content = (
                item.model_dump_json(include={"type", "created_at"}),
                f"[{item.model_dump_json(exclude=_IDENTITY | {'created_at'})}]",
            )
        role = _ROLES.get(item.type, "assistant")
        return cls(thread, item.id, role, content, f'{{"{_FIELDS}":{fields}}}', attachments, _micros(item.created_at))

    @classmethod
    def of_attachment(cls, attachment: Attachment) -> _NewMessage:
        content = f"[{attachment.model_dump_json()}]"
        return cls(ATTACHMENTS, attachment.id, "user", content, "{}", _json([attachment.id]), None)

    async def add(self, store: throughline.Store) -> None:
        """Adds the message at the end of its thread."""
        await _run(
            store,
            f'{{"add":{{{self._at},"role":"{self._role}","content":{self._content},"metadata":{self._metadata},'
            f'"attachments":{self._attachments}{self._created}}}}}',
        )

    async def replace(self, store: throughline.Store) -> bool:
        """Replaces the message, and says whether there was one."""
        content = f'{{"updateContent":{{{self._at},"change":{{"replace":{self._content}}},"mode":"edit"}}}}'
        facts = f'{{"update":{{{self._at},"metadata":{self._metadata},"attachments":{self._attachments}}}}}'
        try:
            await _run(store, f'{{"batch":{{"items":[{content},{facts}]}}}}')
        except (NotFound, Gone):
            return False
        return True

    async def put(self, store: throughline.Store) -> None:
        """Replaces the message, or adds it."""
        for _ in range(_ATTEMPTS):
            if await self.replace(store):
                return
            try:
                return await self.add(store)
            except AlreadyExists:
                pass  # Another writer has added it since.
        raise _overtaken("message", self.id)


async def _run(store: throughline.Store, args: str) -> Any:
    return from_json(await store.run(args.encode()))


async def _read(store: throughline.Store, read: str, args: str) -> Any:
    return (await _run(store, f'{{"read":{{"{read}":{args}}}}}'))["read"][read]


async def _message(store: throughline.Store, thread: str, id: str, kind: str) -> dict[str, Any]:
    """Reads one final message."""
    message: dict[str, Any] | None = await _read(store, "get", f'{{"thread":{_json(thread)},"id":{_json(id)}}}')
    if message is None or message["state"] != "final":
        raise NotFoundError(f"{kind} {id} does not exist" + (f" in thread {thread}" if kind == "item" else ""))
    return message


async def _delete(store: throughline.Store, thread: str, id: str) -> None:
    with contextlib.suppress(NotFound, Gone):
        await _run(store, f'{{"delete":{{"thread":{_json(thread)},"id":{_json(id)}}}}}')


def _thread_of(summary: dict[str, Any]) -> ThreadMetadata:
    fields: dict[str, Any] = summary.get("metadata", {}).get(_FIELDS) or {}
    title = fields.get("title")
    if summary["title"] != (_shown_title(title) or _UNTITLED):
        title = summary["title"]  # Another program has renamed the thread since.
    created = fields.get("created_at") or _time(summary["createdAt"])
    return ThreadMetadata.model_validate({**fields, "id": summary["thread"], "title": title, "created_at": created})


def _item_of(message: dict[str, Any]) -> ThreadItem:
    fields = message["metadata"].get(_FIELDS)
    content = message["content"]
    identity = {"id": message["id"], "thread_id": message["thread"]}
    if fields is None:
        return _foreign_item(message, identity)
    if fields["type"] in _WITH_BLOCKS:
        return _ITEM.validate_python({**fields, **identity, "content": content})
    return _ITEM.validate_python({**content[0], **fields, **identity})


def _foreign_item(message: dict[str, Any], identity: dict[str, Any]) -> ThreadItem:
    """Returns the item of a message that another program has written: its text, or else hidden context."""
    identity["created_at"] = _time(message["createdAt"])
    texts = [
        block["text"] for block in message["content"] if isinstance(block, dict) and isinstance(block.get("text"), str)
    ]
    if texts and message["role"] == "user":
        content: Any = [{"type": "input_text", "text": text} for text in texts]
        return UserMessageItem(**identity, content=content, inference_options=InferenceOptions())
    if texts and message["role"] == "assistant":
        content = [{"type": "output_text", "text": text} for text in texts]
        return AssistantMessageItem(**identity, content=content)
    return HiddenContextItem(**identity, content=message["content"])


def _shown_title(title: str | None) -> str:
    """Returns the title of the thread in lists. An empty one stands for none."""
    shown = (title or "").strip().encode()[:_TITLE_BYTES].decode(errors="ignore").strip()
    return "" if shown == _UNTITLED else shown


def _new_id(item_type: StoreItemType) -> str:
    """Returns the prefix of the type and a UUIDv7."""
    return f"{_PREFIXES[item_type]}_{mint_id()}"


def _micros(at: datetime) -> int:
    """Returns the microseconds since 1970. A time without a zone is local, as ``datetime.now()`` returns it."""
    return (at.astimezone(timezone.utc) - _EPOCH) // timedelta(microseconds=1)


def _time(micros: int) -> datetime:
    """Returns a time as ChatKit writes it: local, without a zone."""
    return (_EPOCH + timedelta(microseconds=micros)).astimezone().replace(tzinfo=None)


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


def _overtaken(kind: str, id: str) -> Conflict:
    return Conflict(
        f"{kind} {id} was deleted and added by other writers during each of {_ATTEMPTS} attempts to save it"
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
