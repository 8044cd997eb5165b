"""An agent of the OpenAI Agents SDK that remembers its conversation after its process was killed.

    pip install throughline-py openai-agents==0.24.0
    python openai_agents_session.py [FILE]

The agent runs in a second process, which is killed in the middle of its third question. A third process continues: it finds every
answered question, and nothing twice. A stub answers instead of a model, with a call of a tool in each turn.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import throughline
from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage, function_tool
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText
from throughline.adapters.openai_agents import ThroughlineSession

SESSION = "user-42"


class Stub(Model):
    """Calls the tool once for each question, and then answers with what it has read so far."""

    async def get_response(self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any) -> ModelResponse:
        questions = [item["content"] for item in input if item.get("role") == "user"]
        last = input[-1]
        if last.get("type") == "function_call_output":
            text = f"{last['output']} (question {len(questions)}: {questions[-1]})"
            content = ResponseOutputText(text=text, type="output_text", annotations=[], logprobs=[])
            item: Any = ResponseOutputMessage(
                id=f"msg_{len(input)}", type="message", role="assistant", content=[content], status="completed"
            )
        else:
            item = ResponseFunctionToolCall(
                type="function_call", name="departure", arguments="{}", call_id=f"call_{len(input)}"
            )
        return ModelResponse(output=[item], usage=Usage(requests=1), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        raise RuntimeError("this example does not stream")


@function_tool
def departure() -> str:
    """Returns when the next train departs."""
    if "dies" in sys.argv and os.environ.get("QUESTION") == "3":
        os.kill(os.getpid(), signal.SIGKILL)
    return "08:15"


AGENT = Agent(name="timetable", model=Stub(), tools=[departure])


async def ask(file: str, first: int, last: int) -> None:
    """Asks questions in one process."""
    async with throughline.open(file) as store:
        session = ThroughlineSession(SESSION, store)
        for number in range(first, last + 1):
            os.environ["QUESTION"] = str(number)
            config = RunConfig(tracing_disabled=True)
            result = await Runner.run(AGENT, f"train {number}?", session=session, run_config=config)
            print(result.final_output, flush=True)


async def show(file: str) -> list[str]:
    """Returns the conversation, as any program reads it from the store."""
    async with throughline.open(file) as store:
        items = await ThroughlineSession(SESSION, store).get_items()
    return [str(item.get("role") or item.get("type")) for item in items]


def main(file: str) -> None:
    this = str(Path(__file__).resolve())
    killed = subprocess.run([sys.executable, this, file, "dies"], stdout=subprocess.PIPE, text=True)
    print(killed.stdout, end="")
    print(f"the process has ended with signal {-killed.returncode}")
    assert killed.returncode == -signal.SIGKILL
    answers = killed.stdout.splitlines()
    assert answers == ["08:15 (question 1: train 1?)", "08:15 (question 2: train 2?)"], answers

    kept = asyncio.run(show(file))
    turn = ["user", "function_call", "function_call_output", "assistant"]
    # The SDK has stored the third question before it called the model, and perhaps the call of the tool.
    assert kept[:8] == turn * 2, kept
    print(f"the store has {len(kept)} items: {', '.join(kept)}")

    resumed = subprocess.run([sys.executable, this, file, "resumes"], stdout=subprocess.PIPE, text=True, check=True)
    print(resumed.stdout, end="")
    after = asyncio.run(show(file))
    assert after[: len(kept)] == kept and after[-4:] == turn, after
    print(f"resumed: {len(after)} items")


if __name__ == "__main__":
    if "dies" in sys.argv:
        asyncio.run(ask(sys.argv[1], 1, 3))
    elif "resumes" in sys.argv:
        asyncio.run(ask(sys.argv[1], 4, 4))
    elif len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(str(Path(folder) / "agent.db"))
