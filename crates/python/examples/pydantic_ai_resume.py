"""An agent of Pydantic AI whose process is killed while a tool runs, and which goes on in the next process.

    python pydantic_ai_resume.py            # both processes, with a file that is deleted at the end

The model is a stub, so the program needs no network.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

import throughline
from throughline.adapters.pydantic_ai import MessageHistory


def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Asks the tool, and then answers with what it returned."""
    returned = [part for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
    if returned:
        return ModelResponse(parts=[TextPart(f"The train to Lisbon leaves at {returned[0].content}.")])
    return ModelResponse(parts=[ToolCallPart("departure", {"city": "Lisbon"})])


async def run(file: Path, kill_in_tool: bool) -> None:
    agent = Agent(FunctionModel(model))

    @agent.tool_plain
    def departure(city: str) -> str:
        if kill_in_tool:
            os._exit(9)
        return "09:15"

    async with throughline.open(file) as store:
        history = MessageHistory(store, "trip")
        before = await history.load()
        print(f"the thread has {len(before)} messages")
        # A conversation that ends with a question or a tool call goes on without another prompt.
        prompt = None if before else "When does the train to Lisbon leave?"
        result = await history.run(agent, prompt)
        print(result.output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, help="the file of the store")
    parser.add_argument("--kill-in-tool", action="store_true", help="end this process while the tool runs")
    options = parser.parse_args()
    if options.file is not None:
        asyncio.run(run(options.file, options.kill_in_tool))
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--file", str(Path(folder) / "chat.db")]
        print("the first process")
        subprocess.run([*command, "--kill-in-tool"], check=False)
        print("the second process")
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
