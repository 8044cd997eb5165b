"""How a checkpoint and the writes of a task become the content and the metadata of a message.

A value keeps the bytes of LangGraph's serializer. The content has one block for each value::

    [{"type":"langgraph.checkpoint","serde":"msgpack","data":"…base64…"}]
    [{"type":"langgraph.write","idx":0,"channel":"messages","serde":"msgpack","data":"…"}, …]
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import WRITES_IDX_MAP, CheckpointMetadata, PendingWrite, writes_sort_key
from langgraph.checkpoint.serde.base import SerializerProtocol

from ... import Message
from ._names import message as message_id

#: The members of the metadata of a message. The id is there if the message has another one: see `names.message`.
ID = "langgraph.id"
METADATA = "langgraph.metadata"
#: The metadata of a checkpoint that is not JSON, as the serializer wrote it.
TYPED_METADATA = "langgraph.typedMetadata"
PARENT = "langgraph.parent"
#: The greatest id of a checkpoint before this one in the thread, if that is greater than its own.
TOP = "langgraph.top"
RUN = "run_id"
TASK = "langgraph.task"
PATH = "langgraph.path"

Typed = tuple[str, bytes]


def checkpoint_content(typed: Typed) -> bytes:
    """The content of the message of a checkpoint."""
    return b'[{"type":"langgraph.checkpoint",' + _typed(typed) + b"}]"


def checkpoint_metadata(
    checkpoint_id: str, parent: str | None, metadata: Mapping[str, Any], serde: SerializerProtocol
) -> dict[str, Any]:
    """The metadata of the message of a checkpoint. Tuples become lists, as in LangGraph's own savers."""
    fields: dict[str, Any] = {}
    if message_id(checkpoint_id) != checkpoint_id:
        fields[ID] = checkpoint_id
    if parent:
        fields[PARENT] = parent
    run = metadata.get(RUN)
    if isinstance(run, str):
        fields[RUN] = run
    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError):
        kind, data = serde.dumps_typed(metadata)
        fields[TYPED_METADATA] = [kind, binascii.b2a_base64(data, newline=False).decode()]
    else:
        fields[METADATA] = metadata
    return fields


def patch(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that replaces the metadata of a checkpoint by these fields. Its order among the others remains."""
    return {**dict.fromkeys((PARENT, RUN, METADATA, TYPED_METADATA)), **fields}


def writes_content(writes: Iterable[tuple[int, str, Typed]]) -> bytes:
    """The content of the message of the writes of a task: index, channel and value of each."""
    blocks = (
        b'{"type":"langgraph.write","idx":%d,"channel":%s,' % (idx, json.dumps(channel).encode()) + _typed(typed) + b"}"
        for idx, channel, typed in writes
    )
    return b"[" + b",".join(blocks) + b"]"


def writes_metadata(task_id: str, task_path: str) -> dict[str, str]:
    """The metadata of the message of the writes of a task."""
    return {TASK: task_id, PATH: task_path} if task_path else {TASK: task_id}


def indexed(writes: Sequence[tuple[str, Any]], serde: SerializerProtocol) -> list[tuple[int, str, Typed]]:
    """Serializes writes, with the index by which LangGraph identifies each one."""
    return [
        (WRITES_IDX_MAP.get(channel, idx), channel, serde.dumps_typed(value))
        for idx, (channel, value) in enumerate(writes)
    ]


class Stored(NamedTuple):
    """A checkpoint as the store has it. Its state is decoded only when it is asked for."""

    id: str
    seq: int
    parent: str | None
    top: str | None
    fields: Mapping[str, Any]
    message: Message

    @classmethod
    def of(cls, message: Message) -> Stored:
        fields = json.loads(message.metadata_json)
        return cls(fields.get(ID, message.id), message.seq, fields.get(PARENT), fields.get(TOP), fields, message)

    def state(self, serde: SerializerProtocol) -> Any:
        """The checkpoint itself."""
        block = json.loads(self.message.content_json)[0]
        return serde.loads_typed((block["serde"], binascii.a2b_base64(block["data"])))

    def metadata(self, serde: SerializerProtocol) -> CheckpointMetadata:
        """The metadata that LangGraph passed."""
        typed = self.fields.get(TYPED_METADATA)
        if typed is None:
            found: CheckpointMetadata = self.fields.get(METADATA, {})
            return found
        decoded: CheckpointMetadata = serde.loads_typed((typed[0], binascii.a2b_base64(typed[1])))
        return decoded


def pending_writes(
    messages: Iterable[Message], serde: SerializerProtocol, channels: frozenset[str] | None = None
) -> list[PendingWrite]:
    """The writes that the messages of a checkpoint amount to, in the order in which LangGraph applies them.

    The messages are in the order of their commits. The first of several writes with the same task and index counts, as
    in a table that ignores a repeated insert; of special writes, such as an interrupt, the last one counts.
    """
    kept: dict[tuple[str, int], tuple[str, dict[str, Any]]] = {}
    for message in messages:
        fields = json.loads(message.metadata_json)
        task, path = fields[TASK], fields.get(PATH, "")
        for block in json.loads(message.content_json):
            key = (task, block["idx"])
            if block["idx"] < 0 or key not in kept:
                kept[key] = (path, block)
    ordered = sorted(kept.items(), key=lambda entry: writes_sort_key(entry[1][0], *entry[0]))
    return [
        (task, block["channel"], serde.loads_typed((block["serde"], binascii.a2b_base64(block["data"]))))
        for (task, _), (_, block) in ordered
        if channels is None or block["channel"] in channels
    ]


def config_of(thread_id: Any, ns: str, checkpoint_id: str) -> RunnableConfig:
    """The config that addresses a checkpoint."""
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": checkpoint_id}}


def _typed(typed: Typed) -> bytes:
    kind, data = typed
    return b'"serde":%s,"data":"%s"' % (json.dumps(kind).encode(), binascii.b2a_base64(data, newline=False))
