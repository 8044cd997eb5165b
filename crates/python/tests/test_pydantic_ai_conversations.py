"""The conversation store of Pydantic AI, next to its own one in memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai import Agent, DeferredToolRequests  # noqa: E402
from pydantic_ai.conversation import Conversation  # noqa: E402
from pydantic_ai.conversation_store import (  # noqa: E402
    ConversationConflict,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ToolCallPart, UserPromptPart  # noqa: E402
from pydantic_ai.models.function import FunctionModel  # noqa: E402
from pydantic_ai.models.test import TestModel  # noqa: E402

import throughline  # noqa: E402
from throughline.adapters.pydantic_ai import ThroughlineConversationStore  # noqa: E402


@pytest.fixture(params=["sqlite", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "chat.db") if request.param == "sqlite" else "memory:"


def turn(text: str) -> list[Any]:
    return [ModelRequest(parts=[UserPromptPart(text)]), ModelResponse(parts=[TextPart(f"{text}!")])]


def texts(conversation: Conversation | None) -> list[str] | None:
    return None if conversation is None else [str(message.parts[0].content) for message in conversation.messages]  # type: ignore[union-attr]


async def said(store: ConversationStore, id: str, text: str, scope: str | None = None) -> Conversation:
    """Adds a turn to a conversation, and creates it if there is none."""
    conversation = await store.load(id) or Conversation(conversation_id=id)
    conversation.messages += turn(text)
    await store.save(conversation, scope=scope)
    return conversation


def test_runs_of_an_agent_continue_a_stored_conversation(location: str) -> None:
    async def scenario() -> None:
        async with throughline.open(location) as opened:
            store = ThroughlineConversationStore(opened)
            agent = Agent(TestModel(custom_output_text="nine"))
            assert await store.load("c") is None
            result = await agent.run("Which train?", conversation=Conversation(conversation_id="c"))
            first = await store.save(result, scope="ann")
            assert [entry.parent_id for entry in first] == [None, first[0].id]
            loaded = await store.load("c")
            assert loaded is not None and loaded.messages == result.all_messages()
            assert loaded.usage.requests == 1
            result = await agent.run("And back?", conversation=loaded)
            second = await store.save(result)
            assert second[0].parent_id == first[1].id
            loaded = await ThroughlineConversationStore(opened).load("c", scope="ann")
            assert loaded is not None and loaded.messages == result.all_messages()
            assert loaded.usage.requests == 2
            assert await store.load("c", scope="bob") is None
            limited = await store.load("c", limit=3)
            assert limited is not None and limited.messages == loaded.messages[1:]
            [summary] = (await opened.threads(owner="ann")).threads
            assert (summary.thread, summary.messages, summary.preview) == ("c", 4, "And back?")

    asyncio.run(scenario())


def test_the_requests_of_a_paused_run_come_back(location: str) -> None:
    async def scenario() -> None:
        async with throughline.open(location) as opened:
            store = ThroughlineConversationStore(opened)
            call = ToolCallPart("pay", {"amount": 3}, tool_call_id="c1")
            agent = Agent(
                FunctionModel(lambda _m, _i: ModelResponse(parts=[call])), output_type=[str, DeferredToolRequests]
            )

            @agent.tool_plain(requires_approval=True)
            def pay(amount: int) -> str:
                return "paid"

            result = await agent.run("pay", conversation=Conversation(conversation_id="c"))
            assert isinstance(result.output, DeferredToolRequests)
            await store.save(result)
            loaded = await store.load("c")
            assert loaded is not None and loaded.deferred_tool_requests is not None
            assert [part.tool_call_id for part in loaded.deferred_tool_requests.approvals] == ["c1"]

    asyncio.run(scenario())


def test_of_saves_that_continue_the_same_revision_one_wins(location: str) -> None:
    async def scenario() -> None:
        async with throughline.open(location) as opened:
            store = ThroughlineConversationStore(opened)

            async def outcomes(*saves: Awaitable[Any]) -> int:
                results = await asyncio.gather(*saves, return_exceptions=True)
                lost = [result for result in results if isinstance(result, BaseException)]
                assert all(isinstance(result, ConversationConflict) for result in lost), lost
                return len(results) - len(lost)

            new = [Conversation(conversation_id="c", messages=turn(str(number))) for number in range(8)]
            assert await outcomes(*(store.save(conversation) for conversation in new)) == 1
            loaded = [await store.load("c") for _ in range(8)]
            for number, conversation in enumerate(loaded):
                assert conversation is not None
                conversation.messages += turn(str(number))
            assert await outcomes(*(ThroughlineConversationStore(opened).save(item) for item in loaded if item)) == 1
            # Saves without messages conflict too.
            loaded = [await store.load("c") for _ in range(8)]
            assert await outcomes(*(store.save(item) for item in loaded if item)) == 1
            # A message of another program is no conflict.
            conversation = await store.load("c")
            assert conversation is not None
            await opened.thread("c").add("user", "from elsewhere")
            conversation.messages += turn("last")
            await store.save(conversation)
            assert texts(await store.load("c")) == [*(texts(conversation) or [])]

    asyncio.run(scenario())


def test_an_entry_is_found_by_an_object_that_has_not_seen_it(location: str) -> None:
    async def scenario() -> None:
        async with throughline.open(location) as opened:
            for id in ("a", "b", "c"):
                await said(ThroughlineConversationStore(opened), id, id)
            entries = await ThroughlineConversationStore(opened).load_entries("b")
            assert entries is not None
            other = ThroughlineConversationStore(opened)
            assert await other.read_entry(entries[1].id) == entries[1]
            assert await ThroughlineConversationStore(opened).read_history(entries[1].id) == entries
            with pytest.raises(LookupError, match="is in no conversation of this store"):
                await other.read_entry("nowhere")

    asyncio.run(scenario())


def test_the_deletion_of_a_conversation_leaves_its_forks_and_none_of_its_messages(location: str) -> None:
    async def scenario() -> None:
        async with throughline.open(location) as opened:
            store = ThroughlineConversationStore(opened)
            await said(store, "a", "secret")
            fork = await store.fork("a", new_conversation_id="b")
            await said(store, "b", "more")
            await store.delete("a")
            assert texts(fork) == ["secret", "secret!"]
            assert texts(await store.load("b")) == ["secret", "secret!", "more", "more!"]
            assert (await opened.thread("a").page(9)).messages == []
            assert await store.load("a") is None
            assert [record.conversation_id for record in await store.list_conversations()] == ["b"]
            await said(store, "a", "again")
            assert texts(await store.load("a")) == ["again", "again!"]

    asyncio.run(scenario())


@pytest.mark.parametrize("seed", range(6))
def test_it_does_what_the_store_of_pydantic_ai_does(location: str, seed: int) -> None:
    """Runs the same random calls on both stores, and compares every answer."""
    choose = random.Random(seed)

    async def both(stores: list[ConversationStore], call: Any) -> list[Any]:
        answers: list[Any] = []
        for store in stores:
            try:
                answers.append(await call(store))
            except Exception as error:
                answers.append(type(error))
        return answers

    async def scenario() -> None:
        async with throughline.open(location) as opened:
            stores: list[ConversationStore] = [InMemoryConversationStore(), ThroughlineConversationStore(opened)]
            ids = ["a", "b", "c", "d"]
            for step in range(60):
                id, other = choose.choice(ids), choose.choice(ids)
                scope = choose.choice([None, None, "ann", "bob"])
                at, kind = choose.randrange(4), choose.randrange(8)

                async def call(store: ConversationStore) -> Any:
                    revision = (await store.load(id) or Conversation()).revision
                    if kind < 3:
                        await said(store, id, f"{step}", scope)
                        return None
                    if kind == 3:  # The history is rewritten from its first turn on.
                        conversation = Conversation(conversation_id=id, messages=turn(f"{step}"), revision=revision)
                        await store.save(conversation, scope=scope)
                        return None
                    if kind == 4:
                        return texts(await store.branch(id, at=at, expected_revision=revision, scope=scope))
                    if kind == 5:
                        return texts(await store.fork(id, at=at, new_conversation_id=other, source_scope=scope))
                    if kind == 6:
                        record = await store.read_record(id)
                        if record is None or not record.branches:
                            return None
                        tip = record.branches[at % len(record.branches)]
                        return texts(await store.branch(id, from_entry=tip, expected_revision=revision))
                    await store.delete(id, scope=scope)
                    return None

                expected, answer = await both(stores, call)
                assert answer == expected, (step, kind)
                for name in ids:
                    for limit in (None, 3):
                        expected, answer = [texts(await store.load(name, limit=limit)) for store in stores]
                        assert answer == expected, (step, kind, name, limit)
                facts = [
                    [
                        (record.conversation_id, record.scope, record.forked_from, len(record.branches))
                        for record in await store.list_conversations()
                    ]
                    for store in stores
                ]
                assert facts[1] == facts[0], (step, kind)

    asyncio.run(scenario())
