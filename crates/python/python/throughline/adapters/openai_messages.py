"""The plain list of messages of the OpenAI clients, in a thread of a store.

::

    history = MessageHistory(store, "telegram:42")
    await history.append({"role": "user", "content": "hello"})
    messages = await history.load()
    reply = await client.chat.completions.create(model="…", messages=messages)
    await history.append(reply.choices[0].message.model_dump(exclude_none=True))

A message is any JSON object: one of the Chat Completions API, or an item of the Responses API. The store returns each object with its
members in their order. The mapping is that of the OpenAI Conversations API over HTTP, so that both show the same conversation:

| object | message |
|---|---|
| with the type ``message`` or no type, a role of the API, and text or a list as its content | the content is that of the object; its other members are in the metadata under ``openai`` |
| any other object | one block, which is the object; the metadata has its type under ``openai`` |

A text as the content is one block, which is the JSON string. Search and redaction therefore find the text.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from .. import errors
from .._throughline import mint_id

if TYPE_CHECKING:
    from .. import Page, Store
    from ..sync import Store as BlockingStore

T = TypeVar("T")

Json = dict[str, Any]
"""A message of the API: a JSON object."""

MEMBERS = "openai"
"""The name of the metadata with the members of a message."""

_ROLES = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
    "developer": "system",
    "critic": "assistant",
    "discriminator": "assistant",
    "unknown": "user",
}

# The value of the member `content` in the metadata: where the content of the message is.
_TEXT, _BLOCKS, _ITEM = "text", "blocks", "item"

# A message of another writer. An object of this module can be None.
_OTHER = object()

# The most messages of one page of a store.
_PAGE = 1000

# The most deletions of one batch.
_DELETIONS = 500


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_encode_ascii = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def dumps(value: object) -> str:
    """Encodes a value as compact JSON. It keeps text as UTF-8, unless the text has a lone surrogate.

    Raises ``TypeError`` if the value does not serialize, and ``ValueError`` for NaN and infinities, which JSON does not have.
    """
    text = _encode(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return _encode_ascii(value)
    return text


def _role_of(role: object, kind: object) -> str:
    if isinstance(role, str) and role in _ROLES:
        return _ROLES[role]
    if kind == "mcp_approval_response":
        return "user"
    return "tool" if isinstance(kind, str) and kind.endswith("_output") else "assistant"


def encode(item: object) -> tuple[str, str, str]:
    """Returns the role, the content and the metadata of the message for an object of the API, the last two as JSON text."""
    if isinstance(item, Mapping):
        role, kind = item.get("role"), item.get("type", "message")
        if kind == "message" and isinstance(role, str) and role in _ROLES:
            content = item.get("content")
            if isinstance(content, str):
                form, blocks = _TEXT, f"[{dumps(content)}]"
            elif isinstance(content, list):
                form, blocks = _BLOCKS, dumps(content)
            else:
                form, blocks = _ITEM, ""
            if blocks:
                # The member keeps its position among the others.
                return _ROLES[role], blocks, f'{{"{MEMBERS}":{dumps({**item, "content": form})}}}'
        facts = {"type": kind, "content": _ITEM} if isinstance(kind, str) else {"content": _ITEM}
        return _role_of(role, kind), f"[{dumps(item)}]", f'{{"{MEMBERS}":{dumps(facts)}}}'
    return "assistant", f"[{dumps(item)}]", f'{{"{MEMBERS}":{{"content":"{_ITEM}"}}}}'


def decode(message: Mapping[str, Any]) -> Any:
    """Returns the object of the API for a message in the wire format."""
    stored, content = message["metadata"].get(MEMBERS), message["content"]
    item = _own(content, stored)
    return _of_other_writer(message["id"], message["role"], content, stored) if item is _OTHER else item


def decode_page(page: Page) -> list[Any]:
    """Returns the objects of the API for the messages of a page."""
    items = []
    for at, (content, stored) in enumerate(page.rows(MEMBERS, text=("content", _TEXT))):
        # The common message: it has its text already.
        if content is None:
            items.append(stored)
            continue
        item = _own(content, stored)
        if item is _OTHER:
            message = page.messages[at]
            item = _of_other_writer(message.id, message.role, content, stored)
        items.append(item)
    return items


def _own(content: list[Any], stored: Any) -> Any:
    """Returns the object that this module has written, or the HTTP interface as one block. ``_OTHER`` for every other message."""
    if stored.__class__ is dict:
        form = stored.get("content")
        if form == _TEXT and len(content) == 1 and isinstance(content[0], str):
            stored["content"] = content[0]
            return stored
        if form == _BLOCKS:
            stored["content"] = content
            return stored
        if len(content) == 1 and (form == _ITEM or _is_item(content[0], stored.get("type"))):
            return content[0]
    return _OTHER


def _is_item(block: object, kind: object) -> bool:
    """Whether a block is an item that the HTTP interface has stored."""
    return kind not in (None, "message") and isinstance(block, dict) and block.get("type") == kind


def _of_other_writer(id: str, role: str, content: list[Any], stored: Any) -> Json:
    """Returns a message that the host or the HTTP interface has written, as an item of the type ``message``."""
    members: Json = stored if isinstance(stored, dict) else {}
    of_api = members.get("role")
    if isinstance(of_api, str) and _ROLES.get(of_api) == role:
        role = of_api
    item: Json = {"id": id, "type": "message", "role": role, "content": []}
    item["content"] = [_api_block(block, role == "assistant") for block in content]
    item.update((name, value) for name, value in members.items() if name not in item)
    return item


def _api_block(block: object, is_assistant: bool) -> object:
    """Returns a text block of a host as one of the API. Every other block stays as it is."""
    members: Json
    if isinstance(block, str):
        members = {"text": block}
    elif isinstance(block, dict) and block.get("type") == "text":
        members = {name: value for name, value in block.items() if name != "type"}
    else:
        return block
    members = {"type": "output_text" if is_assistant else "input_text", **members}
    if is_assistant:
        members.setdefault("annotations", [])
    return members


def addition(thread: str, role: str, content: str, metadata: str) -> str:
    """Returns the operation that adds an encoded object to a thread, as JSON text. ``thread`` is the id as JSON text."""
    return (
        f'{{"add":{{"thread":{thread},"id":"{mint_id()}","minted":true,"role":"{role}",'
        f'"content":{content},"metadata":{metadata}}}}}'
    )


def batch(operations: Iterable[str]) -> str:
    """Returns the batch of these operations, as JSON text."""
    return f'{{"batch":{{"items":[{",".join(operations)}]}}}}'


Steps = Generator[str, Any, T]
"""The calls of one method: it yields the arguments of each, and receives the answer or the error."""


def _load(thread: str, limit: int | None) -> Steps[list[Json]]:
    """The messages of a thread in the wire format, oldest first: the last ``limit``, or all."""
    pages: list[list[Json]] = []
    before, left = '"end"', limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        answer = yield (
            f'{{"read":{{"page":{{"thread":{thread},"from":{before},"limit":{size},"visibility":"final"}}}}}}'
        )
        page = answer["read"]["page"]
        messages: list[Json] = page["messages"]
        pages.append(messages)
        seen = [*messages, *page.get("damaged", [])]
        if not page["hasMore"] or not seen:
            break
        if left is not None:
            left -= len(seen)
        before = f'{{"before":{min(one["seq"] for one in seen if one.get("seq") is not None)}}}'
    return [message for page in reversed(pages) for message in page]


def _append(thread: str, messages: Iterable[object]) -> Steps[None]:
    additions = [addition(thread, *encode(message)) for message in messages]
    if additions:
        yield additions[0] if len(additions) == 1 else batch(additions)


def _replace(thread: str, messages: Iterable[object]) -> Steps[None]:
    additions = [addition(thread, *encode(message)) for message in messages]
    clear = f'{{"thread":{{"clear":{{"thread":{thread}}}}}}}'
    try:
        yield batch([clear, *additions])
    except errors.NotFound:
        if additions:
            yield batch(additions)


def _trim(thread: str, keep: int) -> Steps[int]:
    if keep < 0:
        raise ValueError(f"keep is {keep}; it must not be negative")
    messages = yield from _load(thread, None)
    first = next((at for at, one in enumerate(messages) if one["role"] != "system"), len(messages))
    cut = max(first, len(messages) - keep)
    if first < cut < len(messages):
        turns = [at for at in range(first, len(messages)) if messages[at]["role"] == "user"]
        cut = next((at for at in turns if at >= cut), turns[-1] if turns else cut)
    gone = [f'{{"delete":{{"thread":{thread},"id":{dumps(message["id"])}}}}}' for message in messages[first:cut]]
    for at in range(0, len(gone), _DELETIONS):
        yield batch(gone[at : at + _DELETIONS])
    return len(gone)


class _History:
    def __init__(self, thread: str) -> None:
        self.thread = thread
        """The id of the thread."""
        self._thread = dumps(thread)


class MessageHistory(_History):
    """The list of messages of one thread, for asyncio.

    ``store`` is an open store, or one of its tenants; the history never closes it. ``thread`` is the id of the thread, which the first
    message creates.
    """

    def __init__(self, store: Store, thread: str) -> None:
        super().__init__(thread)
        self._store = store

    async def _run(self, steps: Steps[T]) -> T:
        try:
            args = next(steps)
            while True:
                try:
                    answer = await self._store.run(args)
                except errors.ThroughlineError as error:
                    args = steps.throw(error)
                else:
                    args = steps.send(json.loads(answer))
        except StopIteration as end:
            value: T = end.value
            return value

    async def load(self, limit: int | None = None) -> list[Json]:
        """Returns the messages, oldest first: all of them, or the last ``limit``. A message that is being written is left out."""
        return [decode(message) for message in await self._run(_load(self._thread, limit))]

    async def append(self, *messages: Mapping[str, Any]) -> None:
        """Adds messages in one transaction: all of them, or none."""
        await self._run(_append(self._thread, messages))

    async def replace(self, messages: Iterable[Mapping[str, Any]]) -> None:
        """Replaces all messages by these in one transaction. A reader sees the old list or the new one."""
        await self._run(_replace(self._thread, messages))

    async def trim(self, keep: int) -> int:
        """Deletes the oldest messages, so that about ``keep`` remain, and returns how many it deleted.

        The messages of the role ``system`` at the start stay and do not count. The rest begins with a message of the user, so that no
        tool result is left without its call: it is shorter than ``keep``, unless the last turn is longer. With 0, no turn stays.
        Raises ``ValueError`` if ``keep`` is negative.
        """
        return await self._run(_trim(self._thread, keep))


class BlockingMessageHistory(_History):
    """:class:`MessageHistory` for a store of :mod:`throughline.sync`."""

    def __init__(self, store: BlockingStore, thread: str) -> None:
        super().__init__(thread)
        self._store = store

    def _run(self, steps: Steps[T]) -> T:
        try:
            args = next(steps)
            while True:
                try:
                    answer = self._store.run(args)
                except errors.ThroughlineError as error:
                    args = steps.throw(error)
                else:
                    args = steps.send(json.loads(answer))
        except StopIteration as end:
            value: T = end.value
            return value

    def load(self, limit: int | None = None) -> list[Json]:
        """Returns the messages, oldest first: all of them, or the last ``limit``. A message that is being written is left out."""
        return [decode(message) for message in self._run(_load(self._thread, limit))]

    def append(self, *messages: Mapping[str, Any]) -> None:
        """Adds messages in one transaction: all of them, or none."""
        self._run(_append(self._thread, messages))

    def replace(self, messages: Iterable[Mapping[str, Any]]) -> None:
        """Replaces all messages by these in one transaction. A reader sees the old list or the new one."""
        self._run(_replace(self._thread, messages))

    def trim(self, keep: int) -> int:
        """Deletes the oldest messages: see :meth:`MessageHistory.trim`."""
        return self._run(_trim(self._thread, keep))
