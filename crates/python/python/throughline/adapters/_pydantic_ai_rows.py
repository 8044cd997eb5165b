"""How the adapter of Pydantic AI keeps the message of a model: its JSON as content and metadata, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter

#: The member of the metadata with the fields that Throughline has no field for.
FIELDS = "pydantic_ai"
#: The fields that are metadata of their own, so that messages can be found by them.
RUN_FIELDS = ("run_id", "conversation_id")
#: The parts whose text is the text of the block, which previews, searches and other programs read.
_TEXT_PARTS = ("system-prompt", "user-prompt", "text")
#: Writes JSON as Pydantic does: NaN and the infinities, which JSON does not have, are ``null``.
JSON: TypeAdapter[Any] = TypeAdapter(Any)

Role = Literal["user", "assistant", "system", "tool"]


class Row:
    """A message to write, with its content and metadata as JSON."""

    def __init__(self, thread: str, id: str, fields: dict[str, Any], further: dict[str, Any] | None = None) -> None:
        self.id = id
        self._at = f'"thread":{json.dumps(thread)},"id":{json.dumps(id)}'
        parts = fields.pop("parts")
        runs = {name: value for name in RUN_FIELDS if (value := fields.pop(name, None)) is not None}
        self._role = _role_of(fields["kind"], parts)
        self.content = JSON.dump_json([_block_of(part) for part in parts]).decode()
        self.metadata = JSON.dump_json({FIELDS: fields, **runs, **(further or {})}).decode()
        self.digest = hashlib.sha256(f"{self._role}{self.content}{self.metadata}".encode()).digest()

    def add(self) -> str:
        return f'{{"add":{{{self._at},"role":"{self._role}","content":{self.content},"metadata":{self.metadata}}}}}'

    def replace(self) -> list[str]:
        return [
            f'{{"updateContent":{{{self._at},"change":{{"replace":{self.content}}},"mode":"edit"}}}}',
            f'{{"update":{{{self._at},"metadata":{self.metadata}}}}}',
        ]

    def is_stored_as(self, message: dict[str, Any]) -> bool:
        metadata = json.loads(self.metadata)
        return message["content"] == json.loads(self.content) and all(
            message["metadata"].get(name) == value for name, value in metadata.items()
        )


def dump(messages: Sequence[ModelMessage]) -> list[dict[str, Any]]:
    dumped: list[dict[str, Any]] = ModelMessagesTypeAdapter.dump_python(list(messages), mode="json")
    return dumped


def _block_of(part: dict[str, Any]) -> dict[str, Any]:
    """Returns the block of a part: the part, with its text under the name that blocks have for it.

    Of a prompt with a list, such as a question and an image, this is the first text of the list.
    """
    content: Any = part.get("content")
    if part["part_kind"] not in _TEXT_PARTS:
        return part
    if isinstance(content, str):
        return {"type": "text", **{"text" if name == "content" else name: value for name, value in part.items()}}
    if not isinstance(content, list):
        return part
    texts = [at for at, item in enumerate(content) if isinstance(item, str)]
    if not texts:
        return part
    rest = content[: texts[0]] + content[texts[0] + 1 :]
    return {"type": "text", "text": content[texts[0]], "text_at": texts[0], **part, "content": rest}


def _part_of(block: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of a block."""
    if block["part_kind"] not in _TEXT_PARTS or "text" not in block:
        return block
    part = {name: value for name, value in block.items() if name not in ("type", "text", "text_at")}
    if "content" in part:
        at = block["text_at"]
        part["content"] = [*part["content"][:at], block["text"], *part["content"][at:]]
    else:
        part["content"] = block["text"]
    return part


def _role_of(kind: str, parts: list[dict[str, Any]]) -> Role:
    if kind == "response":
        return "assistant"
    kinds = {part["part_kind"] for part in parts}
    if "user-prompt" in kinds:
        return "user"
    if kinds & {"tool-return", "retry-prompt", "retry-feedback"}:
        return "tool"
    return "system" if kinds else "user"


def fields_of(message: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the JSON of the message of a model. ``None`` if another program has written it and it has no text."""
    metadata = message["metadata"]
    fields = metadata.get(FIELDS)
    if fields is not None:
        runs = {name: metadata[name] for name in RUN_FIELDS if name in metadata}
        return {"parts": [_part_of(block) for block in message["content"]], **fields, **runs}
    texts = [
        block if isinstance(block, str) else block.get("text")
        for block in message["content"]
        if isinstance(block, (str, dict))
    ]
    text = "\n\n".join(text for text in texts if isinstance(text, str))
    if not text or message["role"] == "tool":
        return None
    if message["role"] == "assistant":
        return {"kind": "response", "parts": [{"part_kind": "text", "content": text}]}
    part = "system-prompt" if message["role"] == "system" else "user-prompt"
    return {"kind": "request", "parts": [{"part_kind": part, "content": text}]}


def load(dumped: list[dict[str, Any]]) -> list[ModelMessage]:
    """Returns the messages with this JSON."""
    messages: list[ModelMessage] = ModelMessagesTypeAdapter.validate_json(JSON.dump_json(dumped))
    return messages
