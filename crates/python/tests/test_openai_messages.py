"""The plain list of messages of the OpenAI clients: what is written comes back, in one transaction."""

from __future__ import annotations

import asyncio
import functools
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import throughline
from throughline import sync
from throughline.adapters.openai_messages import BlockingMessageHistory, MessageHistory


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": [{"type": "input_text", "text": "Use tools."}]},
    {"content": "Which train?", "role": "user", "name": "ann"},
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c", "content": "08:15"},
    {"role": "assistant", "content": [], "refusal": None},
    {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": [{"type": "output_text"}]},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1.10}'},
    {"type": "function_call_output", "call_id": "c", "output": "x"},
    {"type": "reasoning", "summary": [], "encrypted_content": "…"},
    {"role": "critic", "content": "again"},
    {"role": "of-tomorrow", "content": "kept"},
    {"anything": [1, 2.5, -0.0, 2**80, True, None, {"a": {"b": []}}]},
    {"role": "user", "content": "lone \ud800, NUL \x00, \u2028, 🦀, \\ud83d"},
    {"role": "user", "content": ""},
    {},
]


@in_loop
async def test_every_message_comes_back_with_its_members_in_order() -> None:
    async with throughline.open("memory:") as store:
        history = MessageHistory(store, "t")
        await history.append(*MESSAGES)
        assert json.dumps(await history.load()) == json.dumps(MESSAGES)
        for message in MESSAGES:
            other = MessageHistory(store, f"t-{MESSAGES.index(message)}")
            await other.append(message)
            assert json.dumps(await other.load()) == json.dumps([message])


@in_loop
async def test_the_roles_of_the_store_are_those_of_the_conversations_api() -> None:
    async with throughline.open("memory:") as store:
        await MessageHistory(store, "t").append(*MESSAGES)
        page = await store.thread("t").page(100)
        assert [message.role for message in page.messages] == (
            ["system", "system", "user", "user", "assistant", "tool", "assistant", "assistant", "assistant"]
            + ["tool", "assistant", "assistant", "assistant", "assistant", "user", "user", "assistant"]
        )
        assert page.messages[2].content_json == b'["Which train?"]'
        assert page.messages[8].content_json == (
            b'[{"type":"function_call","call_id":"c","name":"f","arguments":"{\\"a\\":1.10}"}]'
        )


@in_loop
async def test_search_finds_the_text_of_a_message() -> None:
    async with throughline.open("memory:") as store:
        await MessageHistory(store, "t").append({"role": "user", "content": "the night train to Lisbon"})
        hits = await store.search("lisbon night")
        assert [hit.snippet for hit in hits.hits] == ["the night train to Lisbon"]


@in_loop
async def test_messages_of_a_host_and_of_the_http_interface_are_items() -> None:
    async with throughline.open("memory:") as store:
        thread = store.thread("t")
        await thread.add("user", "hello", id="m-1")
        await thread.add("assistant", [{"type": "text", "text": "hi"}, {"type": "image"}], id="m-2")
        # The form in which the HTTP interface stores an item of the type `message`, and one of another type.
        blocks = [{"type": "input_text", "text": "now"}]
        await thread.add("system", blocks, id="m-3", metadata={"openai": {"role": "developer", "status": "completed"}})
        call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
        await thread.add("assistant", [call], id="m-4", metadata={"openai": {"type": "function_call"}})
        assert await MessageHistory(store, "t").load() == [
            {"id": "m-1", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]},
            {
                "id": "m-2",
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "hi", "annotations": []}, {"type": "image"}],
            },
            {"id": "m-3", "type": "message", "role": "developer", "content": blocks, "status": "completed"},
            call,
        ]


@in_loop
async def test_a_message_that_is_not_json_adds_nothing() -> None:
    async with throughline.open("memory:") as store:
        history = MessageHistory(store, "t")
        good = {"role": "user", "content": "kept"}
        await history.append(good)
        with pytest.raises(TypeError):
            await history.append(good, {"role": "user", "content": object()})
        with pytest.raises(ValueError, match="not JSON compliant"):
            await history.append(good, {"role": "user", "content": [float("nan")]})
        assert await history.load() == [good]


@in_loop
async def test_the_last_messages_are_loaded_over_pages() -> None:
    async with throughline.open("memory:") as store:
        history = MessageHistory(store, "t")
        messages = [{"role": "user", "content": str(number)} for number in range(2_345)]
        await history.append(*messages)
        assert await history.load() == messages
        assert await history.load(1_500) == messages[-1_500:]
        assert await history.load(1) == messages[-1:]
        assert await history.load(0) == []
        assert await MessageHistory(store, "none").load() == []


@in_loop
async def test_a_replacement_is_one_transaction(tmp_path: Path) -> None:
    async with throughline.open(tmp_path / "a.db") as store:
        history = MessageHistory(store, "t")
        first = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]
        await history.replace(first)  # of a thread that does not exist
        assert await history.load() == first
        with pytest.raises(throughline.TooLarge):
            await history.replace([{"role": "user", "content": "3"}, {"role": "user", "content": "x" * (65 << 20)}])
        assert await history.load() == first
        await history.replace([{"role": "user", "content": "3"}])
        assert await history.load() == [{"role": "user", "content": "3"}]
        await history.replace([])
        assert await history.load() == []


CONVERSATION = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": "1"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]},
    {"role": "tool", "tool_call_id": "c", "content": "r"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "3"},
    {"role": "assistant", "content": "4"},
    {"role": "assistant", "content": "5"},
]


@pytest.mark.parametrize(
    ("keep", "start"),
    [(7, 1), (100, 1), (6, 5), (4, 5), (3, 5), (2, 5), (1, 5), (0, 8)],
)
@in_loop
async def test_a_trim_keeps_system_messages_and_whole_turns(keep: int, start: int) -> None:
    async with throughline.open("memory:") as store:
        history = MessageHistory(store, "t")
        await history.append(*CONVERSATION)
        assert await history.trim(keep) == start - 1
        assert await history.load() == [CONVERSATION[0], *CONVERSATION[start:]]


@in_loop
async def test_a_negative_trim_is_refused() -> None:
    async with throughline.open("memory:") as store:
        with pytest.raises(ValueError, match="keep is -1; it must not be negative"):
            await MessageHistory(store, "t").trim(-1)


def test_blocking_callers_have_the_same_methods(tmp_path: Path) -> None:
    with sync.open(tmp_path / "a.db") as store:
        history = BlockingMessageHistory(store, "t")
        history.append(*CONVERSATION)
        assert history.load() == CONVERSATION
        assert history.load(2) == CONVERSATION[-2:]
        assert history.trim(3) == 4
        assert history.load() == [CONVERSATION[0], *CONVERSATION[5:]]
        history.replace(CONVERSATION[:2])
        assert history.load() == CONVERSATION[:2]


def test_the_example_continues_after_a_kill(tmp_path: Path) -> None:
    example = Path(__file__).parent.parent / "examples" / "openai_messages_loop.py"
    command = [sys.executable, "-B", str(example), str(tmp_path / "agent.db")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "train 1 departs at 08:15, after 1 questions",
        "train 2 departs at 08:15, after 2 questions",
        "the process has ended with signal 9",
        "train 3 departs at 08:15, after 3 questions",
        "train 4 departs at 08:15, after 4 questions",
    ]
