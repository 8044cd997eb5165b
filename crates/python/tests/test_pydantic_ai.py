"""The message history of Pydantic AI: equal messages, appends that repeat, replies that stream, a process that ends."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai import Agent, AgentRunResultEvent  # noqa: E402
from pydantic_ai.messages import (  # noqa: E402
    BinaryContent,
    FilePart,
    ImageUrl,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    RetryPromptPart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel  # noqa: E402
from pydantic_ai.models.test import TestModel  # noqa: E402
from pydantic_ai.usage import RequestUsage  # noqa: E402

import throughline  # noqa: E402
from throughline.adapters.pydantic_ai import MessageHistory  # noqa: E402

NOW = datetime(2026, 5, 1, 12, 30, 15, 123456, tzinfo=timezone.utc)
EXAMPLE = Path(__file__).parents[1] / "examples" / "pydantic_ai_resume.py"


pytestmark = pytest.mark.filterwarnings("ignore:`RetryPromptPart` is deprecated")


@pytest.fixture(params=["sqlite", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "chat.db") if request.param == "sqlite" else "memory:"


def with_store(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs a test in a loop of its own with an open store."""

    @functools.wraps(test)
    def run(location: str) -> None:
        async def scenario() -> None:
            async with throughline.open(location) as store:
                await test(store)

        asyncio.run(scenario())

    del run.__wrapped__  # type: ignore[attr-defined]  # pytest reads the fixtures of this function
    return run


def a_run() -> list[ModelMessage]:
    """Messages with every field that JSON could change."""
    run: dict[str, Any] = {"run_id": "run-1", "conversation_id": "conversation-1"}
    return [
        ModelRequest(
            parts=[
                SystemPromptPart("be brief", timestamp=NOW),
                UserPromptPart("Which train? é\u0000🚂", timestamp=NOW),
            ],
            instructions="be nice",
            timestamp=NOW,
            metadata={"large": 2**70, "fraction": 1.5, "content": "c", "text": "t"},
            **run,
        ),
        ModelResponse(
            parts=[
                ThinkingPart("hm", signature="s"),
                TextPart("I look it up.", id="i", provider_name="p", provider_details={"text": "x"}),
                ToolCallPart("find", {"text": "Lisbon", "n": 12345678901234567890}, tool_call_id="c1"),
                ToolCallPart("find", '{"a": 1.10, "a": 2}', tool_call_id="c2"),
            ],
            usage=RequestUsage(input_tokens=3, output_tokens=5),
            model_name="m",
            timestamp=NOW,
            **run,
        ),
        ModelRequest(
            parts=[
                ToolReturnPart("find", {"text": "nine", "content": [None, True]}, tool_call_id="c1", timestamp=NOW),
                RetryPromptPart("again", tool_name="find", tool_call_id="c2", timestamp=NOW),
            ],
            timestamp=NOW,
            **run,
        ),
        ModelResponse(
            parts=[TextPart(""), FilePart(BinaryContent(b"\x00\xff\x80", media_type="image/png"))], timestamp=NOW, **run
        ),
        ModelRequest(
            parts=[
                UserPromptPart(
                    ["look", ImageUrl("https://example.com/a.png"), BinaryContent(b"\xfe", media_type="audio/wav")],
                    timestamp=NOW,
                )
            ],
            timestamp=NOW,
            **run,
        ),
    ]


def dumped(messages: list[ModelMessage]) -> bytes:
    return ModelMessagesTypeAdapter.dump_json(messages)


@with_store
async def test_messages_come_back_with_the_same_json(store: throughline.Store) -> None:
    history = MessageHistory(store, "t")
    assert await history.load() == []
    assert await history.append(a_run()) == 5
    loaded = await MessageHistory(store, "t").load()
    # A message that has been read from JSON once stays as it is.
    expected = ModelMessagesTypeAdapter.validate_json(dumped(a_run()))
    assert loaded == expected and dumped(loaded) == dumped(expected)


@with_store
async def test_the_text_the_authors_and_the_run_are_visible_to_other_programs(store: throughline.Store) -> None:
    await MessageHistory(store, "t").append(a_run())
    messages = (await store.thread("t").page(9)).messages
    assert [message.role for message in messages] == ["user", "assistant", "tool", "assistant", "user"]
    assert [message.id for message in messages] == [f"run-1.{number}" for number in range(5)]
    assert {message.metadata["run_id"] for message in messages} == {"run-1"}
    assert {message.metadata["conversation_id"] for message in messages} == {"conversation-1"}
    summary = await store.thread("t").summary()
    assert summary is not None and summary.preview == "look"
    assert [message.text for message in messages] == ["be brief Which train? é\0🚂", "I look it up.", "", "", "look"]


def test_a_search_finds_the_text_of_prompts_and_replies() -> None:
    async def scenario() -> None:
        async with throughline.open("memory:") as store:
            await MessageHistory(store, "t").append(a_run())
            assert {hit.id for hit in (await store.search("look")).hits} == {"run-1.1", "run-1.4"}

    asyncio.run(scenario())


@with_store
async def test_the_same_append_adds_nothing(store: throughline.Store) -> None:
    history = MessageHistory(store, "t")
    assert await history.append(a_run()) == 5
    assert await history.append(a_run()) == 0
    assert await MessageHistory(store, "t").append(a_run()) == 0
    assert await asyncio.gather(*(MessageHistory(store, "t").append(a_run()) for _ in range(16))) == [0] * 16
    assert dumped(await history.load()) == dumped(ModelMessagesTypeAdapter.validate_json(dumped(a_run())))


@with_store
async def test_an_append_adds_what_the_run_has_more(store: throughline.Store) -> None:
    history = MessageHistory(store, "t")
    for length in range(1, 6):
        assert await history.append(a_run()[:length]) == 1
    # Another process knows nothing of the appends before.
    await MessageHistory(store, "u").append(a_run()[:2])
    assert await MessageHistory(store, "u").append(a_run()) == 3
    assert await MessageHistory(store, "u").append(a_run()[:3]) == 0
    assert dumped(await history.load()) == dumped(await MessageHistory(store, "u").load())


@pytest.mark.parametrize("same_object", [True, False])
def test_a_message_that_the_run_has_changed_is_replaced(same_object: bool) -> None:
    async def scenario() -> None:
        async with throughline.open("memory:") as store:
            history = MessageHistory(store, "t")
            await history.append(a_run()[:2])
            changed = a_run()
            changed[1].state = "interrupted"  # type: ignore[assignment]
            changed[1].parts = [TextPart("I looked it up.")]
            if not same_object:
                history = MessageHistory(store, "t")
            assert await history.append(changed) == 3
            assert dumped(await history.load()) == dumped(ModelMessagesTypeAdapter.validate_json(dumped(changed)))

    asyncio.run(scenario())


@with_store
async def test_runs_follow_each_other_and_a_limit_keeps_the_last(store: throughline.Store) -> None:
    agent = Agent(TestModel(custom_output_text="nine"))
    history = MessageHistory(store, "t")
    first = await agent.run("Which train?")
    assert await history.save(first) == 2
    assert await history.save(first) == 0
    second = await history.run(agent, "And back?")
    loaded = await history.load()
    assert dumped(loaded) == dumped([*first.new_messages(), *second.new_messages()])
    assert second.all_messages() == loaded
    assert dumped(await history.load(limit=2)) == dumped(second.new_messages())
    assert dumped(await history.load(limit=3)) == dumped(loaded[1:])
    assert await history.load(limit=9) == loaded
    with pytest.raises(ValueError, match="at least 1, not 0"):
        await history.load(limit=0)


@with_store
async def test_a_history_can_be_longer_than_one_read(store: throughline.Store) -> None:
    history = MessageHistory(store, "t")
    messages: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart(str(n), timestamp=NOW)]) for n in range(2100)]
    assert await history.append(messages, run_id="r") == 2100
    assert await history.load() == messages
    assert await history.load(limit=1500) == messages[-1500:]


@with_store
async def test_messages_of_no_run_are_appended_each_time(store: throughline.Store) -> None:
    history = MessageHistory(store, "t")
    message = ModelRequest(parts=[UserPromptPart("hello", timestamp=NOW)])
    assert [await history.append([message]), await history.append([message]), await history.append([])] == [1, 1, 0]
    assert await history.load() == [message, message]


@with_store
async def test_messages_of_other_programs_become_requests_and_responses(store: throughline.Store) -> None:
    thread = store.thread("t")
    await thread.add("system", "be brief")
    await thread.add("user", [{"type": "text", "text": "Which"}, {"type": "text", "text": "train?"}])
    await thread.add("tool", "not of this model")
    await thread.add("user", [{"type": "image", "source": "a.png"}])
    await thread.add("assistant", "nine")
    loaded = await MessageHistory(store, "t").load()
    assert [[part.content for part in message.parts] for message in loaded] == [
        ["be brief"],
        ["Which\n\ntrain?"],
        ["nine"],
    ]  # type: ignore[union-attr]
    assert [type(message) for message in loaded] == [ModelRequest, ModelRequest, ModelResponse]
    result = await MessageHistory(store, "t").run(Agent(TestModel(custom_output_text="done")), "and back?")
    assert result.output == "done" and len(await MessageHistory(store, "t").load()) == 5


async def _reply(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
    if len(messages) == 1:
        yield "I look "
        yield "it up."
        yield {1: DeltaToolCall("find", '{"city": "Lisbon"}', tool_call_id="c1")}
    else:
        yield "The one "
        yield "at nine."


def an_agent() -> Agent[None, str]:
    agent = Agent(FunctionModel(stream_function=_reply))

    @agent.tool_plain
    def find(city: str) -> str:
        return f"{city}: nine"

    return agent


@with_store
async def test_a_streamed_reply_grows_in_the_thread_and_ends_as_the_message_of_the_run(
    store: throughline.Store,
) -> None:
    history = MessageHistory(store, "t")
    thread = store.thread("t")
    states: list[list[str]] = []
    result = None
    async for event in history.stream(an_agent(), "Which train?"):
        states.append([message.state for message in (await thread.page(9)).messages])
        if isinstance(event, AgentRunResultEvent):
            result = event.result
    assert result is not None and result.output == "The one at nine."
    assert ["final", "reserved"] in states or ["final", "streaming"] in states
    assert states[-1] == ["final"] * 4
    loaded = await history.load()
    assert dumped(loaded) == dumped(result.new_messages())
    assert [message.id for message in (await thread.page(9)).messages] == [f"{result.run_id}.{n}" for n in range(4)]
    assert await history.save(result) == 0


@with_store
async def test_a_reply_that_is_left_is_abandoned_with_its_text(store: throughline.Store) -> None:
    history = MessageHistory(store, "t")
    async with contextlib.aclosing(history.stream(an_agent(), "Which train?")) as events:
        async for event in events:
            if "it up." in str(event):
                break
    request, reply = (await store.thread("t").page(9)).messages
    assert (request.state, reply.state, reply.text) == ("final", "abandoned", "I look it up.")
    assert await history.load() == ModelMessagesTypeAdapter.validate_python([*await history.load()])
    assert len(await history.load()) == 1
    result = await history.run(Agent(TestModel(custom_output_text="nine")))
    assert result.output == "nine" and len(await history.load()) == 2


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "chat.db"
    command = [sys.executable, str(EXAMPLE), "--file", str(file)]
    killed = subprocess.run([*command, "--kill-in-tool"], capture_output=True, text=True, check=False)
    assert killed.returncode == 9, killed.stderr
    resumed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert resumed.stdout.splitlines()[-1] == "The train to Lisbon leaves at 09:15."

    async def stored() -> list[str]:
        async with throughline.open(file) as store:
            return [message.role for message in (await store.thread("trip").page(9)).messages]

    assert asyncio.run(stored()) == ["user", "assistant", "tool", "assistant"]
