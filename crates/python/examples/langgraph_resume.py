"""A LangGraph agent with a stub of a model. Its process is killed in the middle of a step, and another one goes on
where it stopped.

pip install throughline-py langgraph
python langgraph_resume.py [FILE]
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from throughline import sync
from throughline.adapters.langgraph import ThroughlineSaver, ThroughlineStore
from typing_extensions import TypedDict

THREAD: Any = {"configurable": {"thread_id": "telegram:42"}}


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def model(state: State) -> State:
    """The stub of a model: it asks for the weather once, and then answers."""
    last = state["messages"][-1]
    print(f"  the model reads {len(state['messages'])} messages")
    if isinstance(last, ToolMessage):
        return {"messages": [AIMessage(f"It is {last.content} in Lisbon.")]}
    return {"messages": [AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Lisbon"}, "id": "call-1"}])]}


def weather(state: State) -> State:
    """The tool. In the first process it takes so long that the process is killed meanwhile."""
    print("  the tool looks at the sky")
    if os.environ.get("KILLED_IN_TOOL"):
        os.kill(os.getpid(), signal.SIGKILL)
    return {"messages": [ToolMessage("sunny", tool_call_id="call-1")]}


def graph(store: sync.Store) -> Any:
    builder = StateGraph(State)
    builder.add_node("model", model)
    builder.add_node("weather", weather)
    builder.add_edge(START, "model")
    builder.add_conditional_edges(
        "model", lambda state: "weather" if getattr(state["messages"][-1], "tool_calls", None) else END
    )
    builder.add_edge("weather", "model")
    return builder.compile(checkpointer=ThroughlineSaver(store), store=ThroughlineStore(store))


def first(file: str) -> None:
    with sync.open(file) as store:
        ThroughlineStore(store).put(("users", "42"), "city", {"name": "Lisbon"})
        graph(store).invoke({"messages": [HumanMessage("What is the weather?")]}, THREAD, durability="sync")


def second(file: str) -> None:
    with sync.open(file) as store:
        agent = graph(store)
        state = agent.get_state(THREAD)
        print(f"  stopped before {state.next}, with {len(state.values['messages'])} messages")
        assert state.next == ("weather",)
        answer = agent.invoke(None, THREAD)["messages"][-1].content
        print(f"  {answer}")
        assert answer == "It is sunny in Lisbon."
        assert ThroughlineStore(store).search(("users",))[0].value == {"name": "Lisbon"}


def main(file: str) -> None:
    print("the first process:")
    command = [sys.executable, __file__, "--first", file]
    ended = subprocess.run(command, env={**os.environ, "KILLED_IN_TOOL": "1"}, check=False)
    assert ended.returncode == -signal.SIGKILL, ended
    print("the second process:")
    second(file)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--first"]:
        first(sys.argv[2])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(sys.argv[1] if len(sys.argv) > 1 else str(Path(folder, "chat.db")))
