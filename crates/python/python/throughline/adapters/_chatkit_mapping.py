"""How the ChatKit store keeps threads and items: the JSON of its messages, and what it reads back."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    Attachment,
    HiddenContextItem,
    InferenceOptions,
    ThreadItem,
    ThreadMetadata,
    UserMessageContent,
    UserMessageItem,
)
from pydantic import TypeAdapter

#: The member of the metadata of threads and messages with the fields that Throughline has no field for.
FIELDS = "chatkit"
#: The hidden thread of a tenant that holds its attachments, each as one message with the id of the attachment.
ATTACHMENTS = "chatkit.attachments"

#: The longest title of a thread in bytes. A longer one stays whole in the metadata.
_TITLE_BYTES = 4096
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
#: The title that Throughline shows for a thread without one.
_UNTITLED = "Untitled"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_ITEM: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)
_USER_CONTENT: TypeAdapter[list[UserMessageContent]] = TypeAdapter(list[UserMessageContent])
_ASSISTANT_CONTENT: TypeAdapter[list[AssistantMessageContent]] = TypeAdapter(list[AssistantMessageContent])
ATTACHMENT: TypeAdapter[Attachment] = TypeAdapter(Attachment)


class NewMessage:
    """A message to write, with its content, metadata and attachments as JSON."""

    def __init__(
        self, thread: str, id: str, role: str, content: str, metadata: str, attachments: str, created: int | None
    ) -> None:
        self.thread, self.id = thread, id
        self._at = f'"thread":{quote(thread)},"id":{quote(id)}'
        self._role, self._content, self._metadata = role, content, metadata
        self._attachments = attachments
        self._created = "" if created is None else f',"createdAt":{created}'

    @classmethod
    def of_item(cls, thread: str, item: ThreadItem, asked: str) -> NewMessage:
        """Returns the message of an item, for the thread that ChatKit has under the id ``asked``."""
        # ChatKit lets an item name another thread than the one it is in.
        known = {"id"} if item.thread_id != asked else {"id", "thread_id"}
        attachments = "[]"
        if isinstance(item, UserMessageItem):
            fields = item.model_dump_json(exclude=known | {"content"})
            content = _USER_CONTENT.dump_json(item.content).decode()
            attachments = quote([attachment.id for attachment in item.attachments])
        elif isinstance(item, AssistantMessageItem):
            fields = item.model_dump_json(exclude=known | {"content"})
            content = _ASSISTANT_CONTENT.dump_json(item.content).decode()
        else:
            fields = item.model_dump_json(include={"thread_id", "type", "created_at"} - known)
            content = f"[{item.model_dump_json(exclude={'id', 'thread_id', 'created_at'})}]"
        role = _ROLES.get(item.type, "assistant")
        return cls(thread, item.id, role, content, f'{{"{FIELDS}":{fields}}}', attachments, micros(item.created_at))

    @classmethod
    def of_attachment(cls, attachment: Attachment) -> NewMessage:
        content = f"[{attachment.model_dump_json()}]"
        return cls(ATTACHMENTS, attachment.id, "user", content, "{}", quote([attachment.id]), None)

    def add(self) -> str:
        """Returns the addition at the end of the thread."""
        return (
            f'{{"add":{{{self._at},"role":"{self._role}","content":{self._content},"metadata":{self._metadata},'
            f'"attachments":{self._attachments}{self._created}}}}}'
        )

    def replace(self) -> str:
        """Returns the replacement of the message that the thread has."""
        content = f'{{"updateContent":{{{self._at},"change":{{"replace":{self._content}}},"mode":"edit"}}}}'
        facts = f'{{"update":{{{self._at},"metadata":{self._metadata},"attachments":{self._attachments}}}}}'
        return f'{{"batch":{{"items":[{content},{facts}]}}}}'


def thread_of(summary: dict[str, Any]) -> ThreadMetadata:
    fields: dict[str, Any] = summary.get("metadata", {}).get(FIELDS) or {}
    title = fields.get("title")
    if summary["title"] != (shown_title(title) or _UNTITLED):
        title = summary["title"]  # Another program has renamed the thread since.
    created = fields.get("created_at") or _time(summary["createdAt"])
    return ThreadMetadata.model_validate({"id": summary["thread"], **fields, "title": title, "created_at": created})


def item_of(message: dict[str, Any], thread: str) -> ThreadItem:
    fields = message["metadata"].get(FIELDS)
    content = message["content"]
    identity = {"id": message["id"], "thread_id": thread}
    if fields is None:
        return _foreign_item(message, identity)
    if fields["type"] in _WITH_BLOCKS:
        return _ITEM.validate_python({**identity, **fields, "content": content})
    return _ITEM.validate_python({**identity, **content[0], **fields})


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


def shown_title(title: str | None) -> str:
    """Returns the title of the thread in lists. An empty one stands for none."""
    shown = (title or "").strip().encode()[:_TITLE_BYTES].decode(errors="ignore").strip()
    return "" if shown == _UNTITLED else shown


def micros(at: datetime) -> int:
    """Returns the microseconds since 1970. A time without a zone is local, as ``datetime.now()`` returns it."""
    return (at.astimezone(timezone.utc) - _EPOCH) // timedelta(microseconds=1)


def _time(micros: int) -> datetime:
    """Returns a time as ChatKit writes it: local, without a zone."""
    return (_EPOCH + timedelta(microseconds=micros)).astimezone().replace(tzinfo=None)


def quote(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
