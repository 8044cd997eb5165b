"""An agent loop over the plain list of messages of the Chat Completions API, which continues after its process was killed.

    pip install throughline-py
    python openai_messages_loop.py [FILE]

The loop is the usual one: it sends the messages to the model, runs the tool that the model calls, adds the result, and asks again. A
stub answers instead of a model, so that the program needs no client. The process is killed while the tool runs for the third
question, before its result is stored. A second process finds the call without a result, runs the tool again, and goes on.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import throughline
from throughline.adapters.openai_messages import MessageHistory

SYSTEM = {"role": "system", "content": "You know the timetable."}


def complete(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The model: it calls the tool for each question, and answers with the result and the number of questions that it has seen."""
    last = messages[-1]
    if last["role"] == "tool":
        questions = sum(message["role"] == "user" for message in messages)
        return {"role": "assistant", "content": f"{last['content']}, after {questions} questions"}
    call = {"id": f"call_{len(messages)}", "type": "function"}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{**call, "function": {"name": "departure", "arguments": json.dumps({"of": last["content"]})}}],
    }


def departure(of: str) -> str:
    """The tool."""
    if "dies" in sys.argv and of == "train 3":
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{of} departs at 08:15"


async def answer(history: MessageHistory) -> str:
    """Runs the loop until the model answers without a call of the tool."""
    while True:
        messages = await history.load()
        if not messages[-1].get("tool_calls"):
            reply = complete(messages)
            await history.append(reply)
        else:  # the call of this turn, or one that a killed process has left
            reply = messages[-1]
        for call in reply.get("tool_calls", []):
            result = departure(**json.loads(call["function"]["arguments"]))
            await history.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        if not reply.get("tool_calls"):
            return str(reply["content"])


async def converse(file: str, questions: list[str]) -> None:
    """Asks questions in one process, after the turn that another one has left."""
    async with throughline.open(file) as store:
        history = MessageHistory(store, "telegram:42")
        messages = await history.load()
        if not messages:
            await history.append(SYSTEM)
        elif messages[-1]["role"] != "assistant" or messages[-1].get("tool_calls"):
            print(await answer(history), flush=True)
        for question in questions:
            await history.append({"role": "user", "content": question})
            print(await answer(history), flush=True)


async def show(file: str) -> list[str]:
    """Returns the role of each message."""
    async with throughline.open(file) as store:
        return [message["role"] for message in await MessageHistory(store, "telegram:42").load()]


def main(file: str) -> None:
    this = str(Path(__file__).resolve())
    killed = subprocess.run([sys.executable, this, file, "dies"], stdout=subprocess.PIPE, text=True)
    print(killed.stdout, end="")
    print(f"the process has ended with signal {-killed.returncode}")
    assert killed.returncode == -signal.SIGKILL

    turn = ["user", "assistant", "tool", "assistant"]
    kept = asyncio.run(show(file))
    assert kept == ["system", *turn, *turn, "user", "assistant"], kept

    resumed = subprocess.run([sys.executable, this, file, "resumes"], stdout=subprocess.PIPE, text=True, check=True)
    print(resumed.stdout, end="")
    assert asyncio.run(show(file)) == ["system", *turn * 4]


if __name__ == "__main__":
    if "dies" in sys.argv:
        asyncio.run(converse(sys.argv[1], ["train 1", "train 2", "train 3", "train 4"]))
    elif "resumes" in sys.argv:
        asyncio.run(converse(sys.argv[1], ["train 4"]))
    elif len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(str(Path(folder) / "agent.db"))
