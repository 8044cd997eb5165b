"""A ``ConversationStore`` of Pydantic AI over Throughline: :class:`ThroughlineConversationStore`."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)

from .. import Store, errors
from ._pydantic_ai_rows import FIELDS, JSON, Row, dump, fields_of, load

_RECORD: TypeAdapter[ConversationRecord] = TypeAdapter(ConversationRecord)
#: The member of the metadata of a thread with the record of its conversation.
_CONVERSATION = "pydantic_ai.conversation"
#: The member of the metadata of a message with the entry before it.
_PARENT = "parent_id"
#: The most messages of one read, as the store allows them.
_READ_LIMIT = 1000
#: How many entries an object remembers the conversation of.
_ENTRIES = 100_000


class ThroughlineConversationStore(ConversationStore):
    """A ``ConversationStore`` of Pydantic AI: a conversation is a thread, and an entry is a message.

    :param store: The store, for the tenant of the conversations.

    A save is one transaction with the check of the revision. The scope of a conversation is the owner of its thread. A
    fork copies the history that it begins with into its own thread, so that the deletion of a conversation deletes all of
    its messages. A deleted conversation leaves an empty, archived thread, under whose id it can be saved again.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        # The conversation of each entry that this object has read or written.
        self._conversations: OrderedDict[str, str] = OrderedDict()

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        summary = await self._ask("thread", {"thread": conversation_id})
        return None if summary is None else self._record_of(summary)

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> Sequence[ConversationRecord]:
        records: list[ConversationRecord] = []
        wanted: dict[str, Any] = {"archived": False, "unlisted": True, "limit": _READ_LIMIT}
        if scope is not None:
            wanted["owner"] = scope
        has_more = limit is None or limit > 0
        while has_more and (limit is None or len(records) < limit):
            answer = await self._ask("threads", wanted)
            records += [record for summary in answer["threads"] if (record := self._record_of(summary)) is not None]
            wanted["after"] = answer.get("next")
            has_more = wanted["after"] is not None
        # Each save writes a message, so that the threads are in the order of the saves.
        records.sort(key=lambda record: record.updated_at, reverse=True)
        return records[:limit]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        conversation = record.conversation_id
        conflict = ConversationConflict(conversation)
        copied = await self._copied(record, new_entries)
        while True:
            summary = await self._ask("thread", {"thread": conversation})
            stored = None if summary is None else self._record_of(summary)
            if (None if stored is None else stored.revision) != expected_revision:
                raise conflict
            try:
                await self._write(record, [*copied, *new_entries], summary)
            except (errors.AlreadyExists, errors.NotFound):
                raise conflict from None
            except errors.Gone:
                if summary is None:
                    raise  # Another program has deleted the thread itself, for good.
                raise conflict from None
            except errors.Stale:
                continue  # Something was written into the thread since: look at its revision again.
            self._remember(conversation, [*copied, *new_entries])
            return

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        while True:
            summary = await self._ask("thread", {"thread": conversation_id})
            record = None if summary is None else self._record_of(summary)
            if record is None or record.revision != expected_revision:
                raise ConversationConflict(conversation_id)
            operations: list[dict[str, Any]] = [
                {"thread": {"clear": {"thread": conversation_id}}},
                {"thread": {"rename": {"thread": conversation_id, "title": ""}}},
                {"thread": {"label": {"thread": conversation_id, "owner": None, "metadata": {_CONVERSATION: None}}}},
                {"thread": {"archive": {"thread": conversation_id, "archived": True}}},
            ]
            try:
                await self._batch([JSON.dump_json(operation).decode() for operation in operations], summary["lastSeq"])
            except errors.Stale:
                continue
            return

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        thread, message = await self._found(entry_id)
        return self._entries(thread, [message])[0]

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        if head_id is None or limit == 0:
            return []
        thread, head = await self._found(head_id)
        found: dict[str, dict[str, Any]] = {head_id: head}
        history: list[dict[str, Any]] = []
        start: Any = "end"
        entry: str | None = head_id
        while entry is not None and (limit is None or len(history) < limit):
            while entry not in found:
                if start is None:
                    raise LookupError(f"entry {entry} is not in conversation {thread}")
                most = _READ_LIMIT if limit is None else min(limit - len(history), _READ_LIMIT)
                page = await self._ask("page", {"thread": thread, "from": start, "limit": most, "visibility": "final"})
                found.update((message["id"], message) for message in page["messages"])
                start = {"before": page["messages"][0]["seq"]} if page["hasMore"] else None
            history.append(found[entry])
            entry = found[entry]["metadata"].get(_PARENT)
        return self._entries(thread, history[::-1])

    async def _copied(
        self, record: ConversationRecord, new_entries: Sequence[ConversationEntry]
    ) -> list[ConversationEntry]:
        """Returns the entries of another conversation that the history of a fork begins with."""
        first = new_entries[0].parent_id if new_entries else record.head_id
        if first is None or await self._ask("get", {"thread": record.conversation_id, "id": first}) is not None:
            return []
        try:
            return await self.read_history(first)
        except LookupError:
            # A deletion has released it since.
            raise ConversationConflict(record.conversation_id) from None

    async def _write(
        self, record: ConversationRecord, entries: list[ConversationEntry], summary: dict[str, Any] | None
    ) -> None:
        thread = record.conversation_id
        metadata = {_CONVERSATION: _RECORD.dump_python(record, mode="json")}
        messages = dump([entry.message for entry in entries])
        added = [
            Row(record.conversation_id, entry.id, fields, {_PARENT: entry.parent_id} if entry.parent_id else {}).add()
            for entry, fields in zip(entries, messages)
        ]
        if not added:
            # A transaction without a message would not be noticed by another one that has read the thread before.
            at = {"thread": thread, "id": f"save-{record.revision}"}
            added = [
                JSON.dump_json({"add": {**at, "role": "system", "content": []}}).decode(),
                JSON.dump_json({"delete": at}).decode(),
            ]
        if summary is None:
            create = {"thread": thread, "metadata": metadata}
            if record.scope is not None:
                create["owner"] = record.scope
            await self._batch([JSON.dump_json({"thread": {"create": create}}).decode(), *added], None)
            return
        label = {"thread": thread, "owner": record.scope, "metadata": metadata}
        operations: list[dict[str, Any]] = [{"thread": {"label": label}}]
        if summary["archived"] and self._record_of(summary) is None:
            operations.append({"thread": {"archive": {"thread": thread, "archived": False}}})
        await self._batch(
            [*(JSON.dump_json(operation).decode() for operation in operations), *added], summary["lastSeq"]
        )

    async def _found(self, entry_id: str) -> tuple[str, dict[str, Any]]:
        """Returns an entry and its conversation. One that this object has not seen is looked for in every thread."""
        known = self._conversations.get(entry_id)
        if known is not None and (message := await self._ask("get", {"thread": known, "id": entry_id})) is not None:
            return known, message
        wanted: dict[str, Any] = {"unlisted": True, "limit": _READ_LIMIT}
        while True:
            answer = await self._ask("threads", wanted)
            for summary in answer["threads"]:
                message = await self._ask("get", {"thread": summary["thread"], "id": entry_id})
                if message is not None and FIELDS in message["metadata"]:
                    return summary["thread"], message
            wanted["after"] = answer.get("next")
            if wanted["after"] is None:
                raise LookupError(f"entry {entry_id} is in no conversation of this store")

    def _remember(self, conversation: str, entries: Sequence[ConversationEntry]) -> None:
        for entry in entries:
            self._conversations[entry.id] = conversation
            self._conversations.move_to_end(entry.id)
        while len(self._conversations) > _ENTRIES:
            self._conversations.popitem(last=False)

    def _entries(self, thread: str, messages: list[dict[str, Any]]) -> list[ConversationEntry]:
        dumped = [fields for message in messages if (fields := fields_of(message)) is not None]
        entries = [
            ConversationEntry(id=message["id"], parent_id=message["metadata"].get(_PARENT), message=loaded)
            for message, loaded in zip(messages, load(dumped))
        ]
        self._remember(thread, list(entries))
        return entries

    def _record_of(self, summary: dict[str, Any]) -> ConversationRecord | None:
        stored = summary.get("metadata", {}).get(_CONVERSATION)
        if stored is None:
            return None
        record = _RECORD.validate_json(JSON.dump_json(stored))
        for entry in (record.head_id, *record.branches):
            if entry is not None:
                self._conversations[entry] = record.conversation_id
        return record

    async def _ask(self, read: str, args: dict[str, Any]) -> Any:
        answer = json.loads(await self.store.run(JSON.dump_json({"read": {read: args}})))
        return answer["read"].get(read)

    async def _batch(self, operations: list[str], after: int | None) -> None:
        required = "" if after is None else f',"after":{after}'
        await self.store.run(f'{{"batch":{{"items":[{",".join(operations)}]{required}}}}}')
