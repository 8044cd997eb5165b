"""The message history of Pydantic AI in a thread: loaded before a run, and appended to while it runs.

::

    from pydantic_ai import Agent
    from throughline.adapters.pydantic_ai import MessageHistory

    agent = Agent("openai:gpt-5")
    async with throughline.open("chat.db") as store:
        history = MessageHistory(store, "telegram:42")
        result = await history.run(agent, "Which train goes to Lisbon?")  # each step is durable before the next

| Pydantic AI | Throughline |
|---|---|
| a conversation | a thread |
| a ``ModelRequest`` or ``ModelResponse`` | a message; its id is the id of the run and a number |
| its parts | the blocks of the content |
| ``run_id``, ``conversation_id`` | metadata of the same names |
| its other fields | the metadata ``pydantic_ai`` |

A loaded message is equal to the one that was appended, and has the same JSON. ``docs/guide/python-pydantic-ai.md`` has
the whole mapping. The module needs the package ``pydantic-ai-slim``.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import Any, TypeVar

import throughline
from throughline import AlreadyExists, Corrupt

try:
    from pydantic_ai import Agent
    from pydantic_ai.messages import (
        AgentStreamEvent,
        ModelMessage,
        PartDeltaEvent,
        PartStartEvent,
        TextPart,
        TextPartDelta,
    )
    from pydantic_ai.result import AgentStream
    from pydantic_ai.run import AgentRunResult, AgentRunResultEvent
except ImportError as error:  # pragma: no cover - only without the peer
    raise ImportError("throughline.adapters.pydantic_ai needs Pydantic AI: pip install pydantic-ai-slim") from error

from ._pydantic_ai_conversations import ThroughlineConversationStore
from ._pydantic_ai_rows import JSON, Row, dump, fields_of, load

__all__ = ["MessageHistory", "ThroughlineConversationStore"]

Deps = TypeVar("Deps")
Output = TypeVar("Output")

#: The most messages of one read, as the store allows them.
_READ_LIMIT = 1000
#: How many runs a history remembers, to write only what is new of them.
_RUNS = 16


class MessageHistory:
    """The messages of one conversation, in one thread of a store.

    :param store: The store, for the tenant of the conversation: see ``throughline.Store.for_tenant``.
    :param thread: The id of the thread. The first append creates it.

    Runs of several tasks and processes can use one thread. The store orders their messages by commit, so let one run
    at a time continue a conversation.
    """

    def __init__(self, store: throughline.Store, thread: str) -> None:
        self.store = store
        self.thread = thread
        # For each of the last runs, what the store has of it: a digest for each message.
        self._runs: dict[str, list[bytes]] = {}

    async def load(self, *, limit: int | None = None) -> list[ModelMessage]:
        """Returns the messages, oldest first, as ``message_history=`` takes them.

        Open and abandoned replies are left out. A message that another program has written becomes a request or a
        response with its text; one without text is left out.

        :param limit: Only the last ``limit`` messages, at least 1. The first of them can be the answer of a tool whose
            call is left out, which Pydantic AI repairs before it sends the history.
        :raises throughline.Corrupt: A message of the thread is damaged in the store.
        """
        if limit is not None and limit < 1:
            raise ValueError(f"the limit of a history is at least 1, not {limit}")
        onward = "after" if limit is None else "before"
        start: str | dict[str, int] = "start" if limit is None else "end"
        pages: list[list[dict[str, Any]]] = []
        found, has_more = 0, True
        while has_more and (limit is None or found < limit):
            most = _READ_LIMIT if limit is None else min(limit - found, _READ_LIMIT)
            wanted = {"thread": self.thread, "from": start, "limit": most, "visibility": "final"}
            page = (await self._run({"read": {"page": wanted}}))["read"]["page"]
            if damaged := page.get("damaged"):
                raise Corrupt(f"message {damaged[0].get('id')} of thread {self.thread} is damaged in the store")
            read, has_more = page["messages"], page["hasMore"]
            pages.append(read)
            found += len(read)
            if read:
                start = {onward: read[-1 if limit is None else 0]["seq"]}
        ordered = pages if limit is None else pages[::-1]
        loaded = [fields for page in ordered for message in page if (fields := fields_of(message)) is not None]
        return load(loaded)

    async def append(self, messages: Sequence[ModelMessage], *, run_id: str | None = None) -> int:
        """Appends the new messages of a run in one transaction, and returns how many were added.

        Pass all new messages of the run so far, as ``new_messages()`` returns them. Those that the thread has already
        stay; one that the run has changed since is replaced. So the same append again adds nothing, in any process.

        :param run_id: The run. By default the ``run_id`` of the last message. Messages of no run are appended each
            time.
        """
        if not messages:
            return 0
        run = run_id or messages[-1].run_id or str(uuid.uuid4())
        return await self._write(run, messages, 0)

    async def save(self, result: AgentRunResult[Any]) -> int:
        """Appends the new messages of a finished run, and returns how many were added."""
        return await self.append(result.new_messages(), run_id=result.run_id)

    async def run(
        self, agent: Agent[Deps, Output], user_prompt: Any = None, *, limit: int | None = None, **options: Any
    ) -> AgentRunResult[Output]:
        """Runs an agent on this history, and appends each message as soon as there is one.

        A process that ends in the middle loses only the step that it was in: the next run continues after it. Without a
        prompt the run answers what the history ends with.

        :param limit: Only the last ``limit`` messages are the history of the run.
        :param options: Further arguments of ``Agent.iter``.
        """
        history = await self.load(limit=limit)
        async with agent.iter(user_prompt, message_history=history, **options) as run:
            written = 0
            async for _ in run:
                messages = run.new_messages()
                if len(messages) > written:
                    # The run can still have changed the last one.
                    await self._write(run.run_id, messages, max(written - 1, 0))
                    written = len(messages)
        result: AgentRunResult[Output] | None = run.result
        assert result is not None
        await self.save(result)
        return result

    async def stream(
        self, agent: Agent[Deps, Output], user_prompt: Any = None, *, limit: int | None = None, **options: Any
    ) -> AsyncGenerator[AgentStreamEvent | AgentRunResultEvent[Output], None]:
        """Runs an agent on this history, and iterates over its events; the last one is an ``AgentRunResultEvent``.

        Each reply is a draft: readers of the thread see its text grow, and it becomes final after its last event. If
        the iteration ends early, close the iterator (``contextlib.aclosing``); the reply is then abandoned, and its
        text stays.
        """
        history = await self.load(limit=limit)
        thread = self.store.thread(self.thread)
        async with agent.iter(user_prompt, message_history=history, **options) as run:
            async for node in run:
                if Agent.is_model_request_node(node):
                    reply: AgentStream[Any, Any]
                    async with node.stream(run.ctx) as reply:
                        before = run.new_messages()
                        await self._write(run.run_id, before, 0)
                        ids = {"run_id": run.run_id, "conversation_id": run.conversation_id}
                        row_id = f"{run.run_id}.{len(before)}"
                        async with thread.draft("assistant", id=row_id, metadata=ids) as draft:
                            async for event in reply:
                                if text := _text_of(event):
                                    await draft.append(text)
                                yield event
                            row = Row(self.thread, row_id, dump([reply.response])[0])
                            await draft.replace(row.content)
                            await thread.update(row_id, row.metadata)
                        self._runs[run.run_id].append(row.digest)
                elif Agent.is_call_tools_node(node):
                    async with node.stream(run.ctx) as events:
                        async for event in events:
                            yield event
        assert run.result is not None
        await self.save(run.result)
        yield AgentRunResultEvent(run.result)

    async def _write(self, run: str, messages: Sequence[ModelMessage], first: int) -> int:
        """Writes what the store does not have of the messages from the index ``first`` on."""
        rows = [Row(self.thread, f"{run}.{first + at}", fields) for at, fields in enumerate(dump(messages[first:]))]
        stored = self._runs.get(run)
        if stored is None or len(stored) < first:
            stored = []
            if first:
                return await self._write(run, messages, 0)
        try:
            added = await self._put(run, rows, first, stored)
        except AlreadyExists:
            # Another object or process has written a part of this run: compare with what the store has.
            rows = [Row(self.thread, f"{run}.{at}", fields) for at, fields in enumerate(dump(messages))]
            added = await self._put(run, rows, 0, await self._stored(rows))
        return added

    async def _put(self, run: str, rows: list[Row], first: int, stored: list[bytes]) -> int:
        known = stored[first:]
        changed = [row for row, digest in zip(rows, known) if row.digest != digest]
        new = rows[len(known) :]
        if changed or new:
            items = [item for row in changed for item in row.replace()] + [row.add() for row in new]
            # The key is that of the content, so that the same call is the same write.
            key = hashlib.sha256("".join(items).encode()).hexdigest()
            answer = json.loads(await self.store.run(f'{{"batch":{{"items":[{",".join(items)}]}}}}'.encode(), key=key))
        self._runs.pop(run, None)
        self._runs[run] = stored[:first] + [row.digest for row in rows] + known[len(rows) :]
        while len(self._runs) > _RUNS:
            del self._runs[next(iter(self._runs))]
        return 0 if not new or answer["batch"]["deduplicated"] else len(new)

    async def _stored(self, rows: list[Row]) -> list[bytes]:
        """Returns the digests of the first of these rows, as far as the store has them."""
        digests: list[bytes] = []
        for row in rows:
            answer = await self._run({"read": {"get": {"thread": self.thread, "id": row.id}}})
            message = answer["read"]["get"]
            if message is None:
                break
            digests.append(row.digest if row.is_stored_as(message) else b"")
        return digests

    async def _run(self, args: dict[str, Any]) -> Any:
        return json.loads(await self.store.run(JSON.dump_json(args)))


def _text_of(event: Any) -> str:
    """Returns the text that an event adds to a reply."""
    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        return str(event.part.content)
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        return str(event.delta.content_delta)
    return ""
