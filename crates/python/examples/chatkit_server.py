"""A ChatKit server over one file: an agent answers, the process restarts, and the conversation goes on.

    python chatkit_server.py

The model is a stub, so the program needs no network. A web framework would pass the body of each request to ``process``.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from agents import Agent, RunConfig, Runner, function_tool
from agents.testing import ScriptedModel, assistant_message, function_call
from chatkit.agents import AgentContext, simple_to_agent_input, stream_agent_response
from chatkit.server import ChatKitServer, StreamingResult
from chatkit.types import ThreadMetadata, ThreadStreamEvent, UserMessageItem

import throughline
from throughline.adapters.chatkit import ChatKitStore


@function_tool
def departure(city: str) -> str:
    """Returns the departure of the next train."""
    return "09:15"


class TravelServer(ChatKitServer[dict[str, str]]):
    """Answers each message with an agent that reads the whole thread."""

    def __init__(self, file: Path, model: ScriptedModel) -> None:
        super().__init__(ChatKitStore(file))
        self.agent: Agent[Any] = Agent(name="travel", model=model, tools=[departure])

    async def respond(
        self, thread: ThreadMetadata, input_user_message: UserMessageItem | None, context: dict[str, str]
    ) -> AsyncIterator[ThreadStreamEvent]:
        items = await self.store.load_thread_items(thread.id, None, 50, "asc", context)
        agent_context = AgentContext(thread=thread, store=self.store, request_context=context)
        run = Runner.run_streamed(
            self.agent,
            await simple_to_agent_input(items.data),
            context=agent_context,
            run_config=RunConfig(tracing_disabled=True),
        )
        async for event in stream_agent_response(agent_context, run):
            yield event


async def request(server: TravelServer, kind: str, **params: Any) -> list[dict[str, Any]]:
    """Sends a request as the browser does, and returns the events or the answer."""
    result = await server.process(json.dumps({"type": kind, "params": params}), {"user_id": "ann"})
    if isinstance(result, StreamingResult):
        return [json.loads(event.removeprefix(b"data: ")) async for event in result]
    return [json.loads(result.json)]


def said(text: str) -> dict[str, Any]:
    return {"content": [{"type": "input_text", "text": text}], "attachments": [], "inference_options": {}}


async def main(file: Path) -> None:
    # The first process: the model calls the tool, and then answers.
    model = ScriptedModel(
        [
            [function_call("departure", {"city": "Lisbon"}, call_id="call-1")],
            [assistant_message("The train to Lisbon leaves at 09:15.", item_id="msg-1")],
        ]
    )
    server = TravelServer(file, model)
    events = await request(server, "threads.create", input=said("When does the train to Lisbon leave?"))
    thread = next(event["thread"]["id"] for event in events if event["type"] == "thread.created")
    await server.store.close()  # type: ignore[attr-defined]

    # The next process: a new server over the same file.
    model = ScriptedModel([[assistant_message("It arrives at noon.", item_id="msg-2")]])
    server = TravelServer(file, model)
    await request(server, "threads.add_user_message", thread_id=thread, input=said("And when does it arrive?"))
    assert model.last_call is not None
    print(f"the model was sent {len(model.last_call.input)} items")
    for item in (await request(server, "items.list", thread_id=thread, order="asc"))[0]["data"]:
        print(f"{item['type']}: {item['content'][0]['text']}")
    await server.store.close()  # type: ignore[attr-defined]

    # Every other program of Throughline sees the same threads.
    async with throughline.open(file, tenant="ann") as store:
        [summary] = (await store.threads()).threads
        print(f"{summary.messages} messages; the last question: {summary.preview}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder) / "chat.db"))
